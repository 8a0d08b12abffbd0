/* SPDX-License-Identifier: Apache-2.0 */
/* A strided copy with a fill value: transpose, slice, reverse, pad, space_to_depth, depth_to_space, broadcast, tile.
 *
 * An output item has five coordinates i[0..4]. Row y holds i[0] = y / extent[1], i[1] = y mod extent[1]; in the
 * row, i[2..4] count in row-major order. With j[d] = i[d] - low[d],
 *
 * out[i] = in[row_start + j[0] * row_step] at byte start + sum over d of j[d] * stride[d]
 *          where low[d] <= i[d] < high[d] for every d, else fill.
 *
 * Strides and row_step may be negative: the input is walked backwards.
 *
 * Types: b1 moves items of 1 byte, b2 of 2, b4 of 4, b8 of 8. */
#ifndef ERT_COPY_H
#define ERT_COPY_H

#include "kernel.h"

typedef struct {
  int32_t extent, low, high, stride;
} ert_copy_axis;

typedef struct {
  ert_copy_axis axis[5];
  int32_t row_start, row_step; /* in input rows */
  int32_t start;               /* byte of the first item that is copied, in its row */
  int32_t fill;                /* the item's bits; of 8 bytes the low half, the high half is its sign */
} ert_copy_b1_params;

typedef ert_copy_b1_params ert_copy_b2_params;
typedef ert_copy_b1_params ert_copy_b4_params;
typedef ert_copy_b1_params ert_copy_b8_params;

int ert_copy_b1_check(const ert_step *s);
int ert_copy_b2_check(const ert_step *s);
int ert_copy_b4_check(const ert_step *s);
int ert_copy_b8_check(const ert_step *s);

#endif
