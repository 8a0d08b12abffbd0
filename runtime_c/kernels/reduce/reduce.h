/* SPDX-License-Identifier: Apache-2.0 */
/* With a[y, r, i] = in[y * in_rows + r / width, (r mod width) * inner + i] for r < in_rows * width:
 *
 * s8:  out[y, i] = clamp(zero_point + requantize(offset + sum over r of a[y, r, i], multiplier, shift), -128, 127);
 *      mean and sum differ in multiplier and shift, offset = - in_zero_point * in_rows * width.
 *      Sums are modulo 2^32; the writer guarantees that none wraps.
 * f32: out[y, i] = scale * sum over r of a[y, r, i].
 * With `maximum` set: out[y, i] = max over r of a[y, r, i] and the other parameters are not used. */
#ifndef ERT_REDUCE_H
#define ERT_REDUCE_H

#include "requantize.h"

typedef struct {
  int32_t in_rows, width, inner, maximum;
} ert_reduce_shape;

typedef struct {
  ert_reduce_shape shape;
  int32_t offset, multiplier, shift, zero_point;
} ert_reduce_s8_params;

typedef struct {
  ert_reduce_shape shape;
  float scale;
} ert_reduce_f32_params;

int ert_reduce_s8_check(const ert_step *s);
int ert_reduce_f32_check(const ert_step *s);

#endif
