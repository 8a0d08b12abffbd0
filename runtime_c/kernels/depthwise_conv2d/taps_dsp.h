/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels of fours of channels share: how a window's taps are found, and the way through the pixels of a row. */
#ifndef ERT_TAPS_DSP_H
#define ERT_TAPS_DSP_H

#include "depthwise_conv2d/depthwise_conv2d.h"
#include "dsp.h"

#if ERT_HAS_dsp

/* How the sums of a pixel are made. A window is a list of taps, each as the offset of its pixel from the input's base;
 * taps in the padding are offsets of `pad`, a pixel of the zero point, by a name of their own where pointers are
 * wider. Up to `high` the loops in assembly read it. */
typedef struct {
  int32_t entry; /* of its taps, as an offset from the first; 1 for Thumb */
  const int32_t *taps, *last;
  const uint8_t *end; /* of the channels that are read */
  ptrdiff_t to_out;   /* from a channel's input */
  uint32_t low, high; /* of int16: two halves each */
  const uint8_t *pad;
} ert_taps_window;

/* Fours of channels from x on, with their words from w on. */
typedef void ert_fours_fn(const int32_t *taps, const uint8_t *x, const uint32_t *w, const ert_taps_window *v);

typedef struct {
  const ert_conv2d_geometry *g;
  const uint32_t *w;
  int32_t words;         /* of four channels */
  int32_t four;          /* bytes of four items */
  int32_t pixel, behind; /* bytes of a pixel, and of those of its channels that are behind the whole fours */
  ert_fours_fn *sum;
} ert_fours_layer;

ERT_INLINE ert_fours_layer ert_fours_layer_of(const ert_conv2d_geometry *g, const uint32_t *w, int32_t words,
                                              int32_t size, ert_fours_fn *sum) {
  return (ert_fours_layer){g, w, words, 4 * size, g->in_c * size, (g->in_c & 3) * size, sum};
}

#if defined(__ARM_FEATURE_DSP)

static inline int32_t ert_pad_offset(const uint8_t *base, const uint8_t *pad) { return (int32_t)(pad - base); }

#else

enum { ERT_PAD_OFFSET = INT32_MIN };

static inline int32_t ert_pad_offset(const uint8_t *base, const uint8_t *pad) {
  (void)base, (void)pad;
  return ERT_PAD_OFFSET;
}

/* Four bytes of a tap, `at` bytes behind x. */
static inline uint32_t ert_tap_word(const ert_taps_window *v, const uint8_t *x, int32_t tap, int32_t at) {
  return ert_load_word((tap == ERT_PAD_OFFSET ? v->pad : x + tap) + at);
}

#endif

/* The taps of the window at row iy0 and column ix0, and one that counts where they are even in number. */
ERT_APART void ert_fours_taps(const ert_call *c, const ert_fours_layer *l, int32_t iy0, int32_t ix0, int32_t pad,
                              int32_t *taps) {
  const ert_conv2d_geometry *g = l->g;
  const int32_t kernel_w = g->kernel_w, apart = g->dilation_w, pixel_bytes = l->pixel;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, iy0 += g->dilation_h) {
    const int in_rows = iy0 >= 0 && iy0 < g->in_h;
    const uint32_t in_w = in_rows ? (uint32_t)g->in_w : 0;
    const int32_t row = in_rows ? (int32_t)((const uint8_t *)ert_row(&c->in[0], iy0) - c->in[0].base) : 0;
    for (int32_t kx = 0, ix = ix0; kx < kernel_w; kx++, ix += apart)
      *taps++ = (uint32_t)ix < in_w ? row + ix * pixel_bytes : pad;
  }
  *taps = pad;
}

/* All channels of a pixel: the last four overlap those before where four does not divide their number. */
ERT_APART void ert_fours_pixel(const ert_fours_layer *l, ert_taps_window *v, const uint8_t *x, const int8_t *out) {
  v->to_out = (ptrdiff_t)((uintptr_t)out - (uintptr_t)x);
  v->end = x + l->pixel - l->behind;
  l->sum(v->taps, x, l->w, v);
  if (l->behind == 0) return;
  v->end += l->behind;
  l->sum(v->taps, v->end - l->four, l->w + (l->g->out_c >> 2) * l->words, v);
}

/* A row of pixels. From one pixel inside the image to the next the input moves; at borders the taps are listed again. */
ERT_INLINE void ert_fours_row(const ert_call *c, const ert_fours_layer *l, ert_taps_window *v, int32_t y) {
  const ert_conv2d_geometry *g = l->g;
  const int32_t last_y = g->in_h - 1 - (g->kernel_h - 1) * g->dilation_h; /* where a window lies in the image */
  const int32_t last_x = g->in_w - 1 - (g->kernel_w - 1) * g->dilation_w;
  const int32_t iy0 = y * g->stride_h - g->pad_top, last = iy0 >= 0 && iy0 <= last_y ? last_x : -1;
  const int32_t step = g->stride_w * l->pixel;
  const uint8_t *const base = c->in[0].base, *x = base;
  int8_t *out = ert_out_row(&c->out, y);
  int listed = 0;
  for (int32_t i = 0, ix0 = -g->pad_left; i < g->out_w; i++, ix0 += g->stride_w, out += l->pixel) {
    const int inside = ix0 >= 0 && ix0 <= last;
    if (inside && listed) x += step;
    else x = base, ert_fours_taps(c, l, iy0, ix0, ert_pad_offset(base, v->pad), c->scratch);
    listed = inside;
    ert_fours_pixel(l, v, x, out);
  }
}

#endif
#endif
