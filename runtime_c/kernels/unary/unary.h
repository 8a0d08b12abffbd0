/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, k] = f(in[y, k]); NaN gives NaN; out may be in. f by kind:
 *
 * CLIP        x < low ? low : x > high ? high : x
 * LEAKY_RELU  x > 0 ? x : low * x
 * HARD_SWISH  x * min(max(x + 3, 0), 6) / 6
 * LOGISTIC    1 / (1 + e^-x), within 4 ulp
 * TANH        tanh(x), within 4 ulp
 *
 * s16, every zero point 0:
 * CLIP        clamp(requantize(x, multiplier, shift), low, high) for x >= 0,
 *             clamp(sign * requantize(x, negative_multiplier, negative_shift), low, high) below 0: the relu family
 *             (both scales alike), leaky_relu
 * LOGISTIC, TANH  z = x * multiplier / 2^shift, rounded half up, steps of 1 / 12288 (TANH: of twice the argument / 2);
 *             t = table[|z| / 512] interpolated over |z| mod 512 (TANH: 256), 1 from item 255 on, as TFLite Micro does:
 *             with u = t in Q25 (TANH: Q24), LOGISTIC ((z < 0 ? 2^25 - u - 1 : u) + 2^9) >> 10, 1 as (2^15 - 1) << 10;
 *             TANH ((z < 0 ? 2^23 - u - 1 : u - 2^23) + 2^7) >> 8, 1 as (2^16 - 1) << 8 */
#ifndef ERT_UNARY_H
#define ERT_UNARY_H

#include "kernel.h"

enum { ERT_CLIP = 0, ERT_LEAKY_RELU = 1, ERT_HARD_SWISH = 2, ERT_LOGISTIC = 3, ERT_TANH = 4 };

typedef struct {
  int32_t n; /* items in a row */
  int32_t kind;
  float low, high;
} ert_unary_f32_params;

typedef struct {
  int32_t n; /* items in a row */
  int32_t kind;
  int32_t multiplier, shift, negative_multiplier, negative_shift, sign;
  int32_t low, high;
  int32_t table; /* blob: uint16[256], logistic(i / 24) * 2^16 with its lines raised to the curve; none for CLIP */
} ert_unary_s16_params;

int ert_unary_s16_check(const ert_step *s);
int ert_unary_f32_check(const ert_step *s);

#endif
