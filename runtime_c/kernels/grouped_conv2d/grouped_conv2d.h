/* SPDX-License-Identifier: Apache-2.0 */
/* conv2d whose output channel o reads the input channels of its group alone: with n = in_c / groups and
 * q = o / (out_c / groups),
 *
 * out[y, x, o] = act(b[o] + sum over ky, kx and i < n of in[.., .., q * n + i] * w[o, ky, kx, i])
 *
 * Windows, padding, folding, act and the types of weights as in conv2d.h. */
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

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups;  /* divides in_c and out_c */
  int32_t weights; /* blob: int8[out_c][kernel_h][kernel_w][in_c / groups] */
  ert_rescale_s16 rescale;
} ert_grouped_conv2d_s16s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups;  /* divides in_c and out_c */
  int32_t weights; /* blob: int8[out_c][kernel_h][kernel_w][in_c / groups] */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_grouped_conv2d_f32s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups;  /* divides in_c and out_c */
  int32_t weights; /* blob: float16[out_c][kernel_h][kernel_w][in_c / groups] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_grouped_conv2d_f32f16_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups; /* divides in_c and out_c */
  int32_t in_zero_point;
  ert_weights_s4 filter; /* kernel_h * kernel_w * in_c / groups weights for each of out_c channels */
  ert_rescale rescale;
} ert_grouped_conv2d_s8s4_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t groups; /* divides in_c and out_c */
  ert_weights_s4 filter;
  int32_t bias;  /* blob: float[out_c] */
  int32_t scale; /* blob: float[out_c] or float[1] */
  int32_t step;  /* 1 per channel, 0 per tensor */
  float min, max;
} ert_grouped_conv2d_f32s4_params;

int ert_grouped_conv2d_s8s8_check(const ert_step *s);
int ert_grouped_conv2d_f32_check(const ert_step *s);
int ert_grouped_conv2d_s16s8_check(const ert_step *s);
int ert_grouped_conv2d_f32s8_check(const ert_step *s);
int ert_grouped_conv2d_f32f16_check(const ert_step *s);
int ert_grouped_conv2d_s8s4_check(const ert_step *s);
int ert_grouped_conv2d_f32s4_check(const ert_step *s);

#endif
