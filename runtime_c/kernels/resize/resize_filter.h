/* SPDX-License-Identifier: Apache-2.0 */
/* Output pixel (y, x) is a weighted sum of row_taps x column_taps input pixels:
 *
 * f32: sum over i, j of row_weight[y, i] * column_weight[x, j] * in[row[y] + i, column[x] + j]
 * s8:  the same with weights of 2^-10 in 32 bits, rounded once, halves away from zero, clamped to [-128, 127]
 *
 * Indices outside the image are brought to its edge. */
#ifndef ERT_RESIZE_FILTER_H
#define ERT_RESIZE_FILTER_H

#include "kernel.h"

typedef struct {
  int32_t in_h, in_w, out_w;
  int32_t c; /* channels */
  int32_t row_taps, column_taps;
  int32_t rows, columns;               /* blobs: the first index, one per output row and int32[out_w] */
  int32_t row_weights, column_weights; /* blobs: row_taps per output row; [out_w, column_taps]; int32 or float */
} ert_resize_filter_params;

typedef ert_resize_filter_params ert_resize_filter_s8_params;
typedef ert_resize_filter_params ert_resize_filter_f32_params;

int ert_resize_filter_s8_check(const ert_step *s);
int ert_resize_filter_f32_check(const ert_step *s);

#endif
