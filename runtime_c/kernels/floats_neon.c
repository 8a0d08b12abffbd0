/* SPDX-License-Identifier: Apache-2.0 */
#include "activation/activation.h"
#include "isa.h"
#include "normalize/normalize.h"
#include "softmax/softmax.h"
#include "unary/unary.h"

#if ERT_HAS_neon

#define ERT_LANES 4

#include "floats.h"

ERT_FLOATS(x4, neon)

#endif
