/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_conv2d/depthwise_conv2d.h"

static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t weights, int32_t size) {
  return ert_conv2d_geometry_ok(s, g, size) && g->out_c % g->in_c == 0 &&
         ert_blob_ok(s, weights, ert_product(ert_product(g->kernel_h, g->kernel_w), g->out_c), size);
}

int ert_depthwise_conv2d_s8s8_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s8_params *p = (const void *)s->params;
  return ert_within(p->in_zero_point, -128, 127) && geometry_ok(s, &p->g, p->weights, 1) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_depthwise_conv2d_f32_check(const ert_step *s) {
  const ert_depthwise_conv2d_f32_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 4) && ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

/* The taps of one output pixel: those inside the image first, from the front, as the offset of their pixel from
 * the input's base and of their weights; those in the padding from the back. */
typedef struct {
  int32_t in, weights;
} tap;

static int32_t list_taps(const ert_call *c, const ert_conv2d_geometry *g, int32_t y, int32_t x, tap *taps) {
  int32_t n_inside = 0, n_outside = 0, weights = 0;
  const int32_t last = g->kernel_h * g->kernel_w - 1;
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    const int in_rows = iy >= 0 && iy < g->in_h;
    const int32_t row = in_rows ? (int32_t)((const uint8_t *)ert_row(&c->in[0], iy) - c->in[0].base) : 0;
    for (int32_t kx = 0; kx < g->kernel_w; kx++, weights += g->out_c) {
      const int32_t ix = ix0 + kx * g->dilation_w;
      if (in_rows && ix >= 0 && ix < g->in_w) taps[n_inside++] = (tap){row + ix * g->in_c, weights};
      else taps[last - n_outside++] = (tap){0, weights};
    }
  }
  return n_inside;
}

typedef struct {
  ert_scales scales;
  const int8_t *x, *w;
  const tap *taps;
  int32_t n_inside, n_taps, multiplier, pad;
} pixel;

static void four_channels(const pixel *q, int32_t o, int8_t *out) {
  uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  const tap *t = q->taps;
  for (const tap *end = t + q->n_inside; t < end; t++) {
    const int8_t *x = q->x + t->in + o, *w = q->w + t->weights + o;
    a0 += (uint32_t)(x[0] * w[0]), a1 += (uint32_t)(x[1] * w[1]);
    a2 += (uint32_t)(x[2] * w[2]), a3 += (uint32_t)(x[3] * w[3]);
  }
  for (const tap *end = q->taps + q->n_taps; t < end; t++) {
    const int8_t *w = q->w + t->weights + o;
    a0 += (uint32_t)(q->pad * w[0]), a1 += (uint32_t)(q->pad * w[1]);
    a2 += (uint32_t)(q->pad * w[2]), a3 += (uint32_t)(q->pad * w[3]);
  }
  const uint32_t acc[4] = {a0, a1, a2, a3};
  for (int32_t j = 0; j < 4; j++) out[o + j] = ert_finish_s8(&q->scales, o + j, acc[j]);
}

static void one_channel(const pixel *q, int32_t o, int8_t *out) {
  uint32_t acc = 0;
  const int32_t i = q->multiplier == 1 ? o : o / q->multiplier;
  for (int32_t t = 0; t < q->n_inside; t++) acc += (uint32_t)(q->x[q->taps[t].in + i] * q->w[q->taps[t].weights + o]);
  for (int32_t t = q->n_inside; t < q->n_taps; t++) acc += (uint32_t)(q->pad * q->w[q->taps[t].weights + o]);
  out[o] = ert_finish_s8(&q->scales, o, acc);
}

void ert_depthwise_conv2d_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s8s8_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  pixel q = {ert_scales_of(c, &p->rescale),
             (const int8_t *)c->in[0].base,
             ert_blob(c, p->weights),
             c->scratch,
             0,
             g->kernel_h * g->kernel_w,
             g->out_c / g->in_c,
             p->in_zero_point};
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
      int32_t o = 0;
      q.n_inside = list_taps(c, g, y, x, c->scratch);
      if (q.multiplier == 1)
        for (; o + 4 <= g->out_c; o += 4) four_channels(&q, o, out);
      for (; o < g->out_c; o++) one_channel(&q, o, out);
    }
  }
}

static void add_tap(const ert_conv2d_geometry *g, const float *x, const float *w, float *out) {
  const int32_t multiplier = g->out_c / g->in_c;
  if (multiplier == 1) {
    for (int32_t o = 0; o < g->out_c; o++) out[o] += x[o] * w[o];
    return;
  }
  for (int32_t i = 0, o = 0; i < g->in_c; i++)
    for (int32_t m = 0; m < multiplier; m++, o++) out[o] += x[i] * w[o];
}

static void pixel_f32(const ert_call *c, const ert_depthwise_conv2d_f32_params *p, int32_t y, int32_t x, float *out) {
  const ert_conv2d_geometry *g = &p->g;
  const float *w = ert_blob(c, p->weights);
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  ERT_MEMMOVE(out, ert_blob(c, p->bias), 4 * g->out_c);
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    for (int32_t kx = 0; kx < g->kernel_w; kx++, w += g->out_c) {
      const int32_t ix = ix0 + kx * g->dilation_w;
      if (iy < 0 || iy >= g->in_h || ix < 0 || ix >= g->in_w) continue;
      add_tap(g, (const float *)ert_row(&c->in[0], iy) + ix * g->in_c, w, out);
    }
  }
  for (int32_t o = 0; o < g->out_c; o++) out[o] = out[o] < p->min ? p->min : out[o] > p->max ? p->max : out[o];
}

void ert_depthwise_conv2d_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) pixel_f32(c, p, y, x, out);
  }
}
