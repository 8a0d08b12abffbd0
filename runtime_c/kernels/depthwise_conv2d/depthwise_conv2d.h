/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, o] = act(b[o] + sum over ky, kx of
 *                in[y * stride_h - pad_top + ky * dilation_h, x * stride_w - pad_left + kx * dilation_w,
 *                   o / multiplier] * w[ky, kx, o]),  multiplier = out_c / in_c.
 * Padding, folding, act and types as in conv2d.h; int4 weights have no groups. */
#ifndef ERT_DEPTHWISE_CONV2D_H
#define ERT_DEPTHWISE_CONV2D_H

#include "conv2d/conv2d.h"

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int8[kernel_h][kernel_w][out_c] */
  ert_rescale rescale;
} ert_depthwise_conv2d_s8s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: float[kernel_h][kernel_w][out_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_depthwise_conv2d_f32_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8[kernel_h][kernel_w][out_c] */
  ert_rescale_s16 rescale;
} ert_depthwise_conv2d_s16s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8[kernel_h][kernel_w][out_c] */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_depthwise_conv2d_f32s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: float16[kernel_h][kernel_w][out_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_depthwise_conv2d_f32f16_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int4[kernel_h][kernel_w][out_c], each tap padded to bytes */
  ert_rescale rescale;
} ert_depthwise_conv2d_s8s4_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int4[kernel_h][kernel_w][out_c], each tap padded to bytes */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_depthwise_conv2d_f32s4_params;

int ert_depthwise_conv2d_s8s8_check(const ert_step *s);
int ert_depthwise_conv2d_f32_check(const ert_step *s);
int ert_depthwise_conv2d_s16s8_check(const ert_step *s);
int ert_depthwise_conv2d_f32s8_check(const ert_step *s);
int ert_depthwise_conv2d_f32f16_check(const ert_step *s);
int ert_depthwise_conv2d_s8s4_check(const ert_step *s);
int ert_depthwise_conv2d_f32s4_check(const ert_step *s);

#endif
