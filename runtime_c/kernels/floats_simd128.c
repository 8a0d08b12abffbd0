/* SPDX-License-Identifier: Apache-2.0 */
#include "activation/activation_floats.h"
#include "avg_pool2d/avg_pool2d_floats.h"
#include "batch_matmul/batch_matmul_floats.h"
#include "binary/arith_floats.h"
#include "elementwise/elementwise_floats.h"
#include "l2_norm/l2_norm_floats.h"
#include "max_pool2d/max_pool2d_floats.h"
#include "normalize/normalize_floats.h"
#include "reduce/reduce_floats.h"
#include "resize/resize_floats.h"
#include "rnn/rnn_floats.h"
#include "softmax/softmax_floats.h"
#include "svdf/svdf_floats.h"
#include "unary/elementary_floats.h"
#include "unary/unary_floats.h"

#if ERT_HAS_simd128

ERT_FUNCTIONS(x4, simd128)
ERT_FLOATS(x4, simd128)

#endif
