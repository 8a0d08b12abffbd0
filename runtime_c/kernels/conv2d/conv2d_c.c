/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d/conv2d.h"
#include "dot.h"

int ert_conv2d_geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t size) {
  const int32_t *extents = &g->kernel_h;
  for (int i = 0; i < 6; i++)
    if (!ert_within(extents[i], 1, ERT_MAX_EXTENT)) return 0;
  return s->n_in == 1 && ert_within(g->pad_top, 0, ERT_MAX_EXTENT) && ert_within(g->pad_left, 0, ERT_MAX_EXTENT) &&
         ert_within(g->in_h, 1, ERT_MAX_EXTENT) && ert_within(g->in_w, 1, ERT_MAX_EXTENT) &&
         ert_within(g->in_c, 1, ERT_MAX_CHANNELS) && ert_within(g->out_w, 1, ERT_MAX_EXTENT) &&
         ert_within(g->out_c, 1, ERT_MAX_CHANNELS) && s->rows <= ERT_MAX_EXTENT &&
         ert_view_ok(s->in, ert_product(g->in_w, g->in_c), size) &&
         ert_view_ok(s->out, ert_product(g->out_w, g->out_c), size);
}

/* Weights of all channels; INT32_MAX where that is too many. */
static int32_t weight_count(const ert_conv2d_geometry *g) {
  return ert_product(ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c), g->out_c);
}

/* Weights of a channel; INT32_MAX where that is too many. */
static int32_t window_count(const ert_conv2d_geometry *g) {
  return ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c);
}

int ert_conv2d_s8s8_check(const ert_step *s) {
  const ert_conv2d_s8s8_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && ert_blob_ok(s, p->weights, weight_count(&p->g), 1) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

/* Items of a window that two widened ones of fit a scratch; INT32_MAX where that is too many. */
static int32_t widened_items(const ert_conv2d_geometry *g) {
  const int32_t n = ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c);
  return n <= INT32_MAX / 8 ? n : INT32_MAX;
}

int ert_conv2d_s8s8_pairs_check(const ert_step *s) {
  const ert_conv2d_s8s8_pairs_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && ert_pairs_rescale_ok(s, &p->rescale, widened_items(&p->g), p->g.out_c);
}

int ert_conv2d_s8s4_quads_check(const ert_step *s) {
  const ert_conv2d_s8s4_quads_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && ert_quads_rescale_ok(s, &p->rescale, widened_items(&p->g), p->g.out_c);
}

int ert_conv2d_s8s8_panels_check(const ert_step *s) {
  const ert_conv2d_s8s8_panels_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  return ert_conv2d_geometry_ok(s, g, 1) && ert_product(2, window_count(g)) < INT32_MAX &&
         ert_panels_ok(s, &p->filter, window_count(g), g->out_c);
}

int ert_conv2d_s8s8_lanes_check(const ert_step *s) {
  const ert_conv2d_s8s8_lanes_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t n = ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c);
  return ert_conv2d_geometry_ok(s, g, 1) &&
         ert_lanes_ok(s, p->scales.scales, p->weights, ert_lanes_s8_bytes(n), g->out_c);
}

int ert_conv2d_s16s8_lanes_check(const ert_step *s) {
  const ert_conv2d_s16s8_lanes_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t n = ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c);
  return ert_conv2d_geometry_ok(s, g, 2) && ert_lanes_ok(s, p->scales.scales, p->weights, n, g->out_c);
}

int ert_conv2d_s16s8_twos_check(const ert_step *s) {
  const ert_conv2d_s16s8_twos_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 2) &&
         ert_twos_ok(s, p->weights, &p->scales, widened_items(&p->g), p->g.out_c);
}

int ert_conv2d_s8s4_lanes_check(const ert_step *s) {
  const ert_conv2d_s8s4_lanes_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t n = ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c);
  if (!ert_conv2d_geometry_ok(s, g, 1) || n > INT32_MAX / 4) return 0;
  const int32_t runs = ert_conv2d_runs(g);
  return ert_lanes_ok(s, p->scales.scales, p->weights, ert_lanes_s4_bytes(runs, n / runs), g->out_c);
}

int ert_conv2d_f32_check(const ert_step *s) {
  const ert_conv2d_f32_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_blob_ok(s, p->weights, weight_count(&p->g), 4) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

/* Input columns ix0, ix0 + dilation, ... of one row, `pad` (a byte) where they lie outside. */
static void copy_columns(const ert_conv2d_geometry *g, const uint8_t *row, int32_t ix0, int32_t pixel, int pad,
                         uint8_t *to) {
  for (int32_t kx = 0; kx < g->kernel_w; kx++, to += pixel) {
    const int32_t ix = ix0 + kx * g->dilation_w;
    if (ix < 0 || ix >= g->in_w) ERT_MEMSET(to, pad, pixel);
    else ERT_MEMMOVE(to, row + ix * pixel, pixel);
  }
}

/* The window of output pixel (y, x) where every window lies in one row. */
static const void *run_of_row(const ert_call *c, const ert_conv2d_geometry *g, int32_t y, int32_t x, int32_t size) {
  return (const uint8_t *)ert_row(&c->in[0], y * g->stride_h) + x * g->stride_w * g->in_c * size;
}

const void *ert_conv2d_window_at(const ert_call *c, const ert_conv2d_geometry *g, int32_t y, int32_t x, int32_t size,
                                 int pad) {
  const int32_t pixel = g->in_c * size, span = g->kernel_w * pixel;
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  const int inside = ix0 >= 0 && ix0 + g->kernel_w <= g->in_w && (g->dilation_w == 1 || g->kernel_w == 1);
  if (g->kernel_h == 1 && inside && iy0 >= 0 && iy0 < g->in_h)
    return (const uint8_t *)ert_row(&c->in[0], iy0) + ix0 * pixel;
  uint8_t *to = c->scratch;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, to += span) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    if (iy < 0 || iy >= g->in_h) {
      ERT_MEMSET(to, pad, span);
      continue;
    }
    const uint8_t *row = ert_row(&c->in[0], iy);
    if (inside) ERT_MEMMOVE(to, row + ix0 * pixel, span);
    else copy_columns(g, row, ix0, pixel, pad, to);
  }
  return c->scratch;
}

void ert_conv2d_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_params *p = (const void *)c->params;
  const int32_t n = ert_conv2d_window(&p->g);
  const int8_t *w = ert_blob(c, p->weights);
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const int8_t *in =
          in_place ? run_of_row(c, &p->g, y, x, 1) : ert_conv2d_window_at(c, &p->g, y, x, 1, p->in_zero_point);
      ert_pixel_s8(&scales, in, w, n, p->g.out_c, out);
    }
  }
}

void ert_conv2d_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_f32_params *p = (const void *)c->params;
  const int32_t n = ert_conv2d_window(&p->g);
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const float *in = in_place ? run_of_row(c, &p->g, y, x, 4) : ert_conv2d_window_at(c, &p->g, y, x, 4, 0);
      ert_pixel_f32(in, ert_blob(c, p->weights), ert_blob(c, p->bias), n, p->g.out_c, p->min, p->max, out);
    }
  }
}

int ert_conv2d_s16s8_check(const ert_step *s) {
  const ert_conv2d_s16s8_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 2) && ert_blob_ok(s, p->weights, weight_count(&p->g), 1) &&
         ert_rescale_s16_ok(s, &p->rescale, p->g.out_c);
}

int ert_conv2d_f32s8_check(const ert_step *s) {
  const ert_conv2d_f32s8_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_blob_ok(s, p->weights, weight_count(&p->g), 1) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4) && ert_within(p->step, 0, 1) &&
         ert_blob_ok(s, p->scale, p->step ? p->g.out_c : 1, 4);
}

int ert_conv2d_f32f16_check(const ert_step *s) {
  const ert_conv2d_f32f16_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_blob_ok(s, p->weights, weight_count(&p->g), 2) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

void ert_conv2d_s16s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s16s8_params *p = (const void *)c->params;
  const int32_t n = ert_conv2d_window(&p->g);
  const ert_scales_s16 scales = ert_scales_s16_of(c, &p->rescale);
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const int16_t *in = in_place ? run_of_row(c, &p->g, y, x, 2) : ert_conv2d_window_at(c, &p->g, y, x, 2, 0);
      ert_pixel_s16s8(&scales, in, ert_blob(c, p->weights), n, p->g.out_c, out);
    }
  }
}

void ert_conv2d_f32s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_f32s8_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  const int32_t n = ert_conv2d_window(&p->g);
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const float *in = in_place ? run_of_row(c, &p->g, y, x, 4) : ert_conv2d_window_at(c, &p->g, y, x, 4, 0);
      ert_pixel_f32s8(&finish, in, ert_blob(c, p->weights), n, p->g.out_c, out);
    }
  }
}

void ert_conv2d_f32f16_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_f32f16_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), NULL, 0, p->min, p->max};
  const int32_t n = ert_conv2d_window(&p->g);
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const float *in = in_place ? run_of_row(c, &p->g, y, x, 4) : ert_conv2d_window_at(c, &p->g, y, x, 4, 0);
      ert_pixel_f32f16(&finish, in, ert_blob(c, p->weights), n, p->g.out_c, out);
    }
  }
}

int ert_conv2d_s8s4_check(const ert_step *s) {
  const ert_conv2d_s8s4_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && ert_weights_s4_ok(s, &p->filter, window_count(&p->g), p->g.out_c) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_conv2d_f32s4_check(const ert_step *s) {
  const ert_conv2d_f32s4_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_weights_s4_ok(s, &p->filter, window_count(&p->g), p->g.out_c) &&
         window_count(&p->g) <= INT32_MAX / 4 && ert_blob_ok(s, p->bias, p->g.out_c, 4) && ert_within(p->step, 0, 1) &&
         ert_blob_ok(s, p->scale, p->step ? p->g.out_c : 1, 4);
}

void ert_conv2d_s8s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s4_params *p = (const void *)c->params;
  const ert_rows_s4 w = ert_rows_s4_of(c, &p->filter, ert_conv2d_window(&p->g));
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const int8_t *in =
          in_place ? run_of_row(c, &p->g, y, x, 1) : ert_conv2d_window_at(c, &p->g, y, x, 1, p->in_zero_point);
      ert_pixel_s8s4(&scales, in, &w, p->g.out_c, out);
    }
  }
}

void ert_conv2d_f32s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_f32s4_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  const ert_rows_s4 w = ert_rows_s4_of(c, &p->filter, ert_conv2d_window(&p->g));
  const int in_place = ert_conv2d_in_place(&p->g);
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      const float *in = in_place ? run_of_row(c, &p->g, y, x, 4) : ert_conv2d_window_at(c, &p->g, y, x, 4, 0);
      ert_pixel_f32s4(&finish, in, &w, p->g.out_c, out);
    }
  }
}
