/* SPDX-License-Identifier: Apache-2.0 */
/* The parameters of s8s4 quads have the layout of those of s8s8 pairs.
 *
 * Windows of two pixels are widened into slots, row by row of the kernel; pairs of pixels go on across output rows. */
#include "conv2d/conv2d.h"
#include "blocks_dsp.h"

#if ERT_HAS_dsp

/* First layers gather for nearly as long as they multiply: for size they take 8 % longer. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_FEATURE_DSP)
#pragma GCC optimize("O2")
#endif

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
static void copy_columns(const ert_conv2d_geometry *g, const int8_t *row, int32_t ix, int8_t pad, int8_t *to) {
  for (int32_t kx = 0; kx < g->kernel_w; kx++, ix += g->dilation_w, to += g->in_c) {
    const int inside = row != NULL && ix >= 0 && ix < g->in_w;
    if (inside) copy_bytes(to, row + ix * g->in_c, g->in_c);
    else ERT_MEMSET(to, pad, g->in_c);
  }
}

/* Row ky of a pixel's window: where it lies if that is one run inside of the image, else put together in `buffer`. */
static const int8_t *run_at(const ert_call *c, const ert_conv2d_s8s8_pairs_params *p, const pixel *at, int32_t ky,
                            int8_t *buffer) {
  const ert_conv2d_geometry *g = &p->g;
  const int32_t iy = at->y * g->stride_h - g->pad_top + ky * g->dilation_h, ix = at->x * g->stride_w - g->pad_left;
  const int8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&c->in[0], iy) : NULL;
  const int one_run = g->dilation_w == 1 || g->kernel_w == 1;
  if (row != NULL && one_run && ix >= 0 && ix + g->kernel_w <= g->in_w) return row + ix * g->in_c;
  copy_columns(g, row, ix, (int8_t)p->in_zero_point, buffer);
  return buffer;
}

/* The window of a pixel in one piece, where its rows are no whole words. */
static void gather(const ert_call *c, const ert_conv2d_s8s8_pairs_params *p, const pixel *at, int32_t run, int8_t *to) {
  for (int32_t ky = 0; ky < p->g.kernel_h; ky++, to += run) {
    const int8_t *from = run_at(c, p, at, ky, to);
    if (from != to) copy_bytes(to, from, run);
  }
}

/* Rows of a window put together. */
static void join(const int8_t *from, int32_t step, int32_t rows, int32_t run, int8_t *to) {
  for (; rows > 0; rows--, from += step, to += run) copy_bytes(to, from, run);
}

static void widen(const ert_call *c, const ert_conv2d_s8s8_pairs_params *p, const pixel *a, const pixel *b) {
  const int32_t run = p->g.kernel_w * p->g.in_c, n = p->g.kernel_h * run, step = p->g.dilation_h * c->in[0].row_bytes;
  const int8_t *in_a = a->window, *in_b = in_a ? b->window : NULL;
  uint32_t *slots = c->scratch;
  int8_t *const buffer = (int8_t *)(slots + ((n + 3) & ~3));
  if (run & 3) {
    if (in_b) join(in_a, step, p->g.kernel_h, run, buffer), join(in_b, step, p->g.kernel_h, run, buffer + n);
    else gather(c, p, a, run, buffer), gather(c, p, b, run, buffer + n);
    ert_widen_two(slots, buffer, buffer + n, n);
    return;
  }
  for (int32_t ky = 0; ky < p->g.kernel_h; ky++, slots += run) {
    const int32_t row = ky * step;
    if (in_b) ert_widen_two(slots, in_a + row, in_b + row, run);
    else ert_widen_two(slots, run_at(c, p, a, ky, buffer), run_at(c, p, b, ky, buffer + run), run);
  }
}

/* Windows that lie in their rows. */
static void in_place(const ert_call *c, ert_tile *layer, int32_t y0, int32_t y1, ert_two_pixels_fn *two_pixels) {
  const ert_conv2d_s8s8_pairs_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t n = ert_conv2d_window(g);
  const int8_t *pending = NULL;
  int8_t *first = NULL;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *window = ert_row(&c->in[0], y * g->stride_h);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c, window += g->stride_w * g->in_c) {
      const int last = y + 1 == y1 && x + 1 == g->out_w;
      if (pending == NULL) pending = window, first = out;
      if (first == out && !last) continue;
      ert_widen_two(c->scratch, pending, window, n); /* a last pixel without partner is computed twice */
      two_pixels(layer, g->out_c, first, out);
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

static void gathered(const ert_call *c, ert_tile *layer, int32_t y0, int32_t y1, ert_two_pixels_fn *two_pixels) {
  const ert_conv2d_s8s8_pairs_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  pixel first = {0};
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *row = window_row(c, g, y);
    pixel at = {y, 0, ert_out_row(&c->out, y), NULL};
    for (int32_t ix = -g->pad_left; at.x < g->out_w; at.x++, at.out += g->out_c, ix += g->stride_w) {
      const int last = y + 1 == y1 && at.x + 1 == g->out_w;
      at.window = row && ix >= 0 && ix + g->kernel_w <= g->in_w ? row + ix * g->in_c : NULL;
      if (first.out == NULL) first = at;
      if (first.out == at.out && !last) continue;
      widen(c, p, &first, &at);
      two_pixels(layer, g->out_c, first.out, at.out);
      first.out = NULL;
    }
  }
}

static void convolve(const ert_call *c, int32_t y0, int32_t y1, ert_two_pixels_fn *two_pixels) {
  const ert_conv2d_s8s8_pairs_params *p = (const void *)c->params;
  ert_tile layer = ert_tile_of(c, &p->rescale, ert_conv2d_window(&p->g));
  if (ert_conv2d_in_place(&p->g)) in_place(c, &layer, y0, y1, two_pixels);
  else gathered(c, &layer, y0, y1, two_pixels);
}

void ert_conv2d_s8s8_2x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { convolve(c, y0, y1, ert_pairs_two); }

void ert_conv2d_s8s4_2x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { convolve(c, y0, y1, ert_quads_two); }

#endif
