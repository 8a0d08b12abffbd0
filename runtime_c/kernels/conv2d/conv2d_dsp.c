/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of s8s4 quads have the layout of those of s8s8 pairs.
 *
 * Windows of two pixels go into slots, widened where they are bytes, row by row of the kernel; pairs of pixels go on
 * across output rows. */
#include "conv2d/conv2d.h"
#include "blocks_dsp.h"
#include "twos.h"

#if ERT_HAS_dsp

/* First layers gather for nearly as long as they multiply: for size they take 8 % longer. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_FEATURE_DSP)
#pragma GCC optimize("O2")
#endif

/* What int8 and int16 differ in. */
typedef struct {
  const ert_conv2d_geometry *g;
  ert_tile *tile;
  ert_two_pixels_fn *two_pixels;
  void (*widen_two)(uint32_t *slots, const int8_t *a, const int8_t *b, int32_t bytes);
  int32_t in_bytes, out_bytes; /* of pixels */
  int32_t pad;                 /* a byte */
  int32_t halves;              /* 1: items have two bytes */
} layer;

/* `window` is where the pixel's window begins if all of it lies inside of the image, in rows that follow one another. */
typedef struct {
  int32_t y, x;
  int8_t *out;
  const int8_t *window;
} pixel;

/* Words, of which the last may overlap the one before. */
static void copy_bytes(int8_t *to, const int8_t *from, int32_t n) {
  if (n >= 4) {
    const int8_t *const last = from + n - 4;
    int8_t *const to_last = to + n - 4;
    for (; from < last; from += 4, to += 4) ert_store_word(to, ert_load_word(from));
    ert_store_word(to_last, ert_load_word(last));
  } else {
    for (; n > 0; n--) *to++ = *from++;
  }
}

/* Columns of a row, the zero point where they lie outside. */
static void copy_columns(const layer *l, const int8_t *row, int32_t ix, int8_t *to) {
  const ert_conv2d_geometry *g = l->g;
  const int32_t bytes = l->in_bytes;
  for (int32_t kx = 0; kx < g->kernel_w; kx++, ix += g->dilation_w, to += bytes) {
    const int inside = row != NULL && ix >= 0 && ix < g->in_w;
    if (inside) copy_bytes(to, row + ix * bytes, bytes);
    else ERT_MEMSET(to, l->pad, bytes);
  }
}

/* Row ky of a pixel's window: where it lies if that is one run inside of the image, else put together in `buffer`. */
static const int8_t *run_at(const ert_call *c, const layer *l, const pixel *at, int32_t ky, int8_t *buffer) {
  const ert_conv2d_geometry *g = l->g;
  const int32_t iy = at->y * g->stride_h - g->pad_top + ky * g->dilation_h, ix = at->x * g->stride_w - g->pad_left;
  const int8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&c->in[0], iy) : NULL;
  const int one_run = g->dilation_w == 1 || g->kernel_w == 1;
  if (row != NULL && one_run && ix >= 0 && ix + g->kernel_w <= g->in_w) return row + ix * l->in_bytes;
  copy_columns(l, row, ix, buffer);
  return buffer;
}

/* The window of a pixel in one piece, where its rows are no whole words. */
static void gather(const ert_call *c, const layer *l, const pixel *at, int32_t run, int8_t *to) {
  for (int32_t ky = 0; ky < l->g->kernel_h; ky++, to += run) {
    const int8_t *from = run_at(c, l, at, ky, to);
    if (from != to) copy_bytes(to, from, run);
  }
}

/* Rows of a window put together. */
static void join(const int8_t *from, int32_t step, int32_t rows, int32_t run, int8_t *to) {
  for (; rows > 0; rows--, from += step, to += run) copy_bytes(to, from, run);
}

static void widen(const ert_call *c, const layer *l, const pixel *a, const pixel *b) {
  const int32_t rows = l->g->kernel_h, run = l->g->kernel_w * l->in_bytes, n = rows * run;
  const int32_t step = l->g->dilation_h * c->in[0].row_bytes;
  const int8_t *in_a = a->window, *in_b = in_a ? b->window : NULL;
  uint32_t *slots = c->scratch;
  int8_t *const buffer = (int8_t *)(slots + (l->tile->end - slots));
  if (run & 3) {
    if (in_b) join(in_a, step, rows, run, buffer), join(in_b, step, rows, run, buffer + n);
    else gather(c, l, a, run, buffer), gather(c, l, b, run, buffer + n);
    l->widen_two(slots, buffer, buffer + n, n);
    return;
  }
  for (int32_t ky = 0; ky < rows; ky++, slots += run >> l->halves) {
    const int32_t row = ky * step;
    if (in_b) l->widen_two(slots, in_a + row, in_b + row, run);
    else l->widen_two(slots, run_at(c, l, a, ky, buffer), run_at(c, l, b, ky, buffer + run), run);
  }
}

/* Windows that lie in their rows. */
static void in_place(const ert_call *c, const layer *l, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = l->g;
  const int32_t n = g->kernel_w * l->in_bytes;
  const int8_t *pending = NULL;
  int8_t *first = NULL;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *window = ert_row(&c->in[0], y * g->stride_h);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->out_w; x++, out += l->out_bytes, window += g->stride_w * l->in_bytes) {
      const int last = y + 1 == y1 && x + 1 == g->out_w;
      if (pending == NULL) pending = window, first = out;
      if (first == out && !last) continue;
      l->widen_two(c->scratch, pending, window, n); /* a last pixel without partner is computed twice */
      l->two_pixels(l->tile, g->out_c, first, out);
      pending = NULL;
    }
  }
}

/* Where the window of column 0 would begin if all windows of this output row lie inside of the image from above to below,
 * in rows that follow one another. */
static const int8_t *window_row(const ert_call *c, const ert_conv2d_geometry *g, int32_t y) {
  const ert_view *v = &c->in[0];
  const int32_t iy = y * g->stride_h - g->pad_top, last = iy + (g->kernel_h - 1) * g->dilation_h;
  const int whole = v->table == NULL && v->rows >= g->in_h && (g->dilation_w == 1 || g->kernel_w == 1);
  return whole && iy >= 0 && last < g->in_h ? (const int8_t *)v->base + iy * v->row_bytes : NULL;
}

static void gathered(const ert_call *c, const layer *l, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = l->g;
  pixel first = {0};
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *row = window_row(c, g, y);
    pixel at = {y, 0, ert_out_row(&c->out, y), NULL};
    for (int32_t ix = -g->pad_left; at.x < g->out_w; at.x++, at.out += l->out_bytes, ix += g->stride_w) {
      const int last = y + 1 == y1 && at.x + 1 == g->out_w;
      at.window = row && ix >= 0 && ix + g->kernel_w <= g->in_w ? row + ix * l->in_bytes : NULL;
      if (first.out == NULL) first = at;
      if (first.out == at.out && !last) continue;
      widen(c, l, &first, &at);
      l->two_pixels(l->tile, g->out_c, first.out, at.out);
      first.out = NULL;
    }
  }
}

static void convolve(const ert_call *c, const layer *l, int32_t y0, int32_t y1) {
  if (ert_conv2d_in_place(l->g)) in_place(c, l, y0, y1);
  else gathered(c, l, y0, y1);
}

static void bytes(const ert_call *c, int32_t y0, int32_t y1, ert_two_pixels_fn *two_pixels) {
  const ert_conv2d_s8s8_pairs_params *p = (const void *)c->params;
  ert_tile tile = ert_tile_of(c, &p->rescale, ert_conv2d_window(&p->g));
  const layer l = {&p->g, &tile, two_pixels, ert_widen_two, p->g.in_c, p->g.out_c, p->in_zero_point, 0};
  convolve(c, &l, y0, y1);
}

void ert_conv2d_s8s8_2x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { bytes(c, y0, y1, ert_pairs_two); }

void ert_conv2d_s8s4_2x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { bytes(c, y0, y1, ert_quads_two); }

void ert_conv2d_s16s8_2x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s16s8_twos_params *p = (const void *)c->params;
  const ert_lanes_s16 *s = &p->scales;
  ert_tile tile = ert_twos_tile_of(c, s, p->weights, ert_conv2d_window(&p->g));
  const layer l = {
      &p->g, &tile, s->wide ? ert_twos_two_wide : ert_twos_two, ert_interleave_two, 2 * p->g.in_c, 2 * p->g.out_c,
      0,     1};
  convolve(c, &l, y0, y1);
}

#endif
