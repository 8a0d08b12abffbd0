/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, o] = act(b[o] + sum over i and those ky, kx for which both quotients are whole and lie in the image of
 *                in[(y + pad_top - ky * dilation_h) / stride_h, (x + pad_left - kx * dilation_w) / stride_w, i]
 *                * w[o, ky, kx, i])
 *
 * Rows with the same y mod stride_h read the same ky: each pair of phases (y mod stride_h, x mod stride_w) is a
 * convolution of stride 1 with the taps of its own, over input with in_zero_point (float: 0) around it. The weights
 * are stored phase by phase, taps in the order of the input that they read (from the last ky, kx to the first).
 *
 * s8s8: bias has a row for each phase, with - in_zero_point * (sum of the phase's weights) folded in; act is
 *       requantize.h's rescale. Sums are modulo 2^32; the writer guarantees that none wraps.
 * s16s8: in_zero_point is 0, one bias for all phases; act is requantize.h's rescale_s16.
 * f32s8, f32f16: weights of a smaller type, read as floats, as in conv2d.h.
 * s8s4, f32s4: as s8s8 and f32s8 with int4 weights, two in a byte; in_c is even, so that phases end with bytes. */
#ifndef ERT_TRANSPOSE_CONV2D_H
#define ERT_TRANSPOSE_CONV2D_H

#include "conv2d/conv2d.h"

typedef struct {
  ert_conv2d_geometry g; /* pads: what is cut from the top and left of the full result */
  int32_t in_zero_point;
  int32_t weights;     /* blob: int8[phase y][phase x][out_c][taps y][taps x][in_c] */
  ert_rescale rescale; /* bias: int32[stride_h][stride_w][out_c] */
} ert_transpose_conv2d_s8s8_params;

typedef struct {
  ert_conv2d_geometry g; /* pads: what is cut from the top and left of the full result */
  int32_t weights;       /* blob: float[phase y][phase x][out_c][taps y][taps x][in_c] */
  int32_t bias;          /* blob: float[out_c] */
  float min, max;
} ert_transpose_conv2d_f32_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8, laid out as those of s8s8 */
  ert_rescale_s16 rescale;
} ert_transpose_conv2d_s16s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8, laid out as those of s8s8 */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_transpose_conv2d_f32s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: float16, laid out as those of s8s8 */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_transpose_conv2d_f32f16_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights;     /* blob: int4, laid out as those of s8s8 */
  ert_rescale rescale; /* bias: int32[stride_h][stride_w][out_c] */
} ert_transpose_conv2d_s8s4_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int4, laid out as those of s8s8 */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_transpose_conv2d_f32s4_params;

/* Items of the largest window that is gathered. */
int32_t ert_transpose_conv2d_gathered(const ert_conv2d_geometry *g);
int ert_transpose_conv2d_s8s8_check(const ert_step *s);
int ert_transpose_conv2d_f32_check(const ert_step *s);
int ert_transpose_conv2d_s16s8_check(const ert_step *s);
int ert_transpose_conv2d_f32s8_check(const ert_step *s);
int ert_transpose_conv2d_f32f16_check(const ert_step *s);
int ert_transpose_conv2d_s8s4_check(const ert_step *s);
int ert_transpose_conv2d_f32s4_check(const ert_step *s);

#endif
