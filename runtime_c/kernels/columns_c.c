/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

/* Where the columns of one row of the window lie; those outside the image are `padding`. */
static void point_row(const ert_conv2d_geometry *g, const void **at, int32_t columns, const uint8_t *row, int32_t bytes,
                      const uint8_t *padding) {
  int32_t i = 0;
  for (; i < columns && i < g->pad_left; i++) at[i] = padding;
  const int32_t inside = row ? g->in_w : 0, last = columns - g->pad_left < inside ? columns - g->pad_left : inside;
  for (int32_t x = 0; x < last; x++, row += bytes) at[i++] = row;
  for (; i < columns; i++) at[i] = padding;
}

/* Every row of the window of output row y. */
static void point(const ert_call *c, const ert_conv2d_geometry *g, int32_t y, int32_t bytes, const uint8_t *padding) {
  const int32_t columns = ert_columns_count(g);
  const void **at = c->scratch;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, at += columns) {
    const int32_t iy = y * g->stride_h - g->pad_top + ky * g->dilation_h;
    point_row(g, at, columns, iy >= 0 && iy < g->in_h ? ert_row(&c->in[0], iy) : NULL, bytes, padding);
  }
}

/* `t` has weights, scales and limits of the layer; `fill`: the bytes of an item of padding. */
static void convolve(const ert_call *c, const ert_conv2d_geometry *g, const ert_columns_kernel *k,
                     const ert_columns_args *t, int32_t scale_bytes, int fill, int32_t y0, int32_t y1) {
  const int32_t columns = ert_columns_count(g), bytes = g->in_c * k->item;
  const ptrdiff_t panel_bytes = (ptrdiff_t)ert_round_up(g->kernel_h, k->depth) * g->kernel_w * k->nr * k->item;
  uint8_t *padding = (uint8_t *)c->scratch + 8 * g->kernel_h * columns;
  ERT_MEMSET(padding, fill, bytes);
  for (int32_t y = y0; y < y1; y++) {
    ert_columns_args a = *t;
    point(c, g, y, bytes, padding);
    a.in = c->scratch, a.out = ert_out_row(&c->out, y), a.columns = columns;
    a.pixels = g->out_w, a.step = bytes;
    a.kernel_h = g->kernel_h, a.kernel_w = g->kernel_w, a.stride = g->stride_w, a.dilation = g->dilation_w;
    for (int32_t o = 0; o < g->out_c; o += k->nr) {
      a.channels = g->out_c - o < k->nr ? g->out_c - o : k->nr;
      k->run(&a);
      a.out += k->nr * k->item, a.offset += k->nr * k->item;
      a.weights = (const uint8_t *)a.weights + panel_bytes;
      a.scales = (const uint8_t *)a.scales + scale_bytes;
    }
  }
}

void ert_columns_s8(const ert_call *c, const ert_columns_kernel *k, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  const ert_columns_args t = {.weights = ert_blob(c, p->weights),
                              .scales = ert_blob(c, p->scales),
                              .zero_point = p->zero_point,
                              .min = p->min,
                              .max = p->max};
  convolve(c, &p->g, k, &t, 12 * k->nr, p->in_zero_point, y0, y1);
}

void ert_columns_f32(const ert_call *c, const ert_columns_kernel *k, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_f32_tiles_params *p = (const void *)c->params;
  const ert_columns_args t = {
      .weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->bias), .low = p->min, .high = p->max};
  convolve(c, &p->g, k, &t, 4 * k->nr, 0, y0, y1);
}
