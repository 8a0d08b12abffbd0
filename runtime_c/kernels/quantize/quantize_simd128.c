/* SPDX-License-Identifier: Apache-2.0 */
#include "isa.h"
#include "quantize/quantize.h"

#if ERT_HAS_simd128
#include <wasm_simd128.h>

enum { AT_ONCE = 16 };

/* x / scale, halves away from zero, as quantize_c.c rounds them. The conversion takes NaN for 0 and saturates. */
ERT_INLINE v128_t whole4(const float *x, v128_t scale) {
  const v128_t v = wasm_f32x4_div(wasm_v128_load(x), scale), below_half = wasm_f32x4_const_splat(0x1.fffffep-2f);
  const v128_t sign = wasm_v128_and(v, wasm_f32x4_const_splat(-0.0f));
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_add(v, wasm_v128_or(below_half, sign)));
}

ERT_INLINE v128_t whole8(const float *x, v128_t scale, v128_t zero_point) {
  return wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4(whole4(x, scale), whole4(x + 4, scale)), zero_point);
}

ERT_INLINE void quantize16(const ert_quantize_f32s8_params *p, const float *x, int8_t *out) {
  const v128_t scale = wasm_f32x4_splat(p->scale), zero_point = wasm_i16x8_splat((int16_t)p->zero_point);
  wasm_v128_store(out, wasm_i8x16_narrow_i16x8(whole8(x, scale, zero_point), whole8(x + 8, scale, zero_point)));
}

static void quantize_row(const ert_quantize_f32s8_params *p, const float *x, int8_t *out) {
  int32_t i = 0;
  for (; i <= p->n - AT_ONCE; i += AT_ONCE) quantize16(p, x + i, out + i);
  if (i == p->n) return;
  float rest[AT_ONCE] = {0};
  int8_t made[AT_ONCE];
  for (int32_t k = i; k < p->n; k++) rest[k - i] = x[k];
  quantize16(p, rest, made);
  for (int32_t k = i; k < p->n; k++) out[k] = made[k - i];
}

void ert_quantize_f32s8_x16__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_f32s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) quantize_row(p, ert_row(&c->in[0], y), ert_out_row(&c->out, y));
}

#endif
