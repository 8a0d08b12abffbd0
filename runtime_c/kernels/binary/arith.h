/* SPDX-License-Identifier: Apache-2.0 */
/* More functions of two operands, which broadcast as in binary.h. out may be a or b where that is not broadcast.
 *
 * arith by kind; f32 has 3 to 10, s32 and s64 have 0 to 9:
 *
 * 0 ADD, 1 SUB, 2 MUL, 3 SQUARED_DIFFERENCE (a - b)^2: integers modulo 2^bits
 * 4 DIV       a / b, integers towards zero; the integer a / 0 is 0, the least integer / -1 itself
 * 5 FLOOR_DIV floor(a / b), integers as DIV; floats up to 2^22 exactly, larger ones within 2^-22
 * 6 FLOOR_MOD a - b floor(a / b), with the sign of b; 7 FMOD the same towards zero, with the sign of a. Floats exactly;
 *             the integer a mod 0 is 0
 * 8 MINIMUM, 9 MAXIMUM: integers
 * 10 PRELU    a >= 0 ? a : a * b
 *
 * then clamped to [min, max]; s64 is not clamped.
 *
 * pow f32: a^b within 1 ulp, with the special values of C's pow
 *
 * div s8s8, with p = a - a_zero_point and q = b - b_zero_point, signs turned so that q > 0:
 *   i, r    1 / q = i * 2^-(31 + r), i of 31 bits by TFLite's Newton steps, r = floor(log2 q)
 *   h       how often p doubles within 31 bits
 *   clamp(zero_point + (((p * 2^h) * i / 2^31) * multiplier / 2^31) * 2^(shift - r - h), min, max), each product rounded
 *   half up, the last shift half away from zero; 0 where it is a right shift of more than 31 bits (TFLite Micro leaves
 *   that undefined). For q = 0, which TFLite leaves undefined, max, zero_point or min by the sign of p.
 * squared_difference s8s8: clamp(zero_point + requantize(d * d, scale), -128, 127),
 *   d = requantize(p * 2^7, a_scale) - requantize(q * 2^7, b_scale)
 * prelu s8s8: clamp(zero_point + (p >= 0 ? requantize(p, scale) : requantize(p * q, slope_scale)), -128, 127)
 * squared_difference and prelu s16s16: the same with all zero points 0, to -32768 ... 32767, and without the 2^7 */
#ifndef ERT_ARITH_H
#define ERT_ARITH_H

#include "binary/binary.h"

enum {
  ERT_ARITH_ADD = 0,
  ERT_ARITH_SUB = 1,
  ERT_ARITH_MUL = 2,
  ERT_ARITH_SQUARED_DIFFERENCE = 3,
  ERT_ARITH_DIV = 4,
  ERT_ARITH_FLOOR_DIV = 5,
  ERT_ARITH_FLOOR_MOD = 6,
  ERT_ARITH_FMOD = 7,
  ERT_ARITH_MINIMUM = 8,
  ERT_ARITH_MAXIMUM = 9,
  ERT_ARITH_PRELU = 10
};

typedef struct {
  int32_t multiplier, shift; /* shift: to the left, -31 to 31 */
} ert_left_scale;

typedef struct {
  ert_binary_shape shape;
  int32_t kind;
  float min, max;
} ert_arith_f32_params;

typedef struct {
  ert_binary_shape shape;
  int32_t kind, min, max;
} ert_arith_s32_params;

typedef struct {
  ert_binary_shape shape;
  int32_t kind;
} ert_arith_s64_params;

typedef struct {
  ert_binary_shape shape;
} ert_pow_f32_params;

typedef struct {
  ert_binary_shape shape;
  int32_t a_zero_point, b_zero_point;
  int32_t multiplier, shift; /* shift: at most 22 */
  int32_t zero_point, min, max;
} ert_div_s8s8_params;

typedef struct {
  ert_binary_shape shape;
  int32_t a_zero_point, b_zero_point, zero_point;
  ert_left_scale a_scale, b_scale, scale;
} ert_squared_difference_s8s8_params;

typedef struct {
  ert_binary_shape shape;
  int32_t a_zero_point, b_zero_point, zero_point;
  ert_left_scale scale, slope_scale;
} ert_prelu_s8s8_params;

typedef struct {
  ert_binary_shape shape;
  ert_left_scale a_scale, b_scale, scale;
} ert_squared_difference_s16s16_params;

typedef struct {
  ert_binary_shape shape;
  ert_left_scale scale, slope_scale;
} ert_prelu_s16s16_params;

int ert_arith_f32_check(const ert_step *s);
int ert_arith_s32_check(const ert_step *s);
int ert_arith_s64_check(const ert_step *s);
int ert_pow_f32_check(const ert_step *s);
int ert_div_s8s8_check(const ert_step *s);
int ert_squared_difference_s8s8_check(const ert_step *s);
int ert_prelu_s8s8_check(const ert_step *s);
int ert_squared_difference_s16s16_check(const ert_step *s);
int ert_prelu_s16s16_check(const ert_step *s);

#endif
