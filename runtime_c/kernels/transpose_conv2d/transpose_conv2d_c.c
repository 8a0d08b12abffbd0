/* SPDX-License-Identifier: Apache-2.0 */
#include "transpose_conv2d/transpose_conv2d.h"
#include "dot.h"

static int32_t common_divisor(int32_t a, int32_t b) {
  while (b != 0) {
    const int32_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* Taps of one phase at most: those of a phase lie stride / divisor apart. */
static int32_t most_taps(int32_t kernel, int32_t stride, int32_t dilation) {
  const int32_t apart = stride / common_divisor(stride, dilation);
  return (kernel + apart - 1) / apart;
}

int32_t ert_transpose_conv2d_gathered(const ert_conv2d_geometry *g) {
  return most_taps(g->kernel_h, g->stride_h, g->dilation_h) * most_taps(g->kernel_w, g->stride_w, g->dilation_w) *
         g->in_c;
}

static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t weights, int32_t size) {
  const int32_t taps = ert_product(g->kernel_h, g->kernel_w), channels = ert_product(g->in_c, g->out_c);
  return ert_conv2d_geometry_ok(s, g, size) && ert_blob_ok(s, weights, ert_product(taps, channels), size);
}

int ert_transpose_conv2d_s8s8_check(const ert_step *s) {
  const ert_transpose_conv2d_s8s8_params *p = (const void *)s->params;
  if (!geometry_ok(s, &p->g, p->weights, 1) || !ert_rescale_ok(s, &p->rescale, p->g.out_c)) return 0;
  const int32_t phases = ert_product(p->g.stride_h, p->g.stride_w);
  return ert_blob_ok(s, p->rescale.bias, ert_product(phases, p->g.out_c), 4);
}

int ert_transpose_conv2d_f32_check(const ert_step *s) {
  const ert_transpose_conv2d_f32_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 4) && ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

/* Along one axis, the taps that outputs with this remainder modulo the stride read. */
typedef struct {
  int32_t taps;
  int32_t earlier; /* taps of smaller remainders, whose weights lie in front */
  int32_t first;   /* input index of the first tap of output `remainder` */
} phase;

static phase phase_of(int32_t remainder, int32_t kernel, int32_t stride, int32_t dilation, int32_t pad) {
  phase found = {0, 0, 0};
  for (int32_t k = kernel - 1; k >= 0; k--) {
    const int32_t rest = (k * dilation - pad) % stride, of = rest < 0 ? rest + stride : rest;
    if (of < remainder) found.earlier++;
    if (of != remainder) continue;
    if (found.taps++ == 0) found.first = (remainder + pad - k * dilation) / stride;
  }
  return found;
}

/* The phase of a row (ph) and column (pw) as the convolution that it is, and where its weights begin. */
typedef struct {
  ert_conv2d_geometry g;
  int32_t n, weights;
} part;

static part part_of(const ert_conv2d_geometry *g, phase ph, int32_t column) {
  const phase pw = phase_of(column, g->kernel_w, g->stride_w, g->dilation_w, g->pad_left);
  part q = {*g, ph.taps * pw.taps * g->in_c, 0};
  q.g.kernel_h = ph.taps, q.g.kernel_w = pw.taps;
  q.g.dilation_h = g->dilation_h / common_divisor(g->dilation_h, g->stride_h);
  q.g.dilation_w = g->dilation_w / common_divisor(g->dilation_w, g->stride_w);
  q.g.stride_h = q.g.stride_w = 1;
  q.g.pad_top = -ph.first, q.g.pad_left = -pw.first;
  q.weights = g->in_c * g->out_c * (ph.earlier * g->kernel_w + ph.taps * pw.earlier);
  return q;
}

static const void *window(const ert_call *c, const part *q, int32_t y, int32_t x, int32_t size, int pad) {
  return q->n ? ert_conv2d_window_at(c, &q->g, y, x, size, pad) : c->scratch;
}

static phase row_phase(const ert_conv2d_geometry *g, int32_t y) {
  return phase_of(y % g->stride_h, g->kernel_h, g->stride_h, g->dilation_h, g->pad_top);
}

static void row_s8(const ert_call *c, const ert_transpose_conv2d_s8s8_params *p, int32_t y, int8_t *out) {
  const ert_conv2d_geometry *g = &p->g;
  const phase ph = row_phase(g, y);
  const int8_t *weights = ert_blob(c, p->weights);
  for (int32_t column = 0; column < g->stride_w && column < g->out_w; column++) {
    const part q = part_of(g, ph, column);
    ert_scales scales = ert_scales_of(c, &p->rescale);
    scales.bias += (y % g->stride_h * g->stride_w + column) * g->out_c;
    for (int32_t x = column; x < g->out_w; x += g->stride_w) {
      const int8_t *in = window(c, &q, y / g->stride_h, x / g->stride_w, 1, p->in_zero_point);
      ert_pixel_s8(&scales, in, weights + q.weights, q.n, g->out_c, out + x * g->out_c);
    }
  }
}

void ert_transpose_conv2d_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) row_s8(c, (const void *)c->params, y, ert_out_row(&c->out, y));
}

static void row_f32(const ert_call *c, const ert_transpose_conv2d_f32_params *p, int32_t y, float *out) {
  const ert_conv2d_geometry *g = &p->g;
  const phase ph = row_phase(g, y);
  const float *weights = ert_blob(c, p->weights);
  for (int32_t column = 0; column < g->stride_w && column < g->out_w; column++) {
    const part q = part_of(g, ph, column);
    for (int32_t x = column; x < g->out_w; x += g->stride_w) {
      const float *in = window(c, &q, y / g->stride_h, x / g->stride_w, 4, 0);
      ert_pixel_f32(in, weights + q.weights, ert_blob(c, p->bias), q.n, g->out_c, p->min, p->max, out + x * g->out_c);
    }
  }
}

void ert_transpose_conv2d_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) row_f32(c, (const void *)c->params, y, ert_out_row(&c->out, y));
}
