/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, k] = f(in[y, k]); NaN gives NaN; out may be in. A kernel apart from `unary`, so that a program without these
 * functions carries none of their code. f by kind; what stands behind the formula bounds the error, in units of the
 * last place of the exact result, where that is no subnormal number:
 *
 * 0 GELU          x * (1 + erf(x / sqrt(2))) / 2, 8 ulp
 * 1 GELU_TANH     x * (1 + tanh(v)) / 2, v = sqrt(2 / pi) * (x + 0.044715 x^3), 8 ulp and 8 |v| for negative x
 * 2 SILU          x / (1 + e^-x), 4 ulp
 * 3 ERF           erf(x), 3 ulp
 * 4 SOFTPLUS      ln(1 + e^x), 3 ulp
 * 5 MISH          x * tanh(ln(1 + e^x)), 5 ulp
 * 6 ELU           b * (x > 0 ? x : a * (e^x - 1)), 3 ulp: elu and selu
 * 7 HARD_SIGMOID  min(max(a * x + b, 0), 1)
 *
 * Kinds 0, 2 and 5 are products that begin with x: -infinity gives NaN. */
#ifndef ERT_ACTIVATION_H
#define ERT_ACTIVATION_H

#include "kernel.h"

enum {
  ERT_GELU = 0,
  ERT_GELU_TANH = 1,
  ERT_SILU = 2,
  ERT_ERF = 3,
  ERT_SOFTPLUS = 4,
  ERT_MISH = 5,
  ERT_ELU = 6,
  ERT_HARD_SIGMOID = 7
};

typedef struct {
  int32_t n; /* items in a row */
  int32_t kind;
  float a, b;
} ert_activation_f32_params;

int ert_activation_f32_check(const ert_step *s);

#endif
