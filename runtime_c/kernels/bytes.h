/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen int8 items at a time: what AVX2, NEON and WebAssembly have in common for them, so that a kernel is written once
 * (<op>/<op>_bytes.h) and bytes_<isa>.c makes its rows. Items are a vector of bytes; wider ones are ERT_HALVES vectors of
 * int16 or ERT_WORDS vectors of int32, in their order. Operators on vectors are those that gcc and clang share; sums that
 * may wrap are those of unsigned ones. */
#ifndef ERT_BYTES_H
#define ERT_BYTES_H

#include "kernel.h"
#include "moves.h"
#include "vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum { ERT_BYTES = 16, ERT_WORDS = ERT_BYTES / ERT_LANES, ERT_HALVES = ERT_WORDS / 2 };

typedef int8_t ert_b __attribute__((vector_size(16)));
typedef int8_t ert_b_at __attribute__((vector_size(16), aligned(1), may_alias)); /* in memory */
typedef int16_t ert_h __attribute__((vector_size(4 * ERT_LANES)));
typedef uint16_t ert_hu __attribute__((vector_size(4 * ERT_LANES)));
typedef int32_t ert_w __attribute__((vector_size(4 * ERT_LANES)));
typedef uint32_t ert_wu __attribute__((vector_size(4 * ERT_LANES)));
typedef int32_t ert_w_at __attribute__((vector_size(4 * ERT_LANES), aligned(4), may_alias));
typedef float ert_wf __attribute__((vector_size(4 * ERT_LANES)));

ERT_INLINE ert_b ert_b_all(int32_t x) { return (int8_t)x - (ert_b){0}; }

ERT_INLINE ert_h ert_h_all(int32_t x) { return (int16_t)x - (ert_h){0}; }

ERT_INLINE ert_w ert_w_all(int32_t x) { return x - (ert_w){0}; }

ERT_INLINE ert_b ert_b_load(const int8_t *p) { return *(const ert_b_at *)(const void *)p; }

ERT_INLINE void ert_b_store(int8_t *p, ert_b v) { *(ert_b_at *)(void *)p = v; }

ERT_INLINE ert_w ert_w_load(const int32_t *p) { return *(const ert_w_at *)(const void *)p; }

ERT_INLINE void ert_w_store(int32_t *p, ert_w v) { *(ert_w_at *)(void *)p = v; }

/* The first n items; the others are `rest`. */
ERT_INLINE ert_b ert_b_load_some(const int8_t *p, int32_t n, int32_t rest) {
  if (n >= ERT_BYTES) return ert_b_load(p);
  int8_t held[ERT_BYTES];
  ert_b_store(held, ert_b_all(rest));
  ert_move_few((uint8_t *)held, (const uint8_t *)p, n);
  return ert_b_load(held);
}

ERT_INLINE void ert_b_store_some(int8_t *p, ert_b v, int32_t n) {
  if (n >= ERT_BYTES) {
    ert_b_store(p, v);
    return;
  }
  int8_t held[ERT_BYTES];
  ert_b_store(held, v);
  ert_move_few((uint8_t *)p, (const uint8_t *)held, n);
}

/* Runs of n items in blocks of sixteen: where the block after the one from item `at` on begins. The last one ends with the
 * run, over items of the block before where it must; runs of fewer have one. */
ERT_INLINE int32_t ert_b_next(int32_t at, int32_t n) {
  const int32_t left = n - at;
  return left <= ERT_BYTES ? n : left < 2 * ERT_BYTES ? n - ERT_BYTES : at + ERT_BYTES;
}

/* Sums and products modulo 2^32. */
ERT_INLINE ert_w ert_w_add(ert_w a, ert_w b) { return (ert_w)((ert_wu)a + (ert_wu)b); }

ERT_INLINE ert_w ert_w_sub(ert_w a, ert_w b) { return (ert_w)((ert_wu)a - (ert_wu)b); }

ERT_INLINE ert_w ert_w_mul(ert_w a, ert_w b) { return (ert_w)((ert_wu)a * (ert_wu)b); }

ERT_INLINE ert_w ert_w_choose(ert_w mask, ert_w yes, ert_w no) { return (mask & yes) | (~mask & no); }

#if ERT_HAS_avx2

ERT_INLINE ert_b ert_b_max(ert_b a, ert_b b) { return (ert_b)_mm_max_epi8((__m128i)a, (__m128i)b); }

ERT_INLINE ert_b ert_b_min(ert_b a, ert_b b) { return (ert_b)_mm_min_epi8((__m128i)a, (__m128i)b); }

ERT_INLINE void ert_b_halves(ert_b x, ert_h *h) { h[0] = (ert_h)_mm256_cvtepi8_epi16((__m128i)x); }

ERT_INLINE void ert_b_words(ert_b x, ert_w *w) {
  w[0] = (ert_w)_mm256_cvtepi8_epi32((__m128i)x);
  w[1] = (ert_w)_mm256_cvtepi8_epi32(_mm_srli_si128((__m128i)x, 8));
}

ERT_INLINE void ert_h_words(const ert_h *h, ert_w *w) {
  w[0] = (ert_w)_mm256_cvtepi16_epi32(_mm256_castsi256_si128((__m256i)h[0]));
  w[1] = (ert_w)_mm256_cvtepi16_epi32(_mm256_extracti128_si256((__m256i)h[0], 1));
}

/* Words as bytes, saturated. */
ERT_INLINE ert_b ert_b_of_words(const ert_w *w) {
  const __m256i h = _mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)w[0], (__m256i)w[1]), 0xd8);
  return (ert_b)_mm_packs_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* acc += a * low + b * high for items, where low and high are 16 bits each. */
ERT_INLINE void ert_b_mix(ert_w *acc, ert_b a, ert_b b, int32_t low, int32_t high) {
  const __m256i by = _mm256_set1_epi32((int32_t)((uint32_t)high << 16 | ((uint32_t)low & 0xffff)));
  const __m256i p = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8((__m128i)a, (__m128i)b));
  const __m256i q = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8((__m128i)a, (__m128i)b));
  acc[0] = ert_w_add(acc[0], (ert_w)_mm256_madd_epi16(p, by));
  acc[1] = ert_w_add(acc[1], (ert_w)_mm256_madd_epi16(q, by));
}

/* acc + the products of items, those of several in each of its lanes. */
ERT_INLINE ert_w ert_h_dot(ert_w acc, ert_h a, ert_h b) {
  return ert_w_add(acc, (ert_w)_mm256_madd_epi16((__m256i)a, (__m256i)b));
}

/* a * b / 2^31, rounded half up. */
ERT_INLINE ert_w ert_w_high(ert_w a, ert_w b) {
  const __m256i half = _mm256_set1_epi64x(1 << 30), x = (__m256i)a, y = (__m256i)b;
  const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, y), half);
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), _mm256_srli_epi64(y, 32)), half);
  return (ert_w)_mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xaa);
}

/* 64-bit sums as 32 bits, saturated, after a shift of `right` bits. */
ERT_INLINE __m256i ert_ymm_shifted(__m256i sum, int32_t right) {
  const __m128i count = _mm_cvtsi32_si128(right);
  if (right < 32) {
    const __m256i most = _mm256_set1_epi64x((INT64_C(1) << (31 + right)) - 1), least = ~most;
    sum = _mm256_blendv_epi8(sum, most, _mm256_cmpgt_epi64(sum, most));
    sum = _mm256_blendv_epi8(sum, least, _mm256_cmpgt_epi64(least, sum));
  }
  const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
  return _mm256_sub_epi64(_mm256_srl_epi64(_mm256_xor_si256(sum, sign), count), _mm256_srl_epi64(sign, count));
}

/* (x * factor + more * 2^left) / 2^right, rounded half up and saturated; left from 0 to 30, right from 1 to 62. */
ERT_INLINE ert_w ert_w_wide(ert_w x, ert_w factor, ert_w more, int32_t left, int32_t right) {
  const __m256i half = _mm256_set1_epi64x(INT64_C(1) << (right - 1)), by = _mm256_set1_epi64x(INT64_C(1) << left);
  const __m256i x1 = _mm256_srli_epi64((__m256i)x, 32), f1 = _mm256_srli_epi64((__m256i)factor, 32);
  const __m256i m1 = _mm256_srli_epi64((__m256i)more, 32);
  const __m256i even =
      _mm256_add_epi64(_mm256_mul_epi32((__m256i)x, (__m256i)factor), _mm256_mul_epi32((__m256i)more, by));
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(x1, f1), _mm256_mul_epi32(m1, by));
  const __m256i low = ert_ymm_shifted(_mm256_add_epi64(even, half), right);
  const __m256i high = ert_ymm_shifted(_mm256_add_epi64(odd, half), right);
  return (ert_w)_mm256_blend_epi32(low, _mm256_slli_epi64(high, 32), 0xaa);
}

#elif ERT_HAS_neon

ERT_INLINE ert_b ert_b_max(ert_b a, ert_b b) { return (ert_b)vmaxq_s8((int8x16_t)a, (int8x16_t)b); }

ERT_INLINE ert_b ert_b_min(ert_b a, ert_b b) { return (ert_b)vminq_s8((int8x16_t)a, (int8x16_t)b); }

ERT_INLINE void ert_b_halves(ert_b x, ert_h *h) {
  h[0] = (ert_h)vmovl_s8(vget_low_s8((int8x16_t)x));
  h[1] = (ert_h)vmovl_s8(vget_high_s8((int8x16_t)x));
}

ERT_INLINE void ert_h_words(const ert_h *h, ert_w *w) {
  ERT_UNROLLED
  for (int i = 0; i < ERT_HALVES; i++) {
    w[2 * i] = (ert_w)vmovl_s16(vget_low_s16((int16x8_t)h[i]));
    w[2 * i + 1] = (ert_w)vmovl_s16(vget_high_s16((int16x8_t)h[i]));
  }
}

ERT_INLINE void ert_b_words(ert_b x, ert_w *w) {
  ert_h h[ERT_HALVES];
  ert_b_halves(x, h);
  ert_h_words(h, w);
}

ERT_INLINE ert_b ert_b_of_words(const ert_w *w) {
  const int16x8_t low = vcombine_s16(vqmovn_s32((int32x4_t)w[0]), vqmovn_s32((int32x4_t)w[1]));
  const int16x8_t high = vcombine_s16(vqmovn_s32((int32x4_t)w[2]), vqmovn_s32((int32x4_t)w[3]));
  return (ert_b)vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
}

ERT_INLINE void ert_b_mix(ert_w *acc, ert_b a, ert_b b, int32_t low, int32_t high) {
  ert_h x[ERT_HALVES], y[ERT_HALVES];
  ert_b_halves(a, x);
  ert_b_halves(b, y);
  ERT_UNROLLED
  for (int i = 0; i < ERT_HALVES; i++) {
    const int16x8_t u = (int16x8_t)x[i], v = (int16x8_t)y[i];
    int32x4_t p = vmlal_n_s16((int32x4_t)acc[2 * i], vget_low_s16(u), (int16_t)low);
    int32x4_t q = vmlal_n_s16((int32x4_t)acc[2 * i + 1], vget_high_s16(u), (int16_t)low);
    acc[2 * i] = (ert_w)vmlal_n_s16(p, vget_low_s16(v), (int16_t)high);
    acc[2 * i + 1] = (ert_w)vmlal_n_s16(q, vget_high_s16(v), (int16_t)high);
  }
}

ERT_INLINE ert_w ert_h_dot(ert_w acc, ert_h a, ert_h b) {
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t low = vmlal_s16((int32x4_t)acc, vget_low_s16(x), vget_low_s16(y));
  return (ert_w)vmlal_s16(low, vget_high_s16(x), vget_high_s16(y));
}

ERT_INLINE ert_w ert_w_high(ert_w a, ert_w b) { return (ert_w)vqrdmulhq_s32((int32x4_t)a, (int32x4_t)b); }

ERT_INLINE ert_w ert_w_wide(ert_w x, ert_w factor, ert_w more, int32_t left, int32_t right) {
  const int32x4_t a = (int32x4_t)x, f = (int32x4_t)factor, m = (int32x4_t)more;
  const int64x2_t up = vdupq_n_s64(left), down = vdupq_n_s64(-right);
  const int64x2_t low = vshlq_s64(vmovl_s32(vget_low_s32(m)), up), high = vshlq_s64(vmovl_s32(vget_high_s32(m)), up);
  const int64x2_t p = vrshlq_s64(vmlal_s32(low, vget_low_s32(a), vget_low_s32(f)), down);
  const int64x2_t q = vrshlq_s64(vmlal_s32(high, vget_high_s32(a), vget_high_s32(f)), down);
  return (ert_w)vcombine_s32(vqmovn_s64(p), vqmovn_s64(q));
}

#else

ERT_INLINE ert_b ert_b_max(ert_b a, ert_b b) { return (ert_b)wasm_i8x16_max((v128_t)a, (v128_t)b); }

ERT_INLINE ert_b ert_b_min(ert_b a, ert_b b) { return (ert_b)wasm_i8x16_min((v128_t)a, (v128_t)b); }

ERT_INLINE void ert_b_halves(ert_b x, ert_h *h) {
  h[0] = (ert_h)wasm_i16x8_extend_low_i8x16((v128_t)x);
  h[1] = (ert_h)wasm_i16x8_extend_high_i8x16((v128_t)x);
}

ERT_INLINE void ert_h_words(const ert_h *h, ert_w *w) {
  ERT_UNROLLED
  for (int i = 0; i < ERT_HALVES; i++) {
    w[2 * i] = (ert_w)wasm_i32x4_extend_low_i16x8((v128_t)h[i]);
    w[2 * i + 1] = (ert_w)wasm_i32x4_extend_high_i16x8((v128_t)h[i]);
  }
}

ERT_INLINE void ert_b_words(ert_b x, ert_w *w) {
  ert_h h[ERT_HALVES];
  ert_b_halves(x, h);
  ert_h_words(h, w);
}

ERT_INLINE ert_b ert_b_of_words(const ert_w *w) {
  const v128_t low = wasm_i16x8_narrow_i32x4((v128_t)w[0], (v128_t)w[1]);
  return (ert_b)wasm_i8x16_narrow_i16x8(low, wasm_i16x8_narrow_i32x4((v128_t)w[2], (v128_t)w[3]));
}

ERT_INLINE void ert_b_mix(ert_w *acc, ert_b a, ert_b b, int32_t low, int32_t high) {
  const v128_t by = wasm_i32x4_splat((int32_t)((uint32_t)high << 16 | ((uint32_t)low & 0xffff)));
  const v128_t p = wasm_i8x16_shuffle((v128_t)a, (v128_t)b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const v128_t q = wasm_i8x16_shuffle((v128_t)a, (v128_t)b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  acc[0] = ert_w_add(acc[0], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(p), by));
  acc[1] = ert_w_add(acc[1], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(p), by));
  acc[2] = ert_w_add(acc[2], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(q), by));
  acc[3] = ert_w_add(acc[3], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(q), by));
}

ERT_INLINE ert_w ert_h_dot(ert_w acc, ert_h a, ert_h b) {
  return ert_w_add(acc, (ert_w)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b));
}

/* The low words of four 64-bit ones. */
ERT_INLINE ert_w ert_w_of_pairs(v128_t low, v128_t high) {
  return (ert_w)wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
}

ERT_INLINE ert_w ert_w_high(ert_w a, ert_w b) {
  const v128_t half = wasm_i64x2_splat(1 << 30);
  const v128_t low = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4((v128_t)a, (v128_t)b), half);
  const v128_t high = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4((v128_t)a, (v128_t)b), half);
  return ert_w_of_pairs(wasm_i64x2_shr(low, 31), wasm_i64x2_shr(high, 31));
}

ERT_INLINE v128_t ert_w_shifted(v128_t sum, int32_t right) {
  if (right < 32) {
    const v128_t most = wasm_i64x2_splat((INT64_C(1) << (31 + right)) - 1), least = wasm_v128_not(most);
    sum = wasm_v128_bitselect(most, sum, wasm_i64x2_gt(sum, most));
    sum = wasm_v128_bitselect(least, sum, wasm_i64x2_gt(least, sum));
  }
  return wasm_i64x2_shr(sum, (uint32_t)right);
}

ERT_INLINE ert_w ert_w_wide(ert_w x, ert_w factor, ert_w more, int32_t left, int32_t right) {
  const v128_t half = wasm_i64x2_splat(INT64_C(1) << (right - 1));
  const v128_t m0 = wasm_i64x2_shl(wasm_i64x2_extend_low_i32x4((v128_t)more), (uint32_t)left);
  const v128_t m1 = wasm_i64x2_shl(wasm_i64x2_extend_high_i32x4((v128_t)more), (uint32_t)left);
  const v128_t p = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4((v128_t)x, (v128_t)factor), wasm_i64x2_add(m0, half));
  const v128_t q = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4((v128_t)x, (v128_t)factor), wasm_i64x2_add(m1, half));
  return ert_w_of_pairs(ert_w_shifted(p, right), ert_w_shifted(q, right));
}

#endif

ERT_INLINE ert_b ert_b_clamp(ert_b x, int32_t low, int32_t high) {
  return ert_b_max(ert_b_min(x, ert_b_all(high)), ert_b_all(low));
}

ERT_INLINE int32_t ert_w_sum_of(ert_w v) {
  int32_t held[ERT_LANES];
  uint32_t sum = 0;
  ert_w_store(held, v);
  for (int32_t k = 0; k < ERT_LANES; k++) sum += (uint32_t)held[k];
  return (int32_t)sum;
}

/* requantize.h's rescale, all items by the same; any word may be a shift. */
ERT_INLINE ert_w ert_w_requantize(ert_w x, int32_t multiplier, int32_t shift) {
  const ert_w by = ert_w_all(multiplier);
  if (shift >= 0) return ert_w_high((ert_w)((ert_wu)x << (uint32_t)(shift & 31)), by);
  const ert_w high = ert_w_high(x, by);
  return (ert_w_add(ert_w_add(high, high >> 31) >> (~shift & 31), ert_w_all(1))) >> 1;
}

ERT_END_LANES

#endif

#endif
