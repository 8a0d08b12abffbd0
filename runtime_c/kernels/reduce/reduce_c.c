/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce/reduce.h"
#include "accumulate.h"
#include "items.h"

static int shape_ok(const ert_step *s, const ert_reduce_shape *g, int32_t size) {
  return s->n_in == 1 && g->in_rows >= 1 && g->width >= 1 && ert_within(g->inner, 1, ERT_MAX_CHANNELS) &&
         ert_within(g->kind, ERT_REDUCE_REQUANTIZE, ERT_REDUCE_PRODUCT) &&
         ert_view_ok(s->in, ert_product(g->width, g->inner), size) && ert_view_ok(s->out, g->inner, size);
}

int ert_reduce_s8_check(const ert_step *s) {
  const ert_reduce_s8_params *p = (const void *)s->params;
  /* Sums of int8 items, with rounding, stay within int32. */
  const int divides = p->shape.kind == ERT_REDUCE_DIVIDE;
  return shape_ok(s, &p->shape, 1) && p->shape.kind <= ERT_REDUCE_DIVIDE &&
         (!divides || ert_within(p->multiplier, 1, 1 << 23)) &&
         (!divides || ert_product(p->shape.in_rows, p->shape.width) <= 1 << 23);
}

int ert_reduce_f32_check(const ert_step *s) {
  const ert_reduce_f32_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 4) && p->shape.kind != ERT_REDUCE_DIVIDE;
}

int ert_reduce_int_check(const ert_step *s) {
  const ert_reduce_int_params *p = (const void *)s->params;
  return ert_is_integer(p->dtype) && p->shape.kind != ERT_REDUCE_DIVIDE &&
         shape_ok(s, &p->shape, ert_item_size(p->dtype));
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

static int32_t finish(const ert_reduce_s8_params *p, uint32_t sum) {
  if (p->shape.kind == ERT_REDUCE_DIVIDE) {
    /* Unsigned, because scratch holds anything where a file lets another step write there. */
    const uint32_t half = (uint32_t)(p->multiplier / 2);
    return (int32_t)((int32_t)sum > 0 ? sum + half : sum - half) / p->multiplier;
  }
  const int32_t x = ert_requantize((int32_t)(sum + (uint32_t)p->offset), p->multiplier, p->shift);
  return (int32_t)((uint32_t)x + (uint32_t)p->zero_point);
}

static void sum_s8(const ert_call *c, const ert_reduce_s8_params *p, int32_t y, int32_t r, int8_t *out) {
  const ert_reduce_shape *g = &p->shape;
  uint32_t *acc = c->scratch;
  if (r == 0) ERT_MEMSET(acc, 0, g->inner * 4);
  sum_row_s8(g, ert_row(&c->in[0], y), acc);
  if (r < g->in_rows - 1) return;
  for (int32_t i = 0; i < g->inner; i++) out[i] = (int8_t)ert_clamp(finish(p, acc[i]), p->min, p->max);
}

static void max_s8(const ert_reduce_shape *g, const int8_t *x, int32_t r, int8_t *out) {
  if (r == 0) ERT_MEMMOVE(out, x, g->inner);
  for (int32_t w = 0; w < g->width; w++, x += g->inner) ert_max_s8(out, x, g->inner);
}

void ert_reduce_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / p->shape.in_rows, r = y - row * p->shape.in_rows;
    int8_t *out = ert_out_row(&c->out, row);
    if (p->shape.kind == ERT_REDUCE_MAXIMUM) max_s8(&p->shape, ert_row(&c->in[0], y), r, out);
    else sum_s8(c, p, y, r, out);
  }
}

static float smaller_f32(float a, float b) { return a < b || a != a ? a : b; }

static void reduce_row_f32(const ert_reduce_shape *g, const float *x, int32_t r, float *out) {
  const int sums = g->kind == ERT_REDUCE_REQUANTIZE;
  if (r == 0 && sums) ERT_MEMSET(out, 0, g->inner * 4);
  if (r == 0 && !sums) ERT_MEMMOVE(out, x, g->inner * 4);
  for (int32_t w = r == 0 && !sums; w < g->width; w++) {
    const float *items = x + w * g->inner;
    if (g->kind == ERT_REDUCE_MAXIMUM) ert_max_f32(out, items, g->inner);
    else if (sums) ert_sum_f32(out, items, g->inner);
    else if (g->kind == ERT_REDUCE_MINIMUM)
      for (int32_t i = 0; i < g->inner; i++) out[i] = smaller_f32(out[i], items[i]);
    else
      for (int32_t i = 0; i < g->inner; i++) out[i] *= items[i];
  }
}

void ert_reduce_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_f32_params *p = (const void *)c->params;
  const ert_reduce_shape *g = &p->shape;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / g->in_rows, r = y - row * g->in_rows;
    float *out = ert_out_row(&c->out, row);
    reduce_row_f32(g, ert_row(&c->in[0], y), r, out);
    if (r == g->in_rows - 1 && g->kind == ERT_REDUCE_REQUANTIZE)
      for (int32_t i = 0; i < g->inner; i++) out[i] *= p->scale;
  }
}

static int64_t combined_int(int32_t kind, int64_t a, int64_t b) {
  if (kind == ERT_REDUCE_REQUANTIZE) return (int64_t)((uint64_t)a + (uint64_t)b);
  if (kind == ERT_REDUCE_PRODUCT) return (int64_t)((uint64_t)a * (uint64_t)b);
  return (kind == ERT_REDUCE_MAXIMUM) == (a > b) ? a : b;
}

static void reduce_row_int(const ert_reduce_int_params *p, const void *x, int32_t r, void *out) {
  const ert_reduce_shape *g = &p->shape;
  for (int32_t w = 0; w < g->width; w++)
    for (int32_t i = 0; i < g->inner; i++) {
      const int64_t item = ert_load_item(x, w * g->inner + i, p->dtype);
      const int first = r == 0 && w == 0;
      const int64_t result = first ? item : combined_int(g->kind, ert_load_item(out, i, p->dtype), item);
      ert_store_item(out, i, p->dtype, result);
    }
}

void ert_reduce_int_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_int_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / p->shape.in_rows, r = y - row * p->shape.in_rows;
    reduce_row_int(p, ert_row(&c->in[0], y), r, ert_out_row(&c->out, row));
  }
}

int ert_reduce_s16_check(const ert_step *s) {
  const ert_reduce_s16_params *p = (const void *)s->params;
  const int divides = p->shape.kind == ERT_REDUCE_DIVIDE;
  return shape_ok(s, &p->shape, 2) && (!divides || ert_within(p->multiplier, 1, 1 << 15)) &&
         (!divides || ert_product(p->shape.in_rows, p->shape.width) <= 1 << 15);
}

static void sum_s16(const ert_call *c, const ert_reduce_s16_params *p, int32_t y, int32_t r, int16_t *out) {
  const ert_reduce_shape *g = &p->shape;
  const int16_t *x = ert_row(&c->in[0], y);
  uint32_t *acc = c->scratch;
  if (r == 0) ERT_MEMSET(acc, 0, g->inner * 4);
  for (int32_t w = 0; w < g->width; w++, x += g->inner) ert_sum_s16(acc, x, g->inner);
  if (r < g->in_rows - 1) return;
  for (int32_t i = 0; i < g->inner; i++) out[i] = (int16_t)ert_clamp(finish(p, acc[i]), p->min, p->max);
}

static void max_s16(const ert_reduce_shape *g, const int16_t *x, int32_t r, int16_t *out) {
  if (r == 0) ERT_MEMMOVE(out, x, g->inner * 2);
  for (int32_t w = 0; w < g->width; w++, x += g->inner) ert_max_s16(out, x, g->inner);
}

void ert_reduce_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / p->shape.in_rows, r = y - row * p->shape.in_rows;
    int16_t *out = ert_out_row(&c->out, row);
    if (p->shape.kind == ERT_REDUCE_MAXIMUM) max_s16(&p->shape, ert_row(&c->in[0], y), r, out);
    else sum_s16(c, p, y, r, out);
  }
}
