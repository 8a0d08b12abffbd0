/* SPDX-License-Identifier: Apache-2.0 */
/* Each run of n items divided by its Euclidean norm, w runs to a row; out may be in.
 *
 * s8:  v = in - zero_point; sum of v^2 = s; 1 / sqrt(s) = m * 2^(shift - 31) by five Newton steps in Q3.28 (0 is taken
 *      for 1, whose m is 2^31 - 1 and shift 0); out = clamp(requantize(v, m, shift + 7), -128, 127): scale 1/128, zero
 *      point 0, as TFLite Micro computes it
 * f32: in / max(sqrt(sum of in^2), epsilon) */
#ifndef ERT_L2_NORM_H
#define ERT_L2_NORM_H

#include "kernel.h"

typedef struct {
  int32_t w, n; /* 1 to 33025 */
  int32_t zero_point;
} ert_l2_norm_s8_params;

typedef struct {
  int32_t w, n;
  float epsilon;
} ert_l2_norm_f32_params;

/* 1 / sqrt(x) = result * 2^(shift - 31) for x >= 0 */
int32_t ert_l2_inverse_root(int32_t x, int32_t *shift);

int ert_l2_norm_s8_check(const ert_step *s);
int ert_l2_norm_f32_check(const ert_step *s);

#endif
