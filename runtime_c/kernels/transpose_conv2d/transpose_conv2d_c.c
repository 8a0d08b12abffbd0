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

/* Weights of all phases; INT32_MAX where that is too many. */
static int32_t weight_count(const ert_conv2d_geometry *g) {
  return ert_product(ert_product(g->kernel_h, g->kernel_w), ert_product(g->in_c, g->out_c));
}

static int phase_bias_ok(const ert_step *s, const ert_conv2d_geometry *g, const ert_rescale *r) {
  const int32_t phases = ert_product(g->stride_h, g->stride_w);
  return ert_rescale_ok(s, r, g->out_c) && ert_blob_ok(s, r->bias, ert_product(phases, g->out_c), 4);
}

static int scale_ok(const ert_step *s, int32_t scale, int32_t step, int32_t n_out) {
  return ert_within(step, 0, 1) && ert_blob_ok(s, scale, step ? n_out : 1, 4);
}

/* Two weights in a byte, of which no phase leaves half a one. */
static int nibbles_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t weights) {
  const int32_t n = weight_count(g);
  return g->in_c % 2 == 0 && n < INT32_MAX && ert_blob_ok(s, weights, n / 2, 1);
}

int ert_transpose_conv2d_s8s8_check(const ert_step *s) {
  const ert_transpose_conv2d_s8s8_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && ert_blob_ok(s, p->weights, weight_count(&p->g), 1) &&
         phase_bias_ok(s, &p->g, &p->rescale);
}

int ert_transpose_conv2d_f32_check(const ert_step *s) {
  const ert_transpose_conv2d_f32_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_blob_ok(s, p->weights, weight_count(&p->g), 4) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

int ert_transpose_conv2d_s16s8_check(const ert_step *s) {
  const ert_transpose_conv2d_s16s8_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 2) && ert_blob_ok(s, p->weights, weight_count(&p->g), 1) &&
         ert_rescale_s16_ok(s, &p->rescale, p->g.out_c);
}

int ert_transpose_conv2d_f32s8_check(const ert_step *s) {
  const ert_transpose_conv2d_f32s8_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_blob_ok(s, p->weights, weight_count(&p->g), 1) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4) && scale_ok(s, p->scale, p->step, p->g.out_c);
}

int ert_transpose_conv2d_f32f16_check(const ert_step *s) {
  const ert_transpose_conv2d_f32f16_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && ert_blob_ok(s, p->weights, weight_count(&p->g), 2) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

int ert_transpose_conv2d_s8s4_check(const ert_step *s) {
  const ert_transpose_conv2d_s8s4_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && nibbles_ok(s, &p->g, p->weights) &&
         phase_bias_ok(s, &p->g, &p->rescale);
}

int ert_transpose_conv2d_f32s4_check(const ert_step *s) {
  const ert_transpose_conv2d_f32s4_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 4) && nibbles_ok(s, &p->g, p->weights) &&
         ert_blob_ok(s, p->bias, p->g.out_c, 4) && scale_ok(s, p->scale, p->step, p->g.out_c);
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

/* All channels of the output pixel at `out`, one of this phase, from its window. */
typedef void (*phase_pixel)(const ert_call *c, const part *q, int32_t phase, const void *in, void *out);

/* `size` bytes of an item, `pad` a byte outside of the image. */
static void each_pixel(const ert_call *c, int32_t y, int32_t size, int pad, phase_pixel compute) {
  const ert_conv2d_geometry *g = (const void *)c->params; /* the params of every type begin with it */
  const phase ph = row_phase(g, y);
  uint8_t *out = ert_out_row(&c->out, y);
  for (int32_t column = 0; column < g->stride_w && column < g->out_w; column++) {
    const part q = part_of(g, ph, column);
    for (int32_t x = column; x < g->out_w; x += g->stride_w) {
      const void *in = window(c, &q, y / g->stride_h, x / g->stride_w, size, pad);
      compute(c, &q, y % g->stride_h * g->stride_w + column, in, out + x * g->out_c * size);
    }
  }
}

static void pixel_f32(const ert_call *c, const part *q, int32_t phase, const void *in, void *out) {
  const ert_transpose_conv2d_f32_params *p = (const void *)c->params;
  const float *w = ert_blob(c, p->weights);
  (void)phase;
  ert_pixel_f32(in, w + q->weights, ert_blob(c, p->bias), q->n, p->g.out_c, p->min, p->max, out);
}

static void pixel_s16s8(const ert_call *c, const part *q, int32_t phase, const void *in, void *out) {
  const ert_transpose_conv2d_s16s8_params *p = (const void *)c->params;
  const ert_scales_s16 scales = ert_scales_s16_of(c, &p->rescale);
  const int8_t *w = ert_blob(c, p->weights);
  (void)phase;
  ert_pixel_s16s8(&scales, in, w + q->weights, q->n, p->g.out_c, out);
}

static void pixel_f32s8(const ert_call *c, const part *q, int32_t phase, const void *in, void *out) {
  const ert_transpose_conv2d_f32s8_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  const int8_t *w = ert_blob(c, p->weights);
  (void)phase;
  ert_pixel_f32s8(&finish, in, w + q->weights, q->n, p->g.out_c, out);
}

static void pixel_f32f16(const ert_call *c, const part *q, int32_t phase, const void *in, void *out) {
  const ert_transpose_conv2d_f32f16_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), NULL, 0, p->min, p->max};
  const uint16_t *w = ert_blob(c, p->weights);
  (void)phase;
  ert_pixel_f32f16(&finish, in, w + q->weights, q->n, p->g.out_c, out);
}

/* The int4 weights of a phase. */
static ert_rows_s4 rows_s4(const ert_call *c, const part *q, int32_t weights) {
  const uint8_t *w = ert_blob(c, weights);
  return (ert_rows_s4){w + q->weights / 2, NULL, q->n, q->n / 2, q->n, 1};
}

static void pixel_s8s4(const ert_call *c, const part *q, int32_t phase, const void *in, void *out) {
  const ert_transpose_conv2d_s8s4_params *p = (const void *)c->params;
  const ert_rows_s4 w = rows_s4(c, q, p->weights);
  ert_scales scales = ert_scales_of(c, &p->rescale);
  scales.bias += phase * p->g.out_c;
  ert_pixel_s8s4(&scales, in, &w, p->g.out_c, out);
}

static void pixel_f32s4(const ert_call *c, const part *q, int32_t phase, const void *in, void *out) {
  const ert_transpose_conv2d_f32s4_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  const ert_rows_s4 w = rows_s4(c, q, p->weights);
  (void)phase;
  ert_pixel_f32s4(&finish, in, &w, p->g.out_c, out);
}

void ert_transpose_conv2d_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) each_pixel(c, y, 4, 0, pixel_f32);
}

void ert_transpose_conv2d_s16s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) each_pixel(c, y, 2, 0, pixel_s16s8);
}

void ert_transpose_conv2d_f32s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) each_pixel(c, y, 4, 0, pixel_f32s8);
}

void ert_transpose_conv2d_f32f16_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) each_pixel(c, y, 4, 0, pixel_f32f16);
}

void ert_transpose_conv2d_s8s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_transpose_conv2d_s8s4_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) each_pixel(c, y, 1, p->in_zero_point, pixel_s8s4);
}

void ert_transpose_conv2d_f32s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) each_pixel(c, y, 4, 0, pixel_f32s4);
}
