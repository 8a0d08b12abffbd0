/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, k] = act(a[y, x * a_pixel + k * a_item] op b[y, x * b_pixel + k * b_item])
 *
 * Broadcasting: rows by a view with fewer rows (row y of it is y mod rows), pixels and items by a step of 0.
 *
 * add s8s8: clamp(zero_point + rescale(a_sign * (a - a_zero_point) * 2^19
 *                                      + b_sign * rescale((b - b_zero_point) * 2^20, b_scale), scale), min, max)
 *           where rescale(x, s) is x * multiplier * 2^(-31 - shift), rounded half up after the product and half
 *           away from zero after the shift. `a` is the input with the larger quantisation scale: TFLite Micro's
 *           multiplier of that input is exactly 1/2, so that its two roundings are a shift left by 19.
 * mul s8s8: clamp(zero_point + requantize((a - a_zero_point) * (b - b_zero_point)), min, max)
 * minmax:   sign * min(sign * a, sign * b); sign is 1 or -1, a NaN wins
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
  int32_t multiplier, shift; /* shift: to the right, 0 to 31 */
} ert_scale;

typedef struct {
  ert_binary_shape shape;
  int32_t a_zero_point, a_sign, b_zero_point, b_sign;
  ert_scale b_scale, scale;
  int32_t zero_point, min, max;
} ert_add_s8s8_params;

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
int ert_mul_s8s8_check(const ert_step *s);
int ert_minmax_s8s8_check(const ert_step *s);
int ert_add_f32_check(const ert_step *s);
int ert_mul_f32_check(const ert_step *s);
int ert_minmax_f32_check(const ert_step *s);

#endif
