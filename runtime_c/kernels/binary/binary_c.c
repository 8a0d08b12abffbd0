/* SPDX-License-Identifier: Apache-2.0 */
#include "binary/binary.h"

/* The last item that an operand reads lies in its row. */
static int operand_ok(const int32_t *view, const ert_binary_shape *g, int32_t pixel, int32_t item, int32_t size) {
  if (pixel < 0 || !ert_within(item, 0, 1)) return 0;
  const int64_t n = (int64_t)(g->w - 1) * pixel + (int64_t)(g->c - 1) * item + 1;
  return n <= INT32_MAX && ert_view_ok(view, (int32_t)n, size);
}

static int shape_ok(const ert_step *s, int32_t size) {
  const ert_binary_shape *g = (const void *)s->params;
  return s->n_in == 2 && g->w >= 1 && g->c >= 1 && ert_view_ok(s->out, ert_product(g->w, g->c), size) &&
         operand_ok(s->in, g, g->a_pixel, g->a_item, size) && operand_ok(s->in + 3, g, g->b_pixel, g->b_item, size);
}

static int is_int8(int32_t x) { return ert_within(x, -128, 127); }

static int is_sign(int32_t x) { return x == 1 || x == -1; }

int ert_add_s8s8_check(const ert_step *s) {
  const ert_add_s8s8_params *p = (const void *)s->params;
  return shape_ok(s, 1) && is_int8(p->a_zero_point) && is_int8(p->b_zero_point) && is_int8(p->zero_point) &&
         is_sign(p->a_sign) && is_sign(p->b_sign) && is_int8(p->min) && is_int8(p->max) &&
         ert_within(p->b_scale.shift, 0, 31) && ert_within(p->scale.shift, 0, 31);
}

int ert_mul_s8s8_check(const ert_step *s) {
  const ert_mul_s8s8_params *p = (const void *)s->params;
  return shape_ok(s, 1) && is_int8(p->a_zero_point) && is_int8(p->b_zero_point) && is_int8(p->zero_point) &&
         is_int8(p->min) && is_int8(p->max) && ert_within(p->shift, -31, 31);
}

int ert_minmax_s8s8_check(const ert_step *s) {
  return shape_ok(s, 1) && is_sign(((const ert_minmax_s8s8_params *)(const void *)s->params)->sign);
}

int ert_add_f32_check(const ert_step *s) { return shape_ok(s, 4); }
int ert_mul_f32_check(const ert_step *s) { return shape_ok(s, 4); }
int ert_minmax_f32_check(const ert_step *s) { return shape_ok(s, 4); }

/* One pixel: c items. The parameters begin with the shape. */
typedef void pixel_fn(const ert_binary_shape *g, const void *a, const void *b, void *out);

static void walk(const ert_call *c, int32_t y0, int32_t y1, int32_t size, pixel_fn *pixel) {
  const ert_binary_shape *g = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const uint8_t *a = ert_row(&c->in[0], y), *b = ert_row(&c->in[1], y);
    uint8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->w; x++)
      pixel(g, a + x * g->a_pixel * size, b + x * g->b_pixel * size, out + x * g->c * size);
  }
}

/* What a shift with rounding adds: half a unit, and less 1 below zero, so that halves go away from zero. */
typedef struct {
  int32_t multiplier, shift, half, below_zero;
} rounding;

static rounding rounding_of(const ert_scale *s) {
  return (rounding){s->multiplier, s->shift, (int32_t)(((uint32_t)1 << s->shift) >> 1), -(s->shift > 0)};
}

/* x * multiplier * 2^-drop * 2^-shift, both roundings in turn. */
static inline int32_t scaled(int32_t x, const rounding *r, int drop) {
  const int32_t high = (int32_t)(((int64_t)x * r->multiplier + ((int64_t)1 << (drop - 1))) >> drop);
  const uint32_t rounded = (uint32_t)high + (uint32_t)r->half + (uint32_t)((high >> 31) & r->below_zero);
  return (int32_t)rounded >> r->shift;
}

static void add_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_add_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  const rounding small = rounding_of(&p->b_scale), total = rounding_of(&p->scale);
  const int32_t factor = p->a_sign * (1 << 19), base = -p->a_zero_point * factor;
  const int32_t low = p->min - p->zero_point, high = p->max - p->zero_point;
  for (const int8_t *end = out + g->c; out < end; a += g->a_item, b += g->b_item) {
    /* x * 2^20 * multiplier / 2^31, without the 20 zero bits. */
    const int32_t y = scaled(*b - p->b_zero_point, &small, 11);
    *out++ = (int8_t)(ert_clamp(scaled(*a * factor + base + p->b_sign * y, &total, 31), low, high) + p->zero_point);
  }
}

static void mul_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_mul_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  const int32_t low = p->min - p->zero_point, high = p->max - p->zero_point;
  for (const int8_t *end = out + g->c; out < end; a += g->a_item, b += g->b_item) {
    const int32_t product = (*a - p->a_zero_point) * (*b - p->b_zero_point);
    *out++ = (int8_t)(ert_clamp(ert_requantize(product, p->multiplier, p->shift), low, high) + p->zero_point);
  }
}

static void minmax_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const int32_t sign = ((const ert_minmax_s8s8_params *)(const void *)g)->sign;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  for (const int8_t *end = out + g->c; out < end; a += g->a_item, b += g->b_item)
    *out++ = sign * *a < sign * *b ? *a : *b;
}

static float clamp_f32(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static void add_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_add_f32_params *p = (const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  for (int32_t k = 0; k < g->c; k++)
    out[k] = clamp_f32(a[k * g->a_item] + p->b_sign * b[k * g->b_item], p->min, p->max);
}

static void mul_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_mul_f32_params *p = (const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  for (int32_t k = 0; k < g->c; k++) out[k] = clamp_f32(a[k * g->a_item] * b[k * g->b_item], p->min, p->max);
}

static void minmax_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const float sign = ((const ert_minmax_f32_params *)(const void *)g)->sign;
  const float *a = va, *b = vb;
  float *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const float x = a[k * g->a_item], y = b[k * g->b_item];
    out[k] = sign * x < sign * y || x != x ? x : y;
  }
}

void ert_add_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 1, add_s8); }
void ert_mul_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 1, mul_s8); }
void ert_minmax_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 1, minmax_s8); }
void ert_add_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 4, add_f32); }
void ert_mul_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 4, mul_f32); }
void ert_minmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 4, minmax_f32); }
