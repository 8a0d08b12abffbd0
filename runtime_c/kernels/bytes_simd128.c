/* SPDX-License-Identifier: Apache-2.0 */
#include "avg_pool2d/avg_pool2d_bytes.h"
#include "batch_matmul/batch_matmul_bytes.h"
#include "binary/binary_bytes.h"
#include "l2_norm/l2_norm_bytes.h"
#include "lut/lut_bytes.h"
#include "max_pool2d/max_pool2d_bytes.h"
#include "normalize/normalize_bytes.h"
#include "reduce/reduce_bytes.h"
#include "resize/resize_bytes.h"
#include "softmax/softmax_bytes.h"
#include "bytes_rows.h"

#if ERT_HAS_simd128

ERT_BYTE_ROWS(simd128)

#endif
