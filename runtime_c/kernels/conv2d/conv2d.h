/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, o] = act(b[o] + sum over ky, kx, i of
 *                in[y * stride_h - pad_top + ky * dilation_h, x * stride_w - pad_left + kx * dilation_w, i]
 *                * w[o, ky, kx, i]), input outside the image = in_zero_point (float: 0).
 *
 * s8s8: b has - in_zero_point * (sum of w[o]) folded in; act is requantize.h's rescale.
 *       Sums are modulo 2^32; the writer guarantees that none wraps.
 *       In panels (panels.h) the same: the rows for Thumb-2.
 * s16s8: in_zero_point is 0; act is requantize.h's rescale_s16: wide sums of 64 bits and a single rounding where the
 *        bias has 64 bits or there is none, TFLite Micro's sums of 32 bits and double rounding where it has 32.
 * f32s8: b[o] + scale[o * step] * (sum of in * w), clamped: int8 weights, read as floats.
 * f32f16: float16 weights, read as floats.
 * s8s8 pairs: weights, biases, multipliers and shifts as pairs.h has them.
 * s8s4 quads: as quads.h has them.
 * s16s8 twos: as twos.h has them.
 * s8s8, s8s4, s16s8 lanes: scales and what follows the weights as lanes.h has them.
 * s8s4, f32s4: as s8s8 and f32s8, the weights int4, in groups where they have factors (nibble.h). */
#ifndef ERT_CONV2D_H
#define ERT_CONV2D_H

#include "lanes.h"
#include "nibble.h"
#include "panels.h"
#include "quads.h"
#include "twos.h"

typedef struct {
  int32_t in_h, in_w, in_c, out_w, out_c;
  int32_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_left;
} ert_conv2d_geometry;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int8[out_c][kernel_h][kernel_w][in_c] */
  ert_rescale rescale;
} ert_conv2d_s8s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  ert_pairs_rescale rescale;
} ert_conv2d_s8s8_pairs_params;

typedef ert_conv2d_s8s8_pairs_params ert_conv2d_s8s4_quads_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights; /* blob: int8[4 * ceil(out_c / 4)][max(16, kernel_h * kernel_w * in_c)], int8[16] */
  ert_lanes scales;
} ert_conv2d_s8s8_lanes_params;

typedef ert_conv2d_s8s8_lanes_params ert_conv2d_s8s4_lanes_params; /* rows of weights as lanes.h has them */

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8[4 * ceil(out_c / 4)][kernel_h][kernel_w][in_c], int8[16] */
  ert_lanes_s16 scales;
} ert_conv2d_s16s8_lanes_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8 twos[ceil(out_c / 4)][n in fours][4] */
  ert_lanes_s16 scales;
} ert_conv2d_s16s8_twos_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: float[out_c][kernel_h][kernel_w][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_conv2d_f32_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8[out_c][kernel_h][kernel_w][in_c] */
  ert_rescale_s16 rescale;
} ert_conv2d_s16s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: int8[out_c][kernel_h][kernel_w][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_conv2d_f32s8_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights; /* blob: float16[out_c][kernel_h][kernel_w][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_conv2d_f32f16_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  ert_weights_s4 filter;
  ert_rescale rescale;
} ert_conv2d_s8s4_params;

typedef struct {
  ert_conv2d_geometry g;
  ert_weights_s4 filter;
  int32_t bias;  /* blob: float[out_c] */
  int32_t scale; /* blob: float[out_c] or float[1] */
  int32_t step;  /* 1 per channel, 0 per tensor */
  float min, max;
} ert_conv2d_f32s4_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  ert_panels filter; /* n: kernel_h, kernel_w, in_c */
} ert_conv2d_s8s8_panels_params;

static inline int32_t ert_conv2d_window(const ert_conv2d_geometry *g) { return g->kernel_h * g->kernel_w * g->in_c; }

/* Whether every window is a run of one input row, read where it lies. Rows below the image cannot be told from these
 * parameters: a step that has them is written with a dilation_h of 2, which means nothing else to a single row. */
static inline int ert_conv2d_in_place(const ert_conv2d_geometry *g) {
  return g->kernel_h == 1 && g->dilation_h == 1 && g->pad_top == 0 && g->pad_left == 0 &&
         (g->dilation_w == 1 || g->kernel_w == 1) && (g->out_w - 1) * g->stride_w <= g->in_w - g->kernel_w;
}

/* Items of the window that is gathered. */
static inline int32_t ert_conv2d_gathered(const ert_conv2d_geometry *g) {
  return ert_conv2d_in_place(g) ? 0 : ert_conv2d_window(g);
}

/* Runs of a window, of equal lengths, that are read where they lie inside the image: a row of the kernel each, where those
 * are whole vectors. */
static inline int32_t ert_conv2d_runs(const ert_conv2d_geometry *g) {
  return g->kernel_h <= 3 && g->dilation_w == 1 && g->kernel_w * g->in_c % 16 == 0 ? g->kernel_h : 1;
}

/* Windows that are gathered before their pixels are computed together: three where they are small. */
static inline int32_t ert_conv2d_slots(const ert_conv2d_geometry *g) { return ert_conv2d_gathered(g) <= 42 ? 3 : 1; }

/* Bytes for two widened windows, and for two that are gathered: whole, or row by row where rows are whole words. */
static inline int32_t ert_conv2d_widened(const ert_conv2d_geometry *g) {
  const int32_t n = ert_conv2d_window(g), run = g->kernel_w * g->in_c, widened = 4 * ((n + 3) & ~3);
  return ert_conv2d_in_place(g) ? widened : widened + 2 * (run & 3 ? n : run);
}

/* The same of int16 windows. */
static inline int32_t ert_conv2d_interleaved(const ert_conv2d_geometry *g) {
  const int32_t n = ert_conv2d_window(g), run = g->kernel_w * g->in_c, slots = 4 * ((n + 3) & ~3);
  return ert_conv2d_in_place(g) ? slots : slots + 4 * (run & 1 ? n : run);
}

/* The window of output pixel (y, x): where it lies if that is one run of a row, else gathered into scratch, with `pad`
 * (a byte) outside of the image. Offsets of padding may be negative here: the window begins further inside. */
const void *ert_conv2d_window_at(const ert_call *c, const ert_conv2d_geometry *g, int32_t y, int32_t x, int32_t size,
                                 int pad);

int ert_conv2d_geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t size);
int ert_conv2d_s8s8_check(const ert_step *s);
int ert_conv2d_s8s8_pairs_check(const ert_step *s);
int ert_conv2d_s8s4_quads_check(const ert_step *s);
int ert_conv2d_s8s8_panels_check(const ert_step *s);
int ert_conv2d_s8s8_lanes_check(const ert_step *s);
int ert_conv2d_s8s4_lanes_check(const ert_step *s);
int ert_conv2d_s16s8_lanes_check(const ert_step *s);
int ert_conv2d_s16s8_twos_check(const ert_step *s);
int ert_conv2d_f32_check(const ert_step *s);
int ert_conv2d_s16s8_check(const ert_step *s);
int ert_conv2d_f32s8_check(const ert_step *s);
int ert_conv2d_f32f16_check(const ert_step *s);
int ert_conv2d_s8s4_check(const ert_step *s);
int ert_conv2d_f32s4_check(const ert_step *s);

#endif
