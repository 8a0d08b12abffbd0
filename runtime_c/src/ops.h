/* SPDX-License-Identifier: Apache-2.0 */
/* The contracts of every op, for the kernel table. */
#ifndef ERT_OPS_H
#define ERT_OPS_H

#include "conv2d/conv2d.h"
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "fully_connected/fully_connected.h"
#include "avg_pool2d/avg_pool2d.h"
#include "max_pool2d/max_pool2d.h"
#include "reduce/reduce.h"
#include "softmax/softmax.h"
#include "softmax/log_softmax.h"
#include "quantize/quantize.h"
#include "dequantize/dequantize.h"
#include "resize/resize.h"
#include "fully_connected_rows/fully_connected_rows.h"
#include "resize/resize_filter.h"
#include "binary/binary.h"
#include "binary/arith.h"
#include "lut/lut.h"
#include "unary/unary.h"
#include "unary/elementary.h"
#include "copy/copy.h"
#include "concat/concat.h"
#include "transpose_conv2d/transpose_conv2d.h"
#include "grouped_conv2d/grouped_conv2d.h"
#include "batch_matmul/batch_matmul.h"
#include "normalize/normalize.h"
#include "activation/activation.h"
#include "svdf/svdf.h"
#include "lstm/lstm.h"
#include "rnn/rnn.h"
#include "l2_norm/l2_norm.h"
#include "hardmax/hardmax.h"
#include "lrn/lrn.h"
#include "dynamic_quantize/dynamic_quantize.h"

#endif
