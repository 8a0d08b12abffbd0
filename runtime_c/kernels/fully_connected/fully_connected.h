/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, o] = act(b[o] + sum over i of in[y, i] * w[o, i]); act and folding as in conv2d.h. */
#ifndef ERT_FULLY_CONNECTED_H
#define ERT_FULLY_CONNECTED_H

#include "requantize.h"

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8[out_c][in_c] */
  ert_rescale rescale;
} ert_fully_connected_s8s8_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: float[out_c][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_fully_connected_f32_params;

int ert_fully_connected_s8s8_check(const ert_step *s);
int ert_fully_connected_f32_check(const ert_step *s);

#endif
