/* SPDX-License-Identifier: Apache-2.0 */
#include "binary/walk.h"

static int is_sign(int32_t x) { return x == 1 || x == -1; }

int ert_add_s8s8_check(const ert_step *s) {
  const ert_add_s8s8_params *p = (const void *)s->params;
  return ert_binary_ok(s, 1) && ert_is_int8(p->a_zero_point) && ert_is_int8(p->b_zero_point) &&
         ert_is_int8(p->zero_point) && ert_is_int8(p->min) && ert_is_int8(p->max) &&
         (p->a_factor == 1 << 20 || p->a_factor == -(1 << 20)) && (p->b_factor == 2 || p->b_factor == -2) &&
         (p->b_gain == 1 << 21 || p->b_gain == 1 << 22) && ert_within(p->b_scale.shift, 1, 31) &&
         ert_within(p->scale.shift, 1, 31);
}

int ert_add_s8s8_dense_check(const ert_step *s) {
  const ert_add_s8s8_dense_params *p = (const void *)s->params;
  const ert_binary_shape *g = &p->shape;
  return ert_binary_ok(s, 1) && ert_operand_is_run(g, g->a_pixel, g->a_item) &&
         ert_operand_is_run(g, g->b_pixel, g->b_item) && ert_is_int8(p->min) && ert_is_int8(p->max);
}

int ert_add_s8s8_linear_check(const ert_step *s) {
  const ert_add_s8s8_linear_params *p = (const void *)s->params;
  const ert_binary_shape *g = &p->shape;
  return ert_binary_ok(s, 1) && ert_operand_is_run(g, g->a_pixel, g->a_item) && ert_operand_is_run(g, g->b_pixel, g->b_item) &&
         ert_within(p->shift, 0, 31) && ert_is_int8(p->min) && ert_is_int8(p->max);
}

int ert_mul_s8s8_check(const ert_step *s) {
  const ert_mul_s8s8_params *p = (const void *)s->params;
  return ert_binary_ok(s, 1) && ert_is_int8(p->a_zero_point) && ert_is_int8(p->b_zero_point) &&
         ert_is_int8(p->zero_point) && ert_is_int8(p->min) && ert_is_int8(p->max) && ert_within(p->shift, -31, 31);
}

int ert_minmax_s8s8_check(const ert_step *s) {
  return ert_binary_ok(s, 1) && is_sign(((const ert_minmax_s8s8_params *)(const void *)s->params)->sign);
}

int ert_add_f32_check(const ert_step *s) { return ert_binary_ok(s, 4); }
int ert_mul_f32_check(const ert_step *s) { return ert_binary_ok(s, 4); }
int ert_minmax_f32_check(const ert_step *s) { return ert_binary_ok(s, 4); }

/* x * multiplier / 2^32, rounded half up. */
static inline int32_t high_product(int32_t x, int32_t multiplier) {
  return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 31)) >> 32);
}

/* Half of 2^shift, for a shift of 1 to 31. */
static int32_t half_unit(int32_t shift) { return (int32_t)((uint32_t)1 << (shift - 1)); }

/* A shift rounds half away from zero by adding half a unit, less 1 below zero. */
static void add_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_add_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  const int32_t a_item = g->a_item, b_item = g->b_item, b_gain = p->b_gain, b_base = -p->b_zero_point * b_gain;
  const int32_t a_factor = p->a_factor, b_factor = p->b_factor, a_base = -p->a_zero_point * a_factor;
  const ert_scale small = p->b_scale, total = p->scale;
  const int32_t small_half = half_unit(small.shift), half = half_unit(total.shift);
  const int32_t zero_point = p->zero_point, low = p->min - zero_point, high = p->max - zero_point;
  for (const int8_t *end = out + g->c; out < end; a += a_item, b += b_item) {
    const int32_t y = high_product(*b * b_gain + b_base, small.multiplier);
    const int32_t y_scaled = (y + small_half + (y >> 31)) >> small.shift;
    const int32_t sum = high_product(*a * a_factor + a_base + y_scaled * b_factor, total.multiplier);
    *out++ = (int8_t)(ert_clamp((sum + half + (sum >> 31)) >> total.shift, low, high) + zero_point);
  }
}

static void mul_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_mul_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  const int32_t a_item = g->a_item, b_item = g->b_item, a_zero = p->a_zero_point, b_zero = p->b_zero_point;
  const int32_t multiplier = p->multiplier, shift = p->shift;
  const int32_t zero_point = p->zero_point, low = p->min - zero_point, high = p->max - zero_point;
  for (const int8_t *end = out + g->c; out < end; a += a_item, b += b_item) {
    const int32_t product = (*a - a_zero) * (*b - b_zero);
    *out++ = (int8_t)(ert_clamp(ert_requantize(product, multiplier, shift), low, high) + zero_point);
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

void ert_add_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, add_s8); }
void ert_mul_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, mul_s8); }
void ert_minmax_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, minmax_s8); }
void ert_add_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, add_f32); }
void ert_mul_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, mul_f32); }
void ert_minmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, minmax_f32); }

int ert_add_s16s16_check(const ert_step *s) {
  return ert_binary_ok(s, 2) && is_sign(((const ert_add_s16s16_params *)(const void *)s->params)->b_sign);
}

int ert_mul_s16s16_check(const ert_step *s) { return ert_binary_ok(s, 2); }

int ert_minmax_s16s16_check(const ert_step *s) {
  return ert_binary_ok(s, 2) && is_sign(((const ert_minmax_s16s16_params *)(const void *)s->params)->sign);
}

static uint32_t scaled_s16(int32_t x, const ert_scale *s) {
  return (uint32_t)ert_requantize((int32_t)((uint32_t)x << 15), s->multiplier, s->shift);
}

static void add_s16(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_add_s16s16_params *p = (const void *)g;
  const int16_t *a = va, *b = vb;
  int16_t *out = vout;
  const uint32_t sign = (uint32_t)p->b_sign;
  for (const int16_t *end = out + g->c; out < end; a += g->a_item, b += g->b_item) {
    const int32_t sum = (int32_t)(scaled_s16(*a, &p->a_scale) + sign * scaled_s16(*b, &p->b_scale));
    *out++ = (int16_t)ert_clamp(ert_requantize(sum, p->scale.multiplier, p->scale.shift), p->min, p->max);
  }
}

static void mul_s16(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_mul_s16s16_params *p = (const void *)g;
  const int16_t *a = va, *b = vb;
  int16_t *out = vout;
  for (const int16_t *end = out + g->c; out < end; a += g->a_item, b += g->b_item)
    *out++ = (int16_t)ert_clamp(ert_requantize(*a * *b, p->multiplier, p->shift), p->min, p->max);
}

static void minmax_s16(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const int32_t sign = ((const ert_minmax_s16s16_params *)(const void *)g)->sign;
  const int16_t *a = va, *b = vb;
  int16_t *out = vout;
  for (const int16_t *end = out + g->c; out < end; a += g->a_item, b += g->b_item)
    *out++ = sign * *a < sign * *b ? *a : *b;
}

void ert_add_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 2, add_s16); }
void ert_mul_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 2, mul_s16); }
void ert_minmax_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 2, minmax_s16); }
