/* SPDX-License-Identifier: Apache-2.0 */
/* conv2d whose output channel o reads the input channels of its group alone: with n = in_c / groups and
 * q = o / (out_c / groups),
 *
 * out[y, x, o] = act(b[o] + sum over ky, kx and i < n of in[.., .., q * n + i] * w[o, ky, kx, i])
 *
 * Windows, padding, folding and act as in conv2d.h. */
#ifndef ERT_GROUPED_CONV2D_H
#define ERT_GROUPED_CONV2D_H

#include "conv2d/conv2d.h"

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups; /* divides in_c and out_c */
  int32_t in_zero_point;
  int32_t weights; /* blob: int8[out_c][kernel_h][kernel_w][in_c / groups] */
  ert_rescale rescale;
} ert_grouped_conv2d_s8s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups;  /* divides in_c and out_c */
  int32_t weights; /* blob: float[out_c][kernel_h][kernel_w][in_c / groups] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_grouped_conv2d_f32_params;

int ert_grouped_conv2d_s8s8_check(const ert_step *s);
int ert_grouped_conv2d_f32_check(const ert_step *s);

#endif
