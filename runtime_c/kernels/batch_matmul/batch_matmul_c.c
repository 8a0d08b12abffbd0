/* SPDX-License-Identifier: Apache-2.0 */
#include "batch_matmul/batch_matmul.h"

static int operand_ok(const ert_batch_matmul_operand *o, int32_t rows) {
  return o->repeat >= 1 && o->count >= 1 && ert_product(o->count, rows) < INT32_MAX;
}

static int shape_ok(const ert_step *s, const ert_batch_matmul_shape *g, int32_t size) {
  if (s->n_in != 2 || g->m < 1 || g->k < 1 || g->n < 1 || !ert_within(g->transposed, 0, 1)) return 0;
  return operand_ok(&g->a, g->m) && operand_ok(&g->b, g->transposed ? g->n : g->k) && ert_view_ok(s->in, g->k, size) &&
         ert_view_ok(s->in + ERT_VIEW_WORDS, g->transposed ? g->k : g->n, size) && ert_view_ok(s->out, g->n, size);
}

int ert_batch_matmul_s8s8_check(const ert_step *s) {
  const ert_batch_matmul_s8s8_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 1) && ert_within(p->a_zero_point, -128, 127) && ert_within(p->b_zero_point, -128, 127);
}

int ert_batch_matmul_f32_check(const ert_step *s) {
  const ert_batch_matmul_f32_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 4);
}

int ert_batch_matmul_s16s16_check(const ert_step *s) {
  const ert_batch_matmul_s16s16_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 2);
}

/* Row r of the matrix of b that belongs to output row y. */
static const void *b_row(const ert_call *c, const ert_batch_matmul_shape *g, int32_t y, int32_t r) {
  return ert_row(&c->in[1], ert_batch_matmul_matrix(&g->b, y / g->m) * (g->transposed ? g->n : g->k) + r);
}

/* The row of a less its zero point, and the sum of that. */
static int32_t centre(const int8_t *a, int32_t zero_point, int32_t k, int16_t *to) {
  uint32_t sum = 0;
  for (int32_t i = 0; i < k; i++) {
    const int32_t v = a[i] - zero_point;
    to[i] = (int16_t)v;
    sum += (uint32_t)v;
  }
  return (int32_t)sum;
}

static uint32_t dot(const int16_t *x, const int8_t *b, int32_t k) {
  uint32_t acc = 0;
  for (int32_t i = 0; i < k; i++) acc += (uint32_t)(x[i] * b[i]);
  return acc;
}

static void four_dots(const int16_t *x, const int8_t *const *b, int32_t k, uint32_t *acc) {
  const int8_t *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
  uint32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int32_t i = 0; i < k; i++) {
    const int32_t v = x[i];
    s0 += (uint32_t)(v * b0[i]), s1 += (uint32_t)(v * b1[i]);
    s2 += (uint32_t)(v * b2[i]), s3 += (uint32_t)(v * b3[i]);
  }
  acc[0] = s0, acc[1] = s1, acc[2] = s2, acc[3] = s3;
}

/* A sum of products with b as it is stored becomes one with b - b_zero_point. */
static int8_t finish(const ert_batch_matmul_s8s8_params *p, uint32_t acc, int32_t a_sum) {
  const uint32_t sum = acc - (uint32_t)p->b_zero_point * (uint32_t)a_sum;
  const int32_t x = ert_requantize((int32_t)sum, p->multiplier, p->shift);
  return (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)p->zero_point), -128, 127);
}

static void row_of_dots(const ert_call *c, const ert_batch_matmul_s8s8_params *p, int32_t y, int8_t *out) {
  const ert_batch_matmul_shape *g = &p->shape;
  int16_t *x = c->scratch;
  const int32_t a_sum = centre(ert_batch_matmul_row(c, g, y), p->a_zero_point, g->k, x);
  int32_t j = 0;
  for (; j + 4 <= g->n; j += 4) {
    const int8_t *const b[4] = {b_row(c, g, y, j), b_row(c, g, y, j + 1), b_row(c, g, y, j + 2), b_row(c, g, y, j + 3)};
    uint32_t acc[4];
    four_dots(x, b, g->k, acc);
    for (int32_t q = 0; q < 4; q++) out[j + q] = finish(p, acc[q], a_sum);
  }
  for (; j < g->n; j++) out[j] = finish(p, dot(x, b_row(c, g, y, j), g->k), a_sum);
}

static void row_of_sums(const ert_call *c, const ert_batch_matmul_s8s8_params *p, int32_t y, int8_t *out) {
  const ert_batch_matmul_shape *g = &p->shape;
  const int8_t *a = ert_batch_matmul_row(c, g, y);
  uint32_t *acc = c->scratch, a_sum = 0;
  ERT_MEMSET(acc, 0, 4 * g->n);
  for (int32_t i = 0; i < g->k; i++) {
    const int8_t *b = b_row(c, g, y, i);
    const int32_t v = a[i] - p->a_zero_point;
    a_sum += (uint32_t)v;
    for (int32_t j = 0; j < g->n; j++) acc[j] += (uint32_t)(v * b[j]);
  }
  for (int32_t j = 0; j < g->n; j++) out[j] = finish(p, acc[j], (int32_t)a_sum);
}

void ert_batch_matmul_s8s8_x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_s8s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    if (p->shape.transposed) row_of_dots(c, p, y, ert_out_row(&c->out, y));
    else row_of_sums(c, p, y, ert_out_row(&c->out, y));
  }
}

static void four_dots_f32(const float *a, const float *const *b, int32_t k, float *out) {
  const float *b0 = b[0], *b1 = b[1], *b2 = b[2], *b3 = b[3];
  float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  for (int32_t i = 0; i < k; i++) {
    const float v = a[i];
    s0 += v * b0[i], s1 += v * b1[i], s2 += v * b2[i], s3 += v * b3[i];
  }
  out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

static void row_of_dots_f32(const ert_call *c, const ert_batch_matmul_shape *g, int32_t y, float *out) {
  const float *a = ert_batch_matmul_row(c, g, y);
  int32_t j = 0;
  for (; j + 4 <= g->n; j += 4) {
    const float *const b[4] = {b_row(c, g, y, j), b_row(c, g, y, j + 1), b_row(c, g, y, j + 2), b_row(c, g, y, j + 3)};
    four_dots_f32(a, b, g->k, out + j);
  }
  for (; j < g->n; j++) {
    const float *b = b_row(c, g, y, j);
    float sum = 0;
    for (int32_t i = 0; i < g->k; i++) sum += a[i] * b[i];
    out[j] = sum;
  }
}

static void row_of_sums_f32(const ert_call *c, const ert_batch_matmul_shape *g, int32_t y, float *out) {
  const float *a = ert_batch_matmul_row(c, g, y);
  ERT_MEMSET(out, 0, 4 * g->n);
  for (int32_t i = 0; i < g->k; i++) {
    const float *b = b_row(c, g, y, i);
    const float v = a[i];
    for (int32_t j = 0; j < g->n; j++) out[j] += v * b[j];
  }
}

void ert_batch_matmul_f32_x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_shape *g = &((const ert_batch_matmul_f32_params *)(const void *)c->params)->shape;
  for (int32_t y = y0; y < y1; y++) {
    if (g->transposed) row_of_dots_f32(c, g, y, ert_out_row(&c->out, y));
    else row_of_sums_f32(c, g, y, ert_out_row(&c->out, y));
  }
}

static int16_t finish_s16(const ert_batch_matmul_s16s16_params *p, int64_t sum) {
  return (int16_t)ert_clamp(ert_requantize_wide(sum, p->multiplier, p->shift), INT16_MIN, INT16_MAX);
}

static void row_of_dots_s16(const ert_call *c, const ert_batch_matmul_s16s16_params *p, int32_t y, int16_t *out) {
  const ert_batch_matmul_shape *g = &p->shape;
  const int16_t *a = ert_batch_matmul_row(c, g, y);
  for (int32_t j = 0; j < g->n; j++) {
    const int16_t *b = b_row(c, g, y, j);
    int64_t sum = 0;
    for (int32_t i = 0; i < g->k; i++) sum += a[i] * b[i];
    out[j] = finish_s16(p, sum);
  }
}

static void row_of_sums_s16(const ert_call *c, const ert_batch_matmul_s16s16_params *p, int32_t y, int16_t *out) {
  const ert_batch_matmul_shape *g = &p->shape;
  const int16_t *a = ert_batch_matmul_row(c, g, y);
  int64_t *sums = c->scratch;
  for (int32_t j = 0; j < g->n; j++) sums[j] = 0;
  for (int32_t i = 0; i < g->k; i++) {
    const int16_t *b = b_row(c, g, y, i);
    const int32_t v = a[i];
    for (int32_t j = 0; j < g->n; j++) sums[j] += v * b[j];
  }
  for (int32_t j = 0; j < g->n; j++) out[j] = finish_s16(p, sums[j]);
}

void ert_batch_matmul_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_s16s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    if (p->shape.transposed) row_of_dots_s16(c, p, y, ert_out_row(&c->out, y));
    else row_of_sums_s16(c, p, y, ert_out_row(&c->out, y));
  }
}
