/* SPDX-License-Identifier: Apache-2.0 */
/* Residual sums of int8, sixteen items at a time; sums and products of floats, four at a time. */
#include "binary/arith.h"
#include "binary/binary.h"
#include "binary/walk.h"

#if ERT_HAS_simd128
#include <wasm_simd128.h>

enum { AT_ONCE = 16 };

/* What is in a row that is shorter than a block: copies of it, so that nothing is read or written past the ends. */
typedef struct {
  int8_t a[AT_ONCE], b[AT_ONCE], out[AT_ONCE];
} padded;

/* (a * a_factor + b * b_factor + offset) >> shift of four items. */
ERT_INLINE v128_t sum4(const ert_add_s8s8_linear_params *p, v128_t a, v128_t b) {
  const v128_t first = wasm_i32x4_add(wasm_i32x4_mul(a, wasm_i32x4_splat(p->a_factor)), wasm_i32x4_splat(p->offset));
  const v128_t both = wasm_i32x4_add(first, wasm_i32x4_mul(b, wasm_i32x4_splat(p->b_factor)));
  return wasm_i32x4_shr(both, (uint32_t)p->shift);
}

ERT_INLINE v128_t sum8(const ert_add_s8s8_linear_params *p, const int8_t *a, const int8_t *b) {
  const v128_t x = wasm_i16x8_load8x8(a), y = wasm_i16x8_load8x8(b);
  return wasm_i16x8_narrow_i32x4(sum4(p, wasm_i32x4_extend_low_i16x8(x), wasm_i32x4_extend_low_i16x8(y)),
                                 sum4(p, wasm_i32x4_extend_high_i16x8(x), wasm_i32x4_extend_high_i16x8(y)));
}

ERT_INLINE void sum16(const ert_add_s8s8_linear_params *p, const int8_t *a, const int8_t *b, int8_t *out) {
  const v128_t low = wasm_i8x16_splat((int8_t)p->min), high = wasm_i8x16_splat((int8_t)p->max);
  const v128_t bytes = wasm_i8x16_narrow_i16x8(sum8(p, a, b), sum8(p, a + 8, b + 8));
  wasm_v128_store(out, wasm_i8x16_max(low, wasm_i8x16_min(high, bytes)));
}

static void sum_row(const ert_add_s8s8_linear_params *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  int32_t i = 0;
  for (; i <= n - AT_ONCE; i += AT_ONCE) sum16(p, a + i, b + i, out + i);
  if (i == n) return;
  padded rest = {{0}, {0}, {0}};
  for (int32_t k = i; k < n; k++) rest.a[k - i] = a[k], rest.b[k - i] = b[k];
  sum16(p, rest.a, rest.b, rest.out);
  for (int32_t k = i; k < n; k++) out[k] = rest.out[k - i];
}

void ert_add_s8s8_x16__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_linear_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    sum_row(p, ert_row(&c->in[0], y), ert_row(&c->in[1], y), ert_out_row(&c->out, y), p->shape.w * p->shape.c);
}

ERT_WALK_RUNS(ert_walk_runs_f32, float)

/* Four items of an operand from item i on, or one that stands for all. */
ERT_INLINE v128_t items(const float *x, int32_t step, int32_t i) {
  return step ? wasm_v128_load(x + i) : wasm_v128_load32_splat(x);
}

/* pmin and pmax return their first operand for a NaN. */
ERT_INLINE v128_t clamped(v128_t x, float low, float high) {
  return wasm_f32x4_pmax(wasm_f32x4_pmin(x, wasm_f32x4_splat(high)), wasm_f32x4_splat(low));
}

static float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static void add_f32(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const ert_add_f32_params *p = (const void *)g;
  const v128_t sign = wasm_f32x4_splat(p->b_sign);
  int32_t i = 0;
  for (; i <= n - 4; i += 4) {
    const v128_t sum = wasm_f32x4_add(items(a, g->a_item, i), wasm_f32x4_mul(sign, items(b, g->b_item, i)));
    wasm_v128_store(out + i, clamped(sum, p->min, p->max));
  }
  for (; i < n; i++) out[i] = clamp(a[i * g->a_item] + p->b_sign * b[i * g->b_item], p->min, p->max);
}

static void mul_f32(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const ert_mul_f32_params *p = (const void *)g;
  int32_t i = 0;
  for (; i <= n - 4; i += 4) {
    const v128_t product = wasm_f32x4_mul(items(a, g->a_item, i), items(b, g->b_item, i));
    wasm_v128_store(out + i, clamped(product, p->min, p->max));
  }
  for (; i < n; i++) out[i] = clamp(a[i * g->a_item] * b[i * g->b_item], p->min, p->max);
}

void ert_add_f32_x4__simd128(const ert_call *c, int32_t y0, int32_t y1) { ert_walk_runs_f32(c, y0, y1, add_f32); }
void ert_mul_f32_x4__simd128(const ert_call *c, int32_t y0, int32_t y1) { ert_walk_runs_f32(c, y0, y1, mul_f32); }

#endif
