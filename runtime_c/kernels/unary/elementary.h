/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, k] = f(in[y, k]); NaN gives NaN; out may be in. A kernel apart from `unary`, so that a program without these
 * functions carries none of their code.
 *
 * elementary, f by kind, with its largest error in units of the last place of the exact result (0 where none stands):
 *
 * 32 ABS                    33 NEG -x                  34 SQUARE x * x             35 SQRT 1
 * 36 RSQRT 1 / sqrt(x), 2   37 RECIPROCAL 1 / x        38 EXP 1                    39 LOG natural, 1
 * 40 SIN 3                  41 COS 3                   42 TAN 6                    43 ASIN 3
 * 44 ACOS 2                 45 ATAN 3                  46 SINH 4                   47 COSH 3
 * 48 ASINH 2                49 ACOSH 3                 50 ATANH 3                  51 FLOOR
 * 52 CEIL                   53 ROUND halves to even    54 SIGN -1, 0 or 1          55 SOFTSIGN x / (1 + |x|), 2
 * 56 THRESHOLDED_RELU x > a ? x : 0                    57 SHRINK x < -a ? x + b : x > a ? x - b : 0
 * 58 CELU x > 0 ? x : a * (e^(x / a) - 1), 4           59 LOG1P ln(1 + x), 2       60 EXPM1 e^x - 1, 3
 *
 * power: x^a, 1 */
#ifndef ERT_ELEMENTARY_H
#define ERT_ELEMENTARY_H

#include "kernel.h"

enum {
  ERT_ABS = 32,
  ERT_NEG,
  ERT_SQUARE,
  ERT_SQRT,
  ERT_RSQRT,
  ERT_RECIPROCAL,
  ERT_EXP,
  ERT_LOG,
  ERT_SIN,
  ERT_COS,
  ERT_TAN,
  ERT_ASIN,
  ERT_ACOS,
  ERT_ATAN,
  ERT_SINH,
  ERT_COSH,
  ERT_ASINH,
  ERT_ACOSH,
  ERT_ATANH,
  ERT_FLOOR,
  ERT_CEIL,
  ERT_ROUND,
  ERT_SIGN,
  ERT_SOFTSIGN,
  ERT_THRESHOLDED_RELU,
  ERT_SHRINK,
  ERT_CELU,
  ERT_LOG1P,
  ERT_EXPM1
};

typedef struct {
  int32_t n; /* items in a row */
  int32_t kind;
  float a, b;
} ert_elementary_f32_params;

typedef struct {
  int32_t n; /* items in a row */
  float a;
} ert_power_f32_params;

/* Sine and cosine of any float. */
typedef struct {
  float sine, cosine;
} ert_wave;

ert_wave ert_wave_of(float x);

int ert_elementary_f32_check(const ert_step *s);
int ert_power_f32_check(const ert_step *s);

#endif
