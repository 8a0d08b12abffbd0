/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d/conv2d.h"
#include "thumb2.h"

#if ERT_HAS_thumb2

enum { MOST_ROWS = 8 }; /* of a window that is read where it lies */

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  int32_t pad, span; /* of a row of a window */
  int32_t apart;     /* 1 where the rows of a window are read where they lie */
  const uint8_t *row[MOST_ROWS];
  ert_rows_of x[MOST_ROWS];
} pair;

/* Columns ix0, ix0 + dilation, ... of one row, `pad` where they lie outside. */
static void copy_columns(const pair *q, const uint8_t *row, int32_t ix0, uint8_t *to) {
  const ert_conv2d_geometry *g = q->g;
  for (int32_t kx = 0, ix = ix0; kx < g->kernel_w; kx++, ix += g->dilation_w, to += g->in_c)
    if (ix < 0 || ix >= g->in_w) ert_fill_bytes(to, q->pad, g->in_c);
    else ert_copy_bytes(to, row + ix * g->in_c, g->in_c);
}

/* Row iy of the input, NULL where it lies outside. */
static const uint8_t *row_at(const pair *q, int32_t iy) {
  return iy < 0 || iy >= q->g->in_h ? NULL : ert_row(&q->c->in[0], iy);
}

/* Rows of the windows of output row y: those of tall windows are looked up pixel by pixel. */
static void find_rows(pair *q, int32_t y) {
  const ert_conv2d_geometry *g = q->g;
  for (int32_t ky = 0; ky < g->kernel_h && ky < MOST_ROWS; ky++)
    q->row[ky] = row_at(q, y * g->stride_h - g->pad_top + ky * g->dilation_h);
}

/* The window of output pixel (y, x) for one of the pair: its rows where they lie if they are read apart and are runs
 * of the image, else in scratch. */
static void place(pair *q, int32_t slot, int32_t y, int32_t x) {
  const ert_conv2d_geometry *g = q->g;
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  const int inside = ix0 >= 0 && ix0 + g->kernel_w <= g->in_w && (g->dilation_w == 1 || g->kernel_w == 1);
  const int32_t offset = inside ? ix0 * g->in_c : 0;
  uint8_t *to = (uint8_t *)q->c->scratch + slot * g->kernel_h * q->span;
  q->x[0].of[slot] = (const int8_t *)to;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, to += q->span) {
    const uint8_t *row = ky < MOST_ROWS ? q->row[ky] : row_at(q, iy0 + ky * g->dilation_h), *at = to;
    if (row == NULL) ert_fill_bytes(to, q->pad, q->span);
    else if (!inside) copy_columns(q, row, ix0, to);
    else if (q->apart) at = row + offset;
    else ert_copy_bytes(to, row + offset, q->span);
    if (q->apart) q->x[ky].of[slot] = (const int8_t *)at;
  }
}

/* Gathering a window takes some 20 + span / 2 instructions a row and pixel, reading its rows apart 17 a row and panel
 * of a pair. */
static int reads_apart(const ert_conv2d_geometry *g, int32_t span) {
  return ert_within(g->kernel_h, 2, MOST_ROWS) && 17 * (int64_t)g->out_c < 4 * (40 + (int64_t)span);
}

/* Whether the first of a pair still reads what n bytes at `out` would overwrite. */
static int overwrites(const pair *q, const ert_panel_walk *walk, const int8_t *out, int32_t n) {
  for (const ert_rows_of *row = q->x; row < walk->end; row++)
    if (ert_lies_on(row->of[0], walk->n, out, n)) return 1;
  return 0;
}

/* Two pixels at a time, also across rows. */
void ert_conv2d_s8s8_2x4__thumb2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_panels_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  const int in_place = ert_conv2d_in_place(g);
  int8_t *out[2];
  int32_t slot = 0;
  ert_panel_walk walk;
  pair q = {.c = c, .g = g, .pad = p->in_zero_point, .span = g->kernel_w * g->in_c};
  q.apart = reads_apart(g, q.span);
  ert_panels_begin(&walk, c, &p->filter, g->out_c, q.apart ? q.span : g->kernel_h * q.span, q.apart ? g->kernel_h : 1,
                   q.x);
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = in_place ? ert_row(&c->in[0], y * g->stride_h) : NULL;
    int8_t *to = ert_out_row(&c->out, y);
    if (!in_place) find_rows(&q, y);
    if (slot == 1 && overwrites(&q, &walk, to, g->out_c)) ert_panels_run(&walk, 1, out), slot = 0;
    for (int32_t x = 0; x < g->out_w; x++, to += g->out_c) {
      if (in_place) q.x[0].of[slot] = in, in += g->stride_w * g->in_c;
      else place(&q, slot, y, x);
      out[slot] = to;
      if (slot == 1) ert_panels_run(&walk, 2, out);
      slot ^= 1;
    }
  }
  if (slot == 1) ert_panels_run(&walk, 1, out);
}

#endif
