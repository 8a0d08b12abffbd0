/* SPDX-License-Identifier: Apache-2.0 */
#include "grouped_conv2d/grouped_conv2d.h"
#include "dot.h"

static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t groups, int32_t weights, int32_t size) {
  if (!ert_conv2d_geometry_ok(s, g, size) || !ert_within(groups, 1, g->in_c)) return 0;
  const int32_t taps = ert_product(g->kernel_h, g->kernel_w), n = g->in_c / groups;
  return g->in_c % groups == 0 && g->out_c % groups == 0 &&
         ert_blob_ok(s, weights, ert_product(ert_product(taps, n), g->out_c), size);
}

int ert_grouped_conv2d_s8s8_check(const ert_step *s) {
  const ert_grouped_conv2d_s8s8_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, p->weights, 1) && ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_grouped_conv2d_f32_check(const ert_step *s) {
  const ert_grouped_conv2d_f32_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->groups, p->weights, 4) && ert_blob_ok(s, p->bias, p->g.out_c, 4);
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
