/* SPDX-License-Identifier: Apache-2.0 */
/* Output pixel (y, x) reads the input at (row[y], column[x]); the positions are computed by the writer.
 *
 * b1:  nearest. Positions are int32 indices; out[y, x] = in[row[y], column[x]], pixel by pixel as bytes.
 * s8, s16: bilinear. Positions are int32 in Q10: index * 1024 + fraction. With rows a, b and columns i, j on both sides,
 *      u = fraction of the row, v = of the column, out = the mean of in[a, i], in[a, j], in[b, i], in[b, j] with the
 *      weights (1024 - u)(1024 - v), (1024 - u)v, u(1024 - v), uv, rounded to nearest, halves away from zero.
 * f32: bilinear. Positions are pairs (int32 index, float fraction).
 * Where a fraction is 0, the neighbour after the index is not read. */
#ifndef ERT_RESIZE_H
#define ERT_RESIZE_H

#include "kernel.h"

typedef struct {
  int32_t in_h, in_w, out_w;
  int32_t pixel;   /* channels; for b1 bytes of a pixel */
  int32_t rows;    /* blob: one position per output row */
  int32_t columns; /* blob: position[out_w] */
} ert_resize_params;

/* Of a row or a column of floats. */
typedef struct {
  int32_t index;
  float fraction;
} ert_resize_position;

typedef ert_resize_params ert_resize_b1_params;
typedef ert_resize_params ert_resize_s8_params;
typedef ert_resize_params ert_resize_s16_params;
typedef ert_resize_params ert_resize_f32_params;

int ert_resize_b1_check(const ert_step *s);
int ert_resize_s8_check(const ert_step *s);
int ert_resize_s16_check(const ert_step *s);
int ert_resize_f32_check(const ert_step *s);

#endif
