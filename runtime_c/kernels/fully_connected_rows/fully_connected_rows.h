/* SPDX-License-Identifier: Apache-2.0 */
/* A fully connected layer over a whole image, summed up while its rows arrive: called once per input row,
 *   acc[o] = (y == 0 ? 0 : acc[o]) + sum over i of in[y, i] * w[y, o, i]
 * in scratch, and after the last row out[0, o] = act(b[o] + acc[o]); act and folding as in conv2d.h.
 * s8s8 pairs: weights of each row, biases, multipliers and shifts as pairs.h has them.
 * s8s4: the same with int4 weights, each row of them from a byte of its own (nibble.h). */
#ifndef ERT_FULLY_CONNECTED_ROWS_H
#define ERT_FULLY_CONNECTED_ROWS_H

#include "nibble.h"
#include "pairs.h"

typedef struct {
  int32_t rows, in_c, out_c; /* in_c: items of an image row */
  int32_t weights;           /* blob: int8[rows][out_c][in_c] */
  ert_rescale rescale;
} ert_fully_connected_rows_s8s8_params;

typedef ert_fully_connected_rows_s8s8_params ert_fully_connected_rows_s8s8_pairs_params;

typedef struct {
  int32_t rows, in_c, out_c;
  int32_t weights; /* blob: float[rows][out_c][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_fully_connected_rows_f32_params;

typedef struct {
  int32_t rows, in_c, out_c;
  int32_t weights; /* blob: int4[rows][out_c][in_c], in_c of them padded to bytes */
  ert_rescale rescale;
} ert_fully_connected_rows_s8s4_params;

int ert_fully_connected_rows_s8s8_check(const ert_step *s);
int ert_fully_connected_rows_s8s8_pairs_check(const ert_step *s);
int ert_fully_connected_rows_f32_check(const ert_step *s);
int ert_fully_connected_rows_s8s4_check(const ert_step *s);

#endif
