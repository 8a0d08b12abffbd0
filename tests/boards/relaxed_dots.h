/* SPDX-License-Identifier: Apache-2.0 */
/* What machines make of i32x4.relaxed_dot_i8x16_i7x16_add_s where a second factor has its top bit set. */
#ifndef RELAXED_DOTS_H
#define RELAXED_DOTS_H

#ifdef __wasm_simd128__
#include <wasm_simd128.h>

static inline __attribute__((unused)) v128_t pairs(v128_t products) {
  return wasm_i32x4_extadd_pairwise_i16x8(products);
}

static inline v128_t fours(v128_t low, v128_t high, v128_t sum) {
  const v128_t even = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), odd = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
  return wasm_i32x4_add(sum, wasm_i32x4_add(even, odd));
}

/* vpdpbusd: the second factors are unsigned. */
static inline __attribute__((unused)) v128_t dot_unsigned(v128_t a, v128_t b, v128_t sum) {
  const v128_t low = wasm_i16x8_mul(wasm_i16x8_extend_low_i8x16(a), wasm_u16x8_extend_low_u8x16(b));
  const v128_t high = wasm_i16x8_mul(wasm_i16x8_extend_high_i8x16(a), wasm_u16x8_extend_high_u8x16(b));
  return fours(pairs(low), pairs(high), sum);
}

/* sdot, vpdpbssd: they are signed. */
static inline __attribute__((unused)) v128_t dot_signed(v128_t a, v128_t b, v128_t sum) {
  return fours(pairs(wasm_i16x8_extmul_low_i8x16(a, b)), pairs(wasm_i16x8_extmul_high_i8x16(a, b)), sum);
}

/* pmaddubsw, pmaddwd: two products of unsigned ones are added up in 16 bits, which saturate. */
static inline __attribute__((unused)) v128_t dot_saturating(v128_t a, v128_t b, v128_t sum) {
  const v128_t low = wasm_i16x8_mul(wasm_i16x8_extend_low_i8x16(a), wasm_u16x8_extend_low_u8x16(b));
  const v128_t high = wasm_i16x8_mul(wasm_i16x8_extend_high_i8x16(a), wasm_u16x8_extend_high_u8x16(b));
  return wasm_i32x4_add(sum, pairs(wasm_i16x8_narrow_i32x4(pairs(low), pairs(high))));
}
#endif

#endif
