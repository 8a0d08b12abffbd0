/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen int8 items at a time: what AVX2, NEON and WebAssembly have in common for them, so that a kernel is written once
 * (<op>/<op>_bytes.h) and bytes_<isa>.c makes its rows. Items are a vector of bytes; wider ones are ERT_HALVES vectors of
 * int16 or ERT_WORDS vectors of int32, in their order. Operators on vectors are those that gcc and clang share; sums that
 * may wrap are those of unsigned ones. */
#ifndef ERT_BYTES_H
#define ERT_BYTES_H

#include "kernel.h"
#include "vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum { ERT_BYTES = 16, ERT_WORDS = ERT_BYTES / ERT_LANES, ERT_HALVES = ERT_WORDS / 2 };

typedef int8_t ert_b __attribute__((vector_size(16)));
typedef uint64_t ert_b_pair __attribute__((vector_size(16)));
typedef int8_t ert_b_at __attribute__((vector_size(16), aligned(1), may_alias)); /* in memory */
typedef int16_t ert_h __attribute__((vector_size(4 * ERT_LANES)));
typedef uint16_t ert_hu __attribute__((vector_size(4 * ERT_LANES)));
typedef int32_t ert_w __attribute__((vector_size(4 * ERT_LANES)));
typedef uint32_t ert_wu __attribute__((vector_size(4 * ERT_LANES)));
typedef int32_t ert_w_at __attribute__((vector_size(4 * ERT_LANES), aligned(4), may_alias));
typedef int16_t ert_h_at __attribute__((vector_size(4 * ERT_LANES), aligned(2), may_alias));
typedef float ert_wf __attribute__((vector_size(4 * ERT_LANES)));

ERT_INLINE ert_b ert_b_all(int32_t x) { return (int8_t)x - (ert_b){0}; }

ERT_INLINE ert_h ert_h_all(int32_t x) { return (int16_t)x - (ert_h){0}; }

ERT_INLINE ert_w ert_w_all(int32_t x) { return x - (ert_w){0}; }

ERT_INLINE ert_b ert_b_load(const int8_t *p) { return *(const ert_b_at *)(const void *)p; }

ERT_INLINE void ert_b_store(int8_t *p, ert_b v) { *(ert_b_at *)(void *)p = v; }

ERT_INLINE ert_w ert_w_load(const int32_t *p) { return *(const ert_w_at *)(const void *)p; }

ERT_INLINE void ert_w_store(int32_t *p, ert_w v) { *(ert_w_at *)(void *)p = v; }

ERT_INLINE ert_h ert_h_load(const int16_t *p) { return *(const ert_h_at *)(const void *)p; }

ERT_INLINE void ert_h_store(int16_t *p, ert_h v) { *(ert_h_at *)(void *)p = v; }

/* Four bytes from any address. */
ERT_INLINE int32_t ert_b_word(const int8_t *p) {
  int32_t word;
  ERT_MEMMOVE(&word, p, 4);
  return word;
}

/* Bytes from p on as a number, the first the lowest; at most eight. Without a detour by memory: a vector that is read
 * from where bytes were just written waits for them. */
ERT_INLINE uint64_t ert_b_few(const int8_t *p, int32_t n) {
  uint64_t low = 0, high = 0;
  if (n >= 4) {
    ERT_MEMMOVE(&low, p, 4);
    ERT_MEMMOVE(&high, p + n - 4, 4);
    return low | high << (8 * n - 32);
  }
  for (int32_t i = 0; i < n; i++) low |= (uint64_t)(uint8_t)p[i] << 8 * i;
  return low;
}

/* The first n items, at least one; the others are `rest`. */
ERT_INLINE ert_b ert_b_load_some(const int8_t *p, int32_t n, int32_t rest) {
  if (n >= ERT_BYTES) return ert_b_load(p);
  const ert_b order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const ert_b mask = (ert_b)(order < (int8_t)n);
  ert_b_pair v = {ert_b_few(p, n < 8 ? n : 8), n > 8 ? ert_b_few(p + 8, n - 8) : 0};
  return ((ert_b)v & mask) | (ert_b_all(rest) & ~mask);
}

ERT_INLINE void ert_b_store_few(int8_t *p, uint64_t v, int32_t n) {
  if (n >= 4) {
    const uint64_t last = v >> (8 * n - 32);
    ERT_MEMMOVE(p, &v, 4);
    ERT_MEMMOVE(p + n - 4, &last, 4);
    return;
  }
  for (int32_t i = 0; i < n; i++) p[i] = (int8_t)(v >> 8 * i);
}

ERT_INLINE void ert_b_store_some(int8_t *p, ert_b v, int32_t n) {
  if (n >= ERT_BYTES) {
    ert_b_store(p, v);
    return;
  }
  const ert_b_pair pair = (ert_b_pair)v;
  ert_b_store_few(p, pair[0], n < 8 ? n : 8);
  if (n > 8) ert_b_store_few(p + 8, pair[1], n - 8);
}

/* `call` for each sixteen of n items, from item i on; `some` of them are there, a constant but for the last ones. */
#define ERT_EACH_SIXTEEN(n, call)                \
  do {                                           \
    int32_t i = 0;                               \
    for (; i <= (n)-ERT_BYTES; i += ERT_BYTES) { \
      const int32_t some = ERT_BYTES;            \
      call;                                      \
    }                                            \
    if (i < (n)) {                               \
      const int32_t some = (n)-i;                \
      call;                                      \
    }                                            \
  } while (0)

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

/* Words as bytes, saturated; `more` is added to them when they have 16 bits. */
ERT_INLINE ert_b ert_b_of_sums(const ert_w *w, int32_t more) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)w[0], (__m256i)w[1]), 0xd8);
  const __m256i h = _mm256_adds_epi16(words, _mm256_set1_epi16((int16_t)more));
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

/* acc += a * low + b * high of halves. */
ERT_INLINE void ert_h_mix(ert_w *acc, const ert_h *a, const ert_h *b, int32_t low, int32_t high) {
  const __m256i by = _mm256_set1_epi32((int32_t)((uint32_t)high << 16 | ((uint32_t)low & 0xffff)));
  const __m256i p = _mm256_madd_epi16(_mm256_unpacklo_epi16((__m256i)a[0], (__m256i)b[0]), by);
  const __m256i q = _mm256_madd_epi16(_mm256_unpackhi_epi16((__m256i)a[0], (__m256i)b[0]), by);
  acc[0] = ert_w_add(acc[0], (ert_w)_mm256_permute2x128_si256(p, q, 0x20));
  acc[1] = ert_w_add(acc[1], (ert_w)_mm256_permute2x128_si256(p, q, 0x31));
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

/* (x * factor + more * 2^left) / 2^right, rounded half up, its low 32 bits; left from 0 to 30, right from 1 to 62. `more`
 * may be NULL, for 0. Shifts are those of numbers without a sign, which have 2^63 more. */
ERT_INLINE ert_w ert_w_wide(ert_w x, ert_w factor, const ert_w *more, int32_t left, int32_t right) {
  const __m256i half = _mm256_set1_epi64x((int64_t)((UINT64_C(1) << 63) + (UINT64_C(1) << (right - 1))));
  const __m128i count = _mm_cvtsi32_si128(right);
  const __m256i x1 = _mm256_srli_epi64((__m256i)x, 32), f1 = _mm256_srli_epi64((__m256i)factor, 32);
  __m256i even = _mm256_add_epi64(_mm256_mul_epi32((__m256i)x, (__m256i)factor), half);
  __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(x1, f1), half);
  if (more) {
    const __m256i by = _mm256_set1_epi64x((int64_t)((uint64_t)1 << left)), m1 = _mm256_srli_epi64((__m256i)*more, 32);
    even = _mm256_add_epi64(even, _mm256_mul_epi32((__m256i)*more, by));
    odd = _mm256_add_epi64(odd, _mm256_mul_epi32(m1, by));
  }
  even = _mm256_srl_epi64(even, count), odd = _mm256_srl_epi64(odd, count);
  const ert_w both = (ert_w)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
  return ert_w_sub(both, ert_w_all((int32_t)(uint32_t)(UINT64_C(1) << (63 - right))));
}

/* The sums of ERT_LANES vectors, in their order. */
ERT_INLINE ert_w ert_w_sums(const ert_w *v) {
  const __m256i p = _mm256_hadd_epi32((__m256i)v[0], (__m256i)v[1]),
                q = _mm256_hadd_epi32((__m256i)v[2], (__m256i)v[3]);
  const __m256i r = _mm256_hadd_epi32((__m256i)v[4], (__m256i)v[5]),
                s = _mm256_hadd_epi32((__m256i)v[6], (__m256i)v[7]);
  const __m256i a = _mm256_hadd_epi32(p, q), b = _mm256_hadd_epi32(r, s);
  return (ert_w)_mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

ERT_INLINE int32_t ert_b_largest(ert_b v) {
  __m128i x = (__m128i)v;
  x = _mm_max_epi8(x, _mm_srli_si128(x, 8));
  x = _mm_max_epi8(x, _mm_srli_si128(x, 4));
  x = _mm_max_epi8(x, _mm_srli_si128(x, 2));
  x = _mm_max_epi8(x, _mm_srli_si128(x, 1));
  return (int8_t)_mm_cvtsi128_si32(x);
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

ERT_INLINE ert_b ert_b_of_sums(const ert_w *w, int32_t more) {
  const int16x8_t moved = vdupq_n_s16((int16_t)more);
  const int16x8_t low = vcombine_s16(vqmovn_s32((int32x4_t)w[0]), vqmovn_s32((int32x4_t)w[1]));
  const int16x8_t high = vcombine_s16(vqmovn_s32((int32x4_t)w[2]), vqmovn_s32((int32x4_t)w[3]));
  if (more == 0) return (ert_b)vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
  return (ert_b)vcombine_s8(vqmovn_s16(vqaddq_s16(low, moved)), vqmovn_s16(vqaddq_s16(high, moved)));
}

ERT_INLINE void ert_h_mix(ert_w *acc, const ert_h *a, const ert_h *b, int32_t low, int32_t high) {
  ERT_UNROLLED
  for (int i = 0; i < ERT_HALVES; i++) {
    const int16x8_t u = (int16x8_t)a[i], v = (int16x8_t)b[i];
    int32x4_t p = vmlal_n_s16((int32x4_t)acc[2 * i], vget_low_s16(u), (int16_t)low);
    int32x4_t q = vmlal_n_s16((int32x4_t)acc[2 * i + 1], vget_high_s16(u), (int16_t)low);
    acc[2 * i] = (ert_w)vmlal_n_s16(p, vget_low_s16(v), (int16_t)high);
    acc[2 * i + 1] = (ert_w)vmlal_n_s16(q, vget_high_s16(v), (int16_t)high);
  }
}

ERT_INLINE void ert_b_mix(ert_w *acc, ert_b a, ert_b b, int32_t low, int32_t high) {
  ert_h x[ERT_HALVES], y[ERT_HALVES];
  ert_b_halves(a, x);
  ert_b_halves(b, y);
  ert_h_mix(acc, x, y, low, high);
}

ERT_INLINE ert_w ert_h_dot(ert_w acc, ert_h a, ert_h b) {
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
  const int32x4_t low = vmlal_s16((int32x4_t)acc, vget_low_s16(x), vget_low_s16(y));
  return (ert_w)vmlal_s16(low, vget_high_s16(x), vget_high_s16(y));
}

ERT_INLINE ert_w ert_w_high(ert_w a, ert_w b) { return (ert_w)vqrdmulhq_s32((int32x4_t)a, (int32x4_t)b); }

ERT_INLINE ert_w ert_w_wide(ert_w x, ert_w factor, const ert_w *more, int32_t left, int32_t right) {
  const int32x4_t a = (int32x4_t)x, f = (int32x4_t)factor, m = more ? (int32x4_t)*more : vdupq_n_s32(0);
  const int64x2_t up = vdupq_n_s64(left), down = vdupq_n_s64(-right);
  const int64x2_t low = vshlq_s64(vmovl_s32(vget_low_s32(m)), up), high = vshlq_s64(vmovl_s32(vget_high_s32(m)), up);
  const int64x2_t p = vrshlq_s64(vmlal_s32(low, vget_low_s32(a), vget_low_s32(f)), down);
  const int64x2_t q = vrshlq_s64(vmlal_s32(high, vget_high_s32(a), vget_high_s32(f)), down);
  return (ert_w)vcombine_s32(vmovn_s64(p), vmovn_s64(q));
}

ERT_INLINE int32x2_t ert_w_two_sums(ert_w a, ert_w b) {
  const int32x4_t x = (int32x4_t)a, y = (int32x4_t)b;
  return vpadd_s32(vadd_s32(vget_low_s32(x), vget_high_s32(x)), vadd_s32(vget_low_s32(y), vget_high_s32(y)));
}

ERT_INLINE ert_w ert_w_sums(const ert_w *v) {
  return (ert_w)vcombine_s32(ert_w_two_sums(v[0], v[1]), ert_w_two_sums(v[2], v[3]));
}

ERT_INLINE int32_t ert_b_largest(ert_b v) {
  int8x8_t x = vpmax_s8(vget_low_s8((int8x16_t)v), vget_high_s8((int8x16_t)v));
  x = vpmax_s8(x, x);
  x = vpmax_s8(x, x);
  return vget_lane_s8(vpmax_s8(x, x), 0);
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

ERT_INLINE ert_b ert_b_of_sums(const ert_w *w, int32_t more) {
  const v128_t moved = wasm_i16x8_splat((int16_t)more);
  const v128_t low = wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4((v128_t)w[0], (v128_t)w[1]), moved);
  const v128_t high = wasm_i16x8_add_sat(wasm_i16x8_narrow_i32x4((v128_t)w[2], (v128_t)w[3]), moved);
  return (ert_b)wasm_i8x16_narrow_i16x8(low, high);
}

ERT_INLINE void ert_b_mix(ert_w *acc, ert_b a, ert_b b, int32_t low, int32_t high) {
  const v128_t by = wasm_i32x4_splat((int32_t)((uint32_t)high << 16 | ((uint32_t)low & 0xffff)));
  const v128_t p = wasm_i8x16_shuffle((v128_t)a, (v128_t)b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const v128_t q =
      wasm_i8x16_shuffle((v128_t)a, (v128_t)b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  acc[0] = ert_w_add(acc[0], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(p), by));
  acc[1] = ert_w_add(acc[1], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(p), by));
  acc[2] = ert_w_add(acc[2], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(q), by));
  acc[3] = ert_w_add(acc[3], (ert_w)wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(q), by));
}

ERT_INLINE void ert_h_mix(ert_w *acc, const ert_h *a, const ert_h *b, int32_t low, int32_t high) {
  const v128_t by = wasm_i32x4_splat((int32_t)((uint32_t)high << 16 | ((uint32_t)low & 0xffff)));
  ERT_UNROLLED
  for (int i = 0; i < ERT_HALVES; i++) {
    const v128_t u = (v128_t)a[i], v = (v128_t)b[i];
    const v128_t p = wasm_i16x8_shuffle(u, v, 0, 8, 1, 9, 2, 10, 3, 11);
    const v128_t q = wasm_i16x8_shuffle(u, v, 4, 12, 5, 13, 6, 14, 7, 15);
    acc[2 * i] = ert_w_add(acc[2 * i], (ert_w)wasm_i32x4_dot_i16x8(p, by));
    acc[2 * i + 1] = ert_w_add(acc[2 * i + 1], (ert_w)wasm_i32x4_dot_i16x8(q, by));
  }
}

ERT_INLINE ert_w ert_h_dot(ert_w acc, ert_h a, ert_h b) {
  return ert_w_add(acc, (ert_w)wasm_i32x4_dot_i16x8((v128_t)a, (v128_t)b));
}

/* The low words of four 64-bit ones. */
ERT_INLINE ert_w ert_w_of_pairs(v128_t low, v128_t high) { return (ert_w)wasm_i32x4_shuffle(low, high, 0, 2, 4, 6); }

ERT_INLINE ert_w ert_w_high(ert_w a, ert_w b) {
  const v128_t half = wasm_i64x2_splat(1 << 30);
  const v128_t low = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4((v128_t)a, (v128_t)b), half);
  const v128_t high = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4((v128_t)a, (v128_t)b), half);
  return ert_w_of_pairs(wasm_i64x2_shr(low, 31), wasm_i64x2_shr(high, 31));
}

/* The products of two items, and what is added to them. */
ERT_INLINE v128_t ert_w_wide_sum(v128_t products, v128_t more, int32_t left, int32_t right) {
  const v128_t half = wasm_i64x2_splat(INT64_C(1) << (right - 1));
  const v128_t sum = wasm_i64x2_add(wasm_i64x2_add(products, half), wasm_i64x2_shl(more, (uint32_t)left));
  return wasm_i64x2_shr(sum, (uint32_t)right);
}

ERT_INLINE ert_w ert_w_wide(ert_w x, ert_w factor, const ert_w *more, int32_t left, int32_t right) {
  const v128_t m = more ? (v128_t)*more : wasm_i32x4_const_splat(0);
  const v128_t p = wasm_i64x2_extmul_low_i32x4((v128_t)x, (v128_t)factor);
  const v128_t q = wasm_i64x2_extmul_high_i32x4((v128_t)x, (v128_t)factor);
  return ert_w_of_pairs(ert_w_wide_sum(p, wasm_i64x2_extend_low_i32x4(m), left, right),
                        ert_w_wide_sum(q, wasm_i64x2_extend_high_i32x4(m), left, right));
}

ERT_INLINE ert_w ert_w_sums(const ert_w *v) {
  const v128_t a = (v128_t)v[0], b = (v128_t)v[1], c = (v128_t)v[2], d = (v128_t)v[3];
  const v128_t p = wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
  const v128_t q = wasm_i32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
  return (ert_w)wasm_i32x4_add(wasm_i32x4_shuffle(p, q, 0, 1, 4, 5), wasm_i32x4_shuffle(p, q, 2, 3, 6, 7));
}

ERT_INLINE int32_t ert_b_largest(ert_b v) {
  int8_t held[ERT_BYTES];
  ert_b_store(held, v);
  int32_t most = held[0];
  for (int32_t i = 1; i < ERT_BYTES; i++) most = held[i] > most ? held[i] : most;
  return most;
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

/* The first n words, the others are 0; or all are the first where `step` is 0. */
ERT_INLINE ert_w ert_w_load_some(const int32_t *p, int32_t step, int32_t n) {
  if (!step) return ert_w_all(*p);
  if (n >= ERT_LANES) return ert_w_load(p);
  int32_t held[ERT_LANES] = {0};
  for (int32_t i = 0; i < n; i++) held[i] = p[i];
  return ert_w_load(held);
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
