/* SPDX-License-Identifier: Apache-2.0 */
/* Output row y from the in_rows input rows from y * in_rows on, all of width * inner items: item i of every pixel.
 *
 * s16 as s8:
 * s8, requantize: clamp(zero_point + requantize(offset + sum, multiplier, shift), min, max); mean and sum differ in
 *                 multiplier and shift, offset = - in_zero_point * in_rows * width.
 *     divide:     clamp((sum + half) / multiplier, min, max), half = multiplier / 2 with the sum's sign, rounding to 0
 *     maximum:    the largest; nothing is clamped.
 *     Sums are modulo 2^32; the writer guarantees that none wraps.
 * f32:            scale * sum, the maximum, the minimum or the product.
 * int:            of items of any integer dtype or bools: the sum or product (modulo 2^bits), the maximum or minimum.
 *
 * The kernel is called once for each input row, not output row: a fused stage can drop a row when it has been added.
 * Sums stay in scratch (f32, int and maxima: in the output row) from the first row of a group to its last. */
#ifndef ERT_REDUCE_H
#define ERT_REDUCE_H

#include "requantize.h"

enum {
  ERT_REDUCE_REQUANTIZE = 0, /* f32, int: the sum */
  ERT_REDUCE_MAXIMUM = 1,
  ERT_REDUCE_DIVIDE = 2,
  ERT_REDUCE_MINIMUM = 3,
  ERT_REDUCE_PRODUCT = 4
};

typedef struct {
  int32_t in_rows, width, inner, kind;
} ert_reduce_shape;

typedef struct {
  ert_reduce_shape shape;
  int32_t offset, multiplier, shift, zero_point, min, max;
} ert_reduce_s8_params;

typedef ert_reduce_s8_params ert_reduce_s16_params;

typedef struct {
  ert_reduce_shape shape;
  float scale;
} ert_reduce_f32_params;

typedef struct {
  ert_reduce_shape shape;
  int32_t dtype;
} ert_reduce_int_params;

int ert_reduce_s8_check(const ert_step *s);
int ert_reduce_s16_check(const ert_step *s);
int ert_reduce_f32_check(const ert_step *s);
int ert_reduce_int_check(const ert_step *s);

#endif
