/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, k] = f(in[y, k]); NaN gives NaN; out may be in. f by kind:
 *
 * CLIP        x < low ? low : x > high ? high : x
 * LEAKY_RELU  x > 0 ? x : low * x
 * HARD_SWISH  x * min(max(x + 3, 0), 6) / 6
 * LOGISTIC    1 / (1 + e^-x), within 4 ulp
 * TANH        tanh(x), within 4 ulp */
#ifndef ERT_UNARY_H
#define ERT_UNARY_H

#include "kernel.h"

enum { ERT_CLIP = 0, ERT_LEAKY_RELU = 1, ERT_HARD_SWISH = 2, ERT_LOGISTIC = 3, ERT_TANH = 4 };

typedef struct {
  int32_t n; /* items in a row */
  int32_t kind;
  float low, high;
} ert_unary_f32_params;

int ert_unary_f32_check(const ert_step *s);

#endif
