/* SPDX-License-Identifier: Apache-2.0 */
#include "grouped_conv2d/grouped_conv2d.h"
#include "dot.h"

static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t groups, int32_t size) {
  return ert_conv2d_geometry_ok(s, g, size) && ert_within(groups, 1, g->in_c) && g->in_c % groups == 0 &&
         g->out_c % groups == 0;
}

/* Weights of a channel; INT32_MAX where that is too many. */
static int32_t window_count(const ert_conv2d_geometry *g, int32_t groups) {
  return ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c / groups);
}

static int weights_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t groups, int32_t weights, int32_t size) {
  return ert_blob_ok(s, weights, ert_product(window_count(g, groups), g->out_c), size);
}

int ert_grouped_conv2d_s8s8_check(const ert_step *s) {
  const ert_grouped_conv2d_s8s8_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 1) && weights_ok(s, &p->g, p->groups, p->weights, 1) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_grouped_conv2d_f32_check(const ert_step *s) {
  const ert_grouped_conv2d_f32_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 4) && weights_ok(s, &p->g, p->groups, p->weights, 4) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

int ert_grouped_conv2d_s16s8_check(const ert_step *s) {
  const ert_grouped_conv2d_s16s8_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 2) && weights_ok(s, &p->g, p->groups, p->weights, 1) &&
         ert_rescale_s16_ok(s, &p->rescale, p->g.out_c);
}

int ert_grouped_conv2d_f32s8_check(const ert_step *s) {
  const ert_grouped_conv2d_f32s8_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 4) && weights_ok(s, &p->g, p->groups, p->weights, 1) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4) && ert_within(p->step, 0, 1) &&
         ert_blob_ok(s, p->scale, p->step ? p->g.out_c : 1, 4);
}

int ert_grouped_conv2d_f32f16_check(const ert_step *s) {
  const ert_grouped_conv2d_f32f16_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 4) && weights_ok(s, &p->g, p->groups, p->weights, 2) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

int ert_grouped_conv2d_s8s4_check(const ert_step *s) {
  const ert_grouped_conv2d_s8s4_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 1) &&
         ert_weights_s4_ok(s, &p->filter, window_count(&p->g, p->groups), p->g.out_c) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_grouped_conv2d_f32s4_check(const ert_step *s) {
  const ert_grouped_conv2d_f32s4_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, 4) &&
         ert_weights_s4_ok(s, &p->filter, window_count(&p->g, p->groups), p->g.out_c) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4) && ert_within(p->step, 0, 1) &&
         ert_blob_ok(s, p->scale, p->step ? p->g.out_c : 1, 4);
}

/* One pixel of the window, its channels dealt out to the windows of the groups; a pixel of `pad` where it is NULL. */
static void deal(const uint8_t *pixel, int pad, int32_t groups, int32_t part, int32_t span, uint8_t *to) {
  for (int32_t q = 0; q < groups; q++, to += span) {
    if (pixel == NULL) ERT_MEMSET(to, pad, part);
    else ERT_MEMMOVE(to, pixel + q * part, part);
  }
}

/* The window of output pixel (y, x), one group after another. */
static const uint8_t *gather(const ert_call *c, const ert_conv2d_geometry *g, int32_t groups, int32_t y, int32_t x,
                             int32_t size, int pad) {
  const int32_t part = g->in_c / groups * size, span = g->kernel_h * g->kernel_w * part;
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  uint8_t *to = c->scratch;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    const uint8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&c->in[0], iy) : NULL;
    for (int32_t kx = 0; kx < g->kernel_w; kx++, to += part) {
      const int32_t ix = ix0 + kx * g->dilation_w;
      const int inside = row != NULL && ix >= 0 && ix < g->in_w;
      deal(inside ? row + ix * g->in_c * size : NULL, pad, groups, part, span, to);
    }
  }
  return c->scratch;
}

static ert_scales from_channel(ert_scales s, int32_t o) {
  s.bias += o;
  s.multiplier += o * s.step;
  s.shift += o * s.step;
  return s;
}

void ert_grouped_conv2d_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_s8s8_params *p = (const void *)c->params;
  const int32_t n = ert_conv2d_window(&p->g) / p->groups, n_out = p->g.out_c / p->groups;
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++) {
      const int8_t *in = (const int8_t *)gather(c, &p->g, p->groups, y, x, 1, p->in_zero_point);
      const int8_t *w = ert_blob(c, p->weights);
      for (int32_t q = 0; q < p->groups; q++, in += n, w += n * n_out, out += n_out) {
        const ert_scales own = from_channel(scales, q * n_out);
        ert_pixel_s8(&own, in, w, n, n_out, out);
      }
    }
  }
}

void ert_grouped_conv2d_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_f32_params *p = (const void *)c->params;
  const int32_t n = ert_conv2d_window(&p->g) / p->groups, n_out = p->g.out_c / p->groups;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++) {
      const float *in = (const void *)gather(c, &p->g, p->groups, y, x, 4, 0);
      const float *w = ert_blob(c, p->weights), *bias = ert_blob(c, p->bias);
      for (int32_t q = 0; q < p->groups; q++, in += n, w += n * n_out, bias += n_out, out += n_out)
        ert_pixel_f32(in, w, bias, n, n_out, p->min, p->max, out);
    }
  }
}

/* A layer as its groups share it; of the three finishes one counts. */
typedef struct {
  const ert_conv2d_geometry *g;
  const void *weights;
  ert_rows_s4 narrow;
  ert_scales scales;
  ert_scales_s16 scales_s16;
  ert_float_finish finish;
  int32_t groups, n, n_out, size, pad; /* weights and channels of a group, bytes of an item */
} layer;

static layer layer_of(const ert_conv2d_geometry *g, int32_t groups, int32_t size, int32_t pad) {
  layer l = {0};
  l.g = g, l.groups = groups, l.size = size, l.pad = pad;
  l.n = ert_conv2d_window(g) / groups, l.n_out = g->out_c / groups;
  return l;
}

/* Output channels [o, o + n_out) of one pixel from the window of their group. */
typedef void (*group_channels)(const layer *l, int32_t o, const void *in, void *out);

static void each_group(const ert_call *c, const layer *l, int32_t y0, int32_t y1, group_channels compute) {
  for (int32_t y = y0; y < y1; y++) {
    uint8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < l->g->out_w; x++) {
      const uint8_t *in = gather(c, l->g, l->groups, y, x, l->size, l->pad);
      for (int32_t q = 0; q < l->groups; q++, in += l->n * l->size, out += l->n_out * l->size)
        compute(l, q * l->n_out, in, out);
    }
  }
}

static ert_float_finish finish_from(ert_float_finish f, int32_t o) {
  f.bias += o;
  if (f.scale) f.scale += o * f.step;
  return f;
}

static void channels_s16s8(const layer *l, int32_t o, const void *in, void *out) {
  ert_scales_s16 s = l->scales_s16;
  s.bias += o, s.multiplier += o * s.step, s.shift += o * s.step;
  ert_pixel_s16s8(&s, in, (const int8_t *)l->weights + o * l->n, l->n, l->n_out, out);
}

static void channels_f32s8(const layer *l, int32_t o, const void *in, void *out) {
  const ert_float_finish f = finish_from(l->finish, o);
  ert_pixel_f32s8(&f, in, (const int8_t *)l->weights + o * l->n, l->n, l->n_out, out);
}

static void channels_f32f16(const layer *l, int32_t o, const void *in, void *out) {
  const ert_float_finish f = finish_from(l->finish, o);
  ert_pixel_f32f16(&f, in, (const uint16_t *)l->weights + o * l->n, l->n, l->n_out, out);
}

static void channels_s8s4(const layer *l, int32_t o, const void *in, void *out) {
  const ert_scales s = from_channel(l->scales, o);
  const ert_rows_s4 w = ert_rows_s4_from(l->narrow, o);
  ert_pixel_s8s4(&s, in, &w, l->n_out, out);
}

static void channels_f32s4(const layer *l, int32_t o, const void *in, void *out) {
  const ert_float_finish f = finish_from(l->finish, o);
  const ert_rows_s4 w = ert_rows_s4_from(l->narrow, o);
  ert_pixel_f32s4(&f, in, &w, l->n_out, out);
}

void ert_grouped_conv2d_s16s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_s16s8_params *p = (const void *)c->params;
  layer l = layer_of(&p->g, p->groups, 2, 0);
  l.weights = ert_blob(c, p->weights), l.scales_s16 = ert_scales_s16_of(c, &p->rescale);
  each_group(c, &l, y0, y1, channels_s16s8);
}

void ert_grouped_conv2d_f32s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_f32s8_params *p = (const void *)c->params;
  layer l = layer_of(&p->g, p->groups, 4, 0);
  l.weights = ert_blob(c, p->weights);
  l.finish = (ert_float_finish){ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  each_group(c, &l, y0, y1, channels_f32s8);
}

void ert_grouped_conv2d_f32f16_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_f32f16_params *p = (const void *)c->params;
  layer l = layer_of(&p->g, p->groups, 4, 0);
  l.weights = ert_blob(c, p->weights);
  l.finish = (ert_float_finish){ert_blob(c, p->bias), NULL, 0, p->min, p->max};
  each_group(c, &l, y0, y1, channels_f32f16);
}

void ert_grouped_conv2d_s8s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_s8s4_params *p = (const void *)c->params;
  layer l = layer_of(&p->g, p->groups, 1, p->in_zero_point);
  l.narrow = ert_rows_s4_of(c, &p->filter, l.n), l.scales = ert_scales_of(c, &p->rescale);
  each_group(c, &l, y0, y1, channels_s8s4);
}

void ert_grouped_conv2d_f32s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_f32s4_params *p = (const void *)c->params;
  layer l = layer_of(&p->g, p->groups, 4, 0);
  l.narrow = ert_rows_s4_of(c, &p->filter, l.n);
  l.finish = (ert_float_finish){ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  each_group(c, &l, y0, y1, channels_f32s4);
}
