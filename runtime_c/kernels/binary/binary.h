/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, k] = act(a[y, x * a_pixel + k * a_item] op b[y, x * b_pixel + k * b_item])
 *
 * Broadcasting: rows by a view with fewer rows (row y of it is y mod rows), pixels and items by a step of 0.
 *
 * add s8s8: clamp(zero_point + rescale(a_factor * (a - a_zero_point)
 *                                      + b_factor * rescale(b_gain * (b - b_zero_point), b_scale), scale), min, max)
 *           where rescale(x, s) is x * multiplier * 2^(-32 - shift), rounded half up after 2^-32 and half away from
 *           zero after 2^-shift. `a` is the input with the larger quantisation scale.
 *           This is TFLite Micro's formula: its multiplier of `a` is exactly 1/2, so that both roundings of it are
 *           a shift from 2^20 to 2^19. Everything is doubled once more (a_factor is 2^20, b_gain 2^21, b_factor 2)
 *           for the products to end in a whole high word; signs of a_factor and b_factor tell a - b, b - a and a + b.
 *           Where both scales are equal TFLite's shift is 0 and its multiplier 2^30; b_gain 2^22 and a shift of 1
 *           give the same value.
 * add s8s8 dense: the sum of two inputs without broadcasting within rows, both of positive sign, as
 *           clamp(saturate(rescale(a * 2^20 + a_base + 2 * rescale(b * 2^21 + b_base))))
 *           where rescale(x) is (((x * multiplier + 2^31) >> 32) + offset - (x < 0)) >> shift: half a unit and the zero
 *           point are in the offset (of b: b_half). x has the sign of its high product, or that is 0 and the shift hides
 *           it. A multiplier of 2^31 - 1 stands for 2^31 where both scales are equal: x has 21 zeros below.
 * add s8s8 linear: clamp((a * a_factor + b * b_factor + offset) >> shift, min, max) modulo 2^32, again without
 *           broadcasting within rows. Written where it gives the byte of add s8s8 for all 2^16 pairs of bytes.
 * mul s8s8: clamp(zero_point + requantize((a - a_zero_point) * (b - b_zero_point)), min, max)
 * minmax:   sign * min(sign * a, sign * b); sign is 1 or -1, a NaN wins
 * add s16s16: clamp(requantize(requantize(a * 2^15, a_scale) + b_sign * requantize(b * 2^15, b_scale), scale), min, max)
 * mul s16s16: clamp(requantize(a * b), min, max); zero points of int16 are 0
 * add f32:  clamp(a + b_sign * b, min, max)
 * mul f32:  clamp(a * b, min, max)
 *
 * out may be a or b where that is not broadcast. */
#ifndef ERT_BINARY_H
#define ERT_BINARY_H

#include "requantize.h"

typedef struct {
  int32_t w, c; /* a row is w pixels of c items */
  int32_t a_pixel, a_item, b_pixel, b_item;
} ert_binary_shape;

typedef struct {
  int32_t multiplier, shift; /* add s8s8, shift: to the right, 1 to 31 */
} ert_scale;

typedef struct {
  ert_binary_shape shape;
  int32_t a_zero_point, a_factor, b_zero_point, b_factor, b_gain;
  ert_scale b_scale, scale;
  int32_t zero_point, min, max;
} ert_add_s8s8_params;

typedef struct {
  ert_binary_shape shape;
  int32_t b_base, b_multiplier, b_half, b_shift;
  int32_t a_base, multiplier, offset, shift;
  int32_t min, max;
} ert_add_s8s8_dense_params;

typedef struct {
  ert_binary_shape shape;
  int32_t a_factor, b_factor, offset, shift; /* shift: to the right, 0 to 31 */
  int32_t min, max;
} ert_add_s8s8_linear_params;

typedef struct {
  ert_binary_shape shape;
  int32_t a_zero_point, b_zero_point;
  int32_t multiplier, shift; /* shift: to the left */
  int32_t zero_point, min, max;
} ert_mul_s8s8_params;

typedef struct {
  ert_binary_shape shape;
  int32_t sign;
} ert_minmax_s8s8_params;

typedef struct {
  ert_binary_shape shape;
  int32_t b_sign;
  ert_scale a_scale, b_scale, scale; /* shifts to the left */
  int32_t min, max;
} ert_add_s16s16_params;

typedef struct {
  ert_binary_shape shape;
  int32_t multiplier, shift; /* shift: to the left */
  int32_t min, max;
} ert_mul_s16s16_params;

typedef ert_minmax_s8s8_params ert_minmax_s16s16_params;

typedef struct {
  ert_binary_shape shape;
  float b_sign, min, max;
} ert_add_f32_params;

typedef struct {
  ert_binary_shape shape;
  float min, max;
} ert_mul_f32_params;

typedef struct {
  ert_binary_shape shape;
  float sign;
} ert_minmax_f32_params;

int ert_add_s8s8_check(const ert_step *s);
int ert_add_s8s8_dense_check(const ert_step *s);
int ert_add_s8s8_linear_check(const ert_step *s);
int ert_mul_s8s8_check(const ert_step *s);
int ert_minmax_s8s8_check(const ert_step *s);
int ert_add_s16s16_check(const ert_step *s);
int ert_mul_s16s16_check(const ert_step *s);
int ert_minmax_s16s16_check(const ert_step *s);
int ert_add_f32_check(const ert_step *s);
int ert_mul_f32_check(const ert_step *s);
int ert_minmax_f32_check(const ert_step *s);

#endif
