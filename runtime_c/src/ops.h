/* SPDX-License-Identifier: Apache-2.0 */
/* The contracts of every op, for the kernel table. */
#ifndef ERT_OPS_H
#define ERT_OPS_H

#include "conv2d/conv2d.h"
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "fully_connected/fully_connected.h"

#endif
