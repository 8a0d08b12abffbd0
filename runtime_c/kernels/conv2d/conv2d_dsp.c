/* SPDX-License-Identifier: Apache-2.0 */
/* Windows are widened into two slots in turn, across rows; each time both are full, two pixels are computed. */
#include "conv2d/conv2d.h"
#include "dsp.h"

#if ERT_HAS_dsp

/* Input columns from ix0 on of one row, the zero point where they lie outside. */
static int8_t *copy_columns(const ert_conv2d_geometry *g, const int8_t *row, int32_t ix0, int8_t pad, int8_t *to) {
  for (int32_t kx = 0; kx < g->kernel_w; kx++) {
    const int32_t ix = ix0 + kx * g->dilation_w;
    if (row != NULL && ix >= 0 && ix < g->in_w)
      for (int32_t i = 0; i < g->in_c; i++) *to++ = row[ix * g->in_c + i];
    else
      for (int32_t i = 0; i < g->in_c; i++) *to++ = pad;
  }
  return to;
}

static int8_t *copy_run(const int8_t *from, int32_t n, int8_t *to) {
  for (; n >= 4; n -= 4, from += 4, to += 4) ert_store_word(to, ert_load_word(from));
  for (; n > 0; n--) *to++ = *from++;
  return to;
}

/* The window of output pixel (y, x), gathered. */
static const int8_t *gathered(const ert_call *c, const ert_conv2d_s8s8_params *p, int32_t y, int32_t x,
                              int8_t *window) {
  const ert_conv2d_geometry *g = &p->g;
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  const int inside = ix0 >= 0 && ix0 + g->kernel_w <= g->in_w && (g->dilation_w == 1 || g->kernel_w == 1);
  int8_t *to = window;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    const int8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&c->in[0], iy) : NULL;
    if (row != NULL && inside) to = copy_run(row + ix0 * g->in_c, g->kernel_w * g->in_c, to);
    else to = copy_columns(g, row, ix0, (int8_t)p->in_zero_point, to);
  }
  return window;
}

void ert_conv2d_s8s8_2x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t n = ert_conv2d_window(g);
  const ert_pairs pairs = {ert_blob(c, p->weights), ert_scales_of(c, &p->rescale), n, g->out_c};
  uint32_t *const slots = c->scratch;
  int8_t *const buffer = (int8_t *)(slots + ((n + 3) & ~3));
  const int in_place = ert_conv2d_in_place(g);
  const int8_t *window = NULL;
  int8_t *first = NULL;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    const int8_t *run = in_place ? ert_row(&c->in[0], y * g->stride_h) : NULL;
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
      window = in_place ? run + x * g->stride_w * g->in_c : gathered(c, p, y, x, buffer);
      ert_widen_slot(first ? slots + 1 : slots, window, n);
      if (first) ert_pairs_two(&pairs, slots, first, out);
      first = first ? NULL : out;
    }
  }
  if (first) ert_pairs_one(&pairs, window, first);
}

#endif
