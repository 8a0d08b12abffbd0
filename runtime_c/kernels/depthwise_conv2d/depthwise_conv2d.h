/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, o] = act(b[o] + sum over ky, kx of
 *                in[y * stride_h - pad_top + ky * dilation_h, x * stride_w - pad_left + kx * dilation_w,
 *                   o / multiplier] * w[ky, kx, o]),  multiplier = out_c / in_c.
 * s8s8 sixteens: weights and scales as sixteens.h has them. s16s8 lanes: multiplier 1, scales as lanes.h has them.
 * Padding, folding, act and types as in conv2d.h; int4 weights have no groups.
 *
 * s8s8 fours: multiplier 1 and at least 4 channels. Each four channels have what they need in a row, as words: four
 * biases; for each two taps (in the order ky, kx) of each channel a word of both weights; for the last tap the weights
 * of channels (0, 2) and of (1, 3); four multipliers, each with its offset; four shifts. Biases and weights are doubled;
 * weights have 16 bits; an even number of taps is filled up with one of weight 0. The last four channels overlap others
 * where 4 does not divide out_c. Then
 *
 *   out = clamp(saturate((((sum * multiplier + 2^31) >> 32) + offset - (sum < 0)) >> shift))
 *
 * is requantize.h's rescale of a right shift >= 1 and a sum below 2^30: offset = (2 * zero_point + 1) << (shift - 1).
 * Kernels "relu" leave out (sum < 0), which a min of at least the zero point hides.
 *
 * s16s8 fours: multiplier 1 and at least 4 channels. Each four channels have four biases; for each tap the weights of
 * the first two and of the second two channels, of 16 bits; four multipliers; four shifts of a byte. The last four
 * overlap others as there. Multipliers, shifts and the rescale are those of twos.h.
 *
 * s8s8 planes: multiplier 1, 3x3 taps, stride and dilation 1. Each channel has ten words: of each row of taps the words
 * (w0, w1) and (w1, w2), bias, multiplier, offset, shift; all as in fours. */
#ifndef ERT_DEPTHWISE_CONV2D_H
#define ERT_DEPTHWISE_CONV2D_H

#include "conv2d/conv2d.h"
#include "sixteens.h"

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int8[kernel_h][kernel_w][out_c] */
  ert_rescale rescale;
} ert_depthwise_conv2d_s8s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int8[ceil(out_c / 16)][kernel_h][kernel_w][16] */
  int32_t scales;  /* blob: ert_sixteen[ceil(out_c / 16)] */
  int32_t zero_point, min, max;
} ert_depthwise_conv2d_s8s8_sixteens_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int32[ceil(out_c / 4)][4 * (kernel_h * kernel_w / 2) + 18] */
  int32_t min, max;
} ert_depthwise_conv2d_s8s8_fours_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int32[ceil(out_c / 4)][2 * kernel_h * kernel_w + 9] */
  int32_t wide;
  int32_t min, max;
} ert_depthwise_conv2d_s16s8_fours_params;

enum { ERT_PLANE_WORDS = 10 };

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int32[out_c][10] */
  int32_t min, max;
} ert_depthwise_conv2d_s8s8_planes_params;

/* int4 weights are widened as int8 ones are: a kernel reads the weights of a pixel too often to unpack them. */
typedef ert_depthwise_conv2d_s8s8_fours_params ert_depthwise_conv2d_s8s4_fours_params;
typedef ert_depthwise_conv2d_s8s8_planes_params ert_depthwise_conv2d_s8s4_planes_params;
typedef ert_depthwise_conv2d_s8s8_sixteens_params ert_depthwise_conv2d_s8s4_sixteens_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8[kernel_h][kernel_w][out_c] */
  ert_lanes_s16 scales;
} ert_depthwise_conv2d_s16s8_lanes_params;

/* Items of a row of a plane: two outputs at a time read two more, and end on a whole word. */
static inline int32_t ert_plane_items(const ert_conv2d_geometry *g) { return (g->out_w + 4) & ~1; }

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

/* Windows of 3x3 without dilation, one output channel for each of input, a stride along rows of 1 or 2. Rescaled as a
 * fast layer of panels.h. */
typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t channels; /* blob: {int32 bias, multiplier; int8 w[9], shift, 0, 0}[out_c] */
  int32_t zero_point, min, max;
} ert_depthwise_conv2d_s8s8_by_channel_params;

int ert_depthwise_conv2d_s8s8_check(const ert_step *s);
int ert_depthwise_conv2d_s8s8_fours_check(const ert_step *s);
int ert_depthwise_conv2d_s8s8_planes_check(const ert_step *s);
int ert_depthwise_conv2d_s8s8_by_channel_check(const ert_step *s);
int ert_depthwise_conv2d_s8s8_sixteens_check(const ert_step *s);
int ert_depthwise_conv2d_s8s4_sixteens_check(const ert_step *s);
int ert_depthwise_conv2d_s16s8_lanes_check(const ert_step *s);
int ert_depthwise_conv2d_s16s8_fours_check(const ert_step *s);
int ert_depthwise_conv2d_f32_check(const ert_step *s);
int ert_depthwise_conv2d_s16s8_check(const ert_step *s);
int ert_depthwise_conv2d_f32s8_check(const ert_step *s);
int ert_depthwise_conv2d_f32f16_check(const ert_step *s);
int ert_depthwise_conv2d_s8s4_fours_check(const ert_step *s);
int ert_depthwise_conv2d_s8s4_planes_check(const ert_step *s);
int ert_depthwise_conv2d_s8s4_check(const ert_step *s);
int ert_depthwise_conv2d_f32s4_check(const ert_step *s);

#endif
