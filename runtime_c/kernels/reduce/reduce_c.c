/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce/reduce.h"
#include "accumulate.h"

static int shape_ok(const ert_step *s, const ert_reduce_shape *g, int32_t size) {
  return s->n_in == 1 && g->in_rows >= 1 && g->width >= 1 && ert_within(g->inner, 1, ERT_MAX_CHANNELS) &&
         ert_product(s->rows, g->in_rows) < INT32_MAX && ert_view_ok(s->in, ert_product(g->width, g->inner), size) &&
         ert_view_ok(s->out, g->inner, size);
}

int ert_reduce_s8_check(const ert_step *s) {
  const ert_reduce_s8_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 1);
}

int ert_reduce_f32_check(const ert_step *s) {
  const ert_reduce_f32_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 4);
}

/* Sums of `width` vectors; a lone column is summed up in a register. */
static void sum_row_s8(const ert_reduce_shape *g, const int8_t *x, uint32_t *acc) {
  if (g->inner == 1) {
    uint32_t sum = acc[0];
    for (int32_t w = 0; w < g->width; w++) {
      const int32_t v = x[w];
      sum += (uint32_t)v;
    }
    acc[0] = sum;
    return;
  }
  for (int32_t w = 0; w < g->width; w++, x += g->inner) ert_sum_s8(acc, x, g->inner);
}

static void sum_s8(const ert_call *c, const ert_reduce_s8_params *p, int32_t iy, int8_t *out) {
  const ert_reduce_shape *g = &p->shape;
  uint32_t *acc = c->scratch;
  ERT_MEMSET(acc, 0, g->inner * 4);
  for (int32_t r = 0; r < g->in_rows; r++) sum_row_s8(g, ert_row(&c->in[0], iy + r), acc);
  for (int32_t i = 0; i < g->inner; i++) {
    const int32_t x = ert_requantize((int32_t)(acc[i] + (uint32_t)p->offset), p->multiplier, p->shift);
    out[i] = (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)p->zero_point), -128, 127);
  }
}

static void max_s8(const ert_call *c, const ert_reduce_shape *g, int32_t iy, int8_t *out) {
  ERT_MEMCPY(out, ert_row(&c->in[0], iy), g->inner);
  for (int32_t r = 0; r < g->in_rows; r++) {
    const int8_t *x = ert_row(&c->in[0], iy + r);
    for (int32_t w = 0; w < g->width; w++, x += g->inner) ert_max_s8(out, x, g->inner);
  }
}

void ert_reduce_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    if (p->shape.maximum) max_s8(c, &p->shape, y * p->shape.in_rows, out);
    else sum_s8(c, p, y * p->shape.in_rows, out);
  }
}

static void reduce_row_f32(const ert_reduce_shape *g, const float *x, float *acc) {
  for (int32_t w = 0; w < g->width; w++, x += g->inner) {
    if (g->maximum) ert_max_f32(acc, x, g->inner);
    else ert_sum_f32(acc, x, g->inner);
  }
}

void ert_reduce_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_f32_params *p = (const void *)c->params;
  const ert_reduce_shape *g = &p->shape;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    if (g->maximum) ERT_MEMCPY(out, ert_row(&c->in[0], y * g->in_rows), g->inner * 4);
    else ERT_MEMSET(out, 0, g->inner * 4);
    for (int32_t r = 0; r < g->in_rows; r++) reduce_row_f32(g, ert_row(&c->in[0], y * g->in_rows + r), out);
    if (!g->maximum)
      for (int32_t i = 0; i < g->inner; i++) out[i] *= p->scale;
  }
}
