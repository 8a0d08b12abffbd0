/* SPDX-License-Identifier: Apache-2.0 */
/* Integers of recurrent layers on vectors of ERT_LANES words: dot products of runs, the rescale of requantize.h and the
 * gates of gates.h, written once as floats.h is. Sums wrap; the bytes are those of the portable kernels. */
#ifndef ERT_INTEGERS_H
#define ERT_INTEGERS_H

#include "dot.h"
#include "floats.h"
#include "gates.h"
#include "lstm/lstm.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum {
  ERT_V_CHUNK = 16,  /* items that are multiplied at once */
  ERT_V_RUNS = 8,    /* sums that are computed together */
  ERT_V_NARROW = 256 /* products of int16 and int8 whose sum has 32 bits */
};

typedef int8_t ert_v_bytes __attribute__((vector_size(16)));
typedef int16_t ert_v_halves __attribute__((vector_size(2 * ERT_LANES)));
/* In memory: builds without libc call a function to move bytes. */
typedef int8_t ert_v_bytes_at __attribute__((vector_size(16), aligned(1), may_alias));
typedef int16_t ert_v_halves_at __attribute__((vector_size(2 * ERT_LANES), aligned(2), may_alias));
typedef int32_t ert_v_words_at __attribute__((vector_size(4 * ERT_LANES), aligned(4), may_alias));

/* Sixteen int16 as an instruction set multiplies them. */
#if ERT_HAS_avx2
typedef __m256i ert_v_wide;

ERT_INLINE ert_v_wide ert_v_widened(ert_v_bytes x) { return _mm256_cvtepi8_epi16((__m128i)x); }

ERT_INLINE ert_v_wide ert_v_wide_at(const int16_t *p) { return _mm256_loadu_si256((const void *)p); }

ERT_INLINE ert_v_s32 ert_v_add_products(ert_v_s32 sum, ert_v_wide x, ert_v_wide w) {
  return (ert_v_s32)_mm256_add_epi32((__m256i)sum, _mm256_madd_epi16(x, w));
}
#elif ERT_HAS_neon
typedef int16x8x2_t ert_v_wide;

ERT_INLINE ert_v_wide ert_v_widened(ert_v_bytes x) {
  const int8x16_t v = (int8x16_t)x;
  return (ert_v_wide){{vmovl_s8(vget_low_s8(v)), vmovl_s8(vget_high_s8(v))}};
}

ERT_INLINE ert_v_wide ert_v_wide_at(const int16_t *p) { return (ert_v_wide){{vld1q_s16(p), vld1q_s16(p + 8)}}; }

ERT_INLINE ert_v_s32 ert_v_add_products(ert_v_s32 sum, ert_v_wide x, ert_v_wide w) {
  int32x4_t s = (int32x4_t)sum;
  for (int i = 0; i < 2; i++) {
    s = vmlal_s16(s, vget_low_s16(x.val[i]), vget_low_s16(w.val[i]));
    s = vmlal_s16(s, vget_high_s16(x.val[i]), vget_high_s16(w.val[i]));
  }
  return (ert_v_s32)s;
}
#else
typedef struct {
  v128_t low, high;
} ert_v_wide;

ERT_INLINE ert_v_wide ert_v_widened(ert_v_bytes x) {
  return (ert_v_wide){wasm_i16x8_extend_low_i8x16((v128_t)x), wasm_i16x8_extend_high_i8x16((v128_t)x)};
}

ERT_INLINE ert_v_wide ert_v_wide_at(const int16_t *p) { return (ert_v_wide){wasm_v128_load(p), wasm_v128_load(p + 8)}; }

ERT_INLINE ert_v_s32 ert_v_add_products(ert_v_s32 sum, ert_v_wide x, ert_v_wide w) {
  const v128_t s = wasm_i32x4_add((v128_t)sum, wasm_i32x4_dot_i16x8(x.low, w.low));
  return (ert_v_s32)wasm_i32x4_add(s, wasm_i32x4_dot_i16x8(x.high, w.high));
}
#endif

/* Sixteen products of bytes. */
#if ERT_HAS_neon
typedef int8x16_t ert_v_factors;

ERT_INLINE ert_v_factors ert_v_factors_of(ert_v_bytes x) { return (int8x16_t)x; }

ERT_INLINE ert_v_s32 ert_v_add_bytes(ert_v_s32 sum, ert_v_factors x, ert_v_factors w) {
  const int32x4_t low = vpadalq_s16((int32x4_t)sum, vmull_s8(vget_low_s8(x), vget_low_s8(w)));
  return (ert_v_s32)vpadalq_s16(low, vmull_s8(vget_high_s8(x), vget_high_s8(w)));
}
#else
typedef ert_v_wide ert_v_factors;

ERT_INLINE ert_v_factors ert_v_factors_of(ert_v_bytes x) { return ert_v_widened(x); }

ERT_INLINE ert_v_s32 ert_v_add_bytes(ert_v_s32 sum, ert_v_factors x, ert_v_factors w) {
  return ert_v_add_products(sum, x, w);
}
#endif

/* Each of four vectors' lanes added up. */
ERT_INLINE void ert_v_store_totals(int32_t *out, ert_v_s32 a, ert_v_s32 b, ert_v_s32 c, ert_v_s32 d) {
#if ERT_HAS_avx2
  const __m256i ab = _mm256_hadd_epi32((__m256i)a, (__m256i)b), cd = _mm256_hadd_epi32((__m256i)c, (__m256i)d);
  const __m256i all = _mm256_hadd_epi32(ab, cd);
  _mm_storeu_si128((void *)out, _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
#elif defined(__aarch64__)
  const int32x4_t ab = vpaddq_s32((int32x4_t)a, (int32x4_t)b), cd = vpaddq_s32((int32x4_t)c, (int32x4_t)d);
  vst1q_s32(out, vpaddq_s32(ab, cd));
#elif ERT_HAS_simd128
  const v128_t p = (v128_t)a, q = (v128_t)b, r = (v128_t)c, s = (v128_t)d;
  const v128_t pr = wasm_i32x4_add(wasm_i32x4_shuffle(p, r, 0, 1, 4, 5), wasm_i32x4_shuffle(p, r, 2, 3, 6, 7));
  const v128_t qs = wasm_i32x4_add(wasm_i32x4_shuffle(q, s, 0, 1, 4, 5), wasm_i32x4_shuffle(q, s, 2, 3, 6, 7));
  wasm_v128_store(out, wasm_i32x4_add(wasm_i32x4_shuffle(pr, qs, 0, 4, 2, 6), wasm_i32x4_shuffle(pr, qs, 1, 5, 3, 7)));
#else
  const ert_v_s32 of[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) {
    const int32x4_t v = (int32x4_t)of[i];
    const int32x2_t two = vadd_s32(vget_low_s32(v), vget_high_s32(v));
    out[i] = vget_lane_s32(vpadd_s32(two, two), 0);
  }
#endif
}

ERT_INLINE ert_v_bytes ert_v_load_bytes(const int8_t *p) { return *(const ert_v_bytes_at *)(const void *)p; }

/* What a chunk that ends with a run of n items has and those before it have not. */
ERT_INLINE ert_v_bytes ert_v_last_bytes(int32_t n) {
  int8_t held[ERT_V_CHUNK];
  for (int32_t i = 0; i < ERT_V_CHUNK; i++) held[i] = i < ERT_V_CHUNK - n % ERT_V_CHUNK ? 0 : -1;
  return ert_v_load_bytes(held);
}

/* out[r] = bias[r] + sum over k of x[k] * w[r][k], modulo 2^32; where each row has an x of its own, x[r][k]. */
typedef struct {
  const int8_t *x, *w;
  const int32_t *bias;
  int32_t *out;
  int32_t n, rows, own;
} ert_v_dots;

typedef void ert_v_dots_fn(const ert_v_dots *d);

/* Runs that are shorter than a chunk, or a few of them. */
ERT_APART void ert_v_few_dots(const ert_v_dots *d) {
  for (int32_t r = 0; r < d->rows; r++) {
    const int8_t *x = d->own ? d->x + r * d->n : d->x;
    d->out[r] = (int32_t)(ert_dot_s8(x, d->w + r * d->n, d->n) + (uint32_t)d->bias[r]);
  }
}

/* Rows o ... */
ERT_INLINE void ert_v_eight_dots(const ert_v_dots *d, ptrdiff_t o, int own) {
  const ptrdiff_t n = d->n;
  const int8_t *w = d->w + o * n, *x = own ? d->x + o * n : d->x;
  ert_v_s32 sums[ERT_V_RUNS];
  ptrdiff_t k = 0;
  ERT_UNROLLED
  for (int r = 0; r < ERT_V_RUNS; r++) sums[r] = (ert_v_s32){d->bias[o + r]};
  for (; k + ERT_V_CHUNK <= n; k += ERT_V_CHUNK) {
    const ert_v_factors all = ert_v_factors_of(ert_v_load_bytes(x + k));
    ERT_UNROLLED
    for (int r = 0; r < ERT_V_RUNS; r++) {
      const ert_v_factors f = own ? ert_v_factors_of(ert_v_load_bytes(x + r * n + k)) : all;
      sums[r] = ert_v_add_bytes(sums[r], f, ert_v_factors_of(ert_v_load_bytes(w + r * n + k)));
    }
  }
  if (k < n) {
    const ert_v_bytes mask = ert_v_last_bytes(d->n);
    const ert_v_factors all = ert_v_factors_of(ert_v_load_bytes(x + n - ERT_V_CHUNK) & mask);
    k = n - ERT_V_CHUNK;
    ERT_UNROLLED
    for (int r = 0; r < ERT_V_RUNS; r++) {
      const ert_v_factors f = own ? ert_v_factors_of(ert_v_load_bytes(x + r * n + k) & mask) : all;
      sums[r] = ert_v_add_bytes(sums[r], f, ert_v_factors_of(ert_v_load_bytes(w + r * n + k)));
    }
  }
  ert_v_store_totals(d->out + o, sums[0], sums[1], sums[2], sums[3]);
  ert_v_store_totals(d->out + o + 4, sums[4], sums[5], sums[6], sums[7]);
}

/* The last rows begin where there are enough of them: some sums are computed twice. */
ERT_APART void ert_v_all_dots(const ert_v_dots *d) {
  const int32_t last = d->rows - ERT_V_RUNS;
  if (d->n < ERT_V_CHUNK || last < 0) {
    ert_v_few_dots(d);
    return;
  }
  for (int32_t o = 0; o < d->rows; o += ERT_V_RUNS)
    if (d->own) ert_v_eight_dots(d, o < last ? o : last, 1);
    else ert_v_eight_dots(d, o < last ? o : last, 0);
}

/* (x * multiplier + 2^30) >> 31 */
ERT_INLINE ert_v_s32 ert_v_doubling_product(ert_v_s32 x, int32_t multiplier) {
#if ERT_HAS_avx2
  const __m256i m = _mm256_set1_epi32(multiplier), half = _mm256_set1_epi64x(1 << 30),
                odd = _mm256_srli_epi64((__m256i)x, 32);
  const __m256i a = _mm256_add_epi64(_mm256_mul_epi32((__m256i)x, m), half);
  const __m256i b = _mm256_add_epi64(_mm256_mul_epi32(odd, m), half);
  return (ert_v_s32)_mm256_blend_epi32(_mm256_srli_epi64(a, 31), _mm256_add_epi64(b, b), 0xaa);
#elif ERT_HAS_neon
  return (ert_v_s32)vqrdmulhq_n_s32((int32x4_t)x, multiplier);
#else
  const v128_t m = wasm_i32x4_splat(multiplier), half = wasm_i64x2_const_splat(1 << 30);
  const v128_t a = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4((v128_t)x, m), half);
  const v128_t b = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4((v128_t)x, m), half);
  return (ert_v_s32)wasm_i32x4_shuffle(wasm_u64x2_shr(a, 31), wasm_u64x2_shr(b, 31), 0, 2, 4, 6);
#endif
}

/* A multiplier and a shift taken apart. Multipliers of files that a converter wrote are above -2^31. */
typedef struct {
  int32_t multiplier, left, right, below; /* below: -1 where the shift is to the right */
} ert_v_scale;

ERT_INLINE ert_v_scale ert_v_scale_of(int32_t multiplier, int32_t shift) {
  if (shift >= 0) return (ert_v_scale){multiplier, shift & 31, 0, 0};
  return (ert_v_scale){multiplier, 0, (~shift & 31) + 1, -1};
}

/* ert_requantize */
ERT_INLINE ert_v_s32 ert_v_requantize(ert_v_s32 x, const ert_v_scale *s) {
  const ert_v_s32 high = ert_v_doubling_product((ert_v_s32)((ert_v_u32)x << (uint32_t)s->left), s->multiplier);
  const ert_v_u32 away = (ert_v_u32)high + (ert_v_u32)((high >> 31) & s->below);
#if ERT_HAS_neon
  return (ert_v_s32)vrshlq_s32((int32x4_t)away, vdupq_n_s32(-s->right));
#else
  const ert_v_s32 halves = (ert_v_s32)away >> (s->right + s->below);
  return (ert_v_s32)((ert_v_u32)halves - (uint32_t)s->below) >> -s->below;
#endif
}

ERT_INLINE ert_v_s32 ert_v_clamp(ert_v_s32 x, int32_t low, int32_t high) {
#if ERT_HAS_avx2
  return (ert_v_s32)_mm256_max_epi32(_mm256_set1_epi32(low), _mm256_min_epi32(_mm256_set1_epi32(high), (__m256i)x));
#elif ERT_HAS_neon
  return (ert_v_s32)vmaxq_s32(vdupq_n_s32(low), vminq_s32(vdupq_n_s32(high), (int32x4_t)x));
#else
  return (ert_v_s32)wasm_i32x4_max(wasm_i32x4_splat(low), wasm_i32x4_min(wasm_i32x4_splat(high), (v128_t)x));
#endif
}

ERT_INLINE ert_v_s32 ert_v_saturate16(ert_v_s32 x) { return ert_v_clamp(x, INT16_MIN, INT16_MAX); }

/* Words of scratch. */
ERT_INLINE ert_v_s32 ert_v_words(const int32_t *p) { return *(const ert_v_words_at *)(const void *)p; }

ERT_INLINE void ert_v_put_words(int32_t *p, ert_v_s32 v) { *(ert_v_words_at *)(void *)p = v; }

/* The first `left` int16, or a whole vector. */
ERT_INLINE ert_v_s32 ert_v_load_halves(const int16_t *p, int32_t left) {
  int16_t held[ERT_LANES] = {0};
  for (int32_t i = 0; left < ERT_LANES && i < left; i++) held[i] = p[i];
  const ert_v_halves v = *(const ert_v_halves_at *)(const void *)(left < ERT_LANES ? held : p);
  return __builtin_convertvector(v, ert_v_s32);
}

ERT_INLINE void ert_v_put_halves(int16_t *p, ert_v_s32 x, int32_t left) {
  int16_t held[ERT_LANES];
  *(ert_v_halves_at *)(void *)(left < ERT_LANES ? held : p) = __builtin_convertvector(x, ert_v_halves);
  for (int32_t i = 0; left < ERT_LANES && i < left; i++) p[i] = held[i];
}

ERT_INLINE void ert_v_put_bytes(int8_t *p, ert_v_s32 x, int32_t left) {
  int32_t held[ERT_LANES];
  ert_v_put_words(held, x);
  for (int32_t i = 0; i < (left < ERT_LANES ? left : ERT_LANES); i++) p[i] = (int8_t)held[i];
}

/* table[at] in the low half of a word, table[at + 1] in the high one. */
ERT_INLINE ert_v_u32 ert_v_neighbours(const uint16_t *table, ert_v_s32 at) {
#if ERT_HAS_avx2
  return (ert_v_u32)_mm256_i32gather_epi32((const void *)table, (__m256i)at, 2);
#else
  int32_t held[ERT_LANES];
  ert_v_put_words(held, at);
  ERT_UNROLLED
  for (int i = 0; i < ERT_LANES; i++) held[i] = (int32_t)(table[held[i]] | (uint32_t)table[held[i] + 1] << 16);
  return (ert_v_u32)ert_v_words(held);
#endif
}

ERT_INLINE ert_v_u32 ert_v_interpolated(const uint16_t *table, ert_v_s32 x, uint32_t bits, uint32_t most) {
  const ert_v_u32 sign = (ert_v_u32)(x >> 31), magnitude = ((ert_v_u32)x ^ sign) - sign;
  const ert_v_s32 at = (ert_v_s32)(magnitude >> bits), inside = at < ERT_SIGMOID_ENTRIES - 1;
  const ert_v_u32 two = ert_v_neighbours(table, ert_v_clamp(at, 0, ERT_SIGMOID_ENTRIES - 2));
  const ert_v_u32 a = two & 0xffffu, b = two >> 16;
  const ert_v_u32 y = (a << bits) + (magnitude & ((1u << bits) - 1u)) * (b - a);
  return (y & (ert_v_u32)inside) | (most & ~(ert_v_u32)inside);
}

/* ert_sigmoid16 and ert_tanh16 */
ERT_INLINE ert_v_s32 ert_v_sigmoid16(const uint16_t *table, ert_v_s32 x) {
  const ert_v_u32 y = ert_v_interpolated(table, x, 9, (uint32_t)INT16_MAX << 10), below = (ert_v_u32)(x >> 31);
  const ert_v_u32 z = ((((1u << 25) - y + (1u << 9) - 1u) & below) | ((y + (1u << 9)) & ~below)) >> 10;
  return (ert_v_s32)(z << 16) >> 16;
}

ERT_INLINE ert_v_s32 ert_v_tanh16(const uint16_t *table, ert_v_s32 x) {
  const ert_v_u32 y = ert_v_interpolated(table, x, 8, (uint32_t)UINT16_MAX << 8) - (1u << 23);
  const ert_v_s32 z = (ert_v_s32)((y ^ (ert_v_u32)(x >> 31)) + (1u << 7)) >> 8;
  return (ert_v_s32)((ert_v_u32)z << 16) >> 16;
}

/* Sums in Q3.12, in place. */
ERT_INLINE void ert_v_rescale(int32_t *sums, int32_t n, int32_t multiplier, int32_t shift) {
  const ert_v_scale s = ert_v_scale_of(multiplier, shift);
  for (int32_t o = 0; o < n; o += ERT_LANES)
    ert_v_put_words(sums + o, ert_v_saturate16(ert_v_requantize(ert_v_words(sums + o), &s)));
}

/* f(a + b) in place of a: sums with the input and with the state, f as gates.h has it. */
ERT_INLINE void ert_v_gate_of(const ert_gate_scale *g, const uint16_t *table, int32_t *a, const int32_t *b, int32_t n,
                              int is_tanh) {
  const ert_v_scale in = ert_v_scale_of(g->multiplier, g->shift);
  const ert_v_scale state = ert_v_scale_of(g->state_multiplier, g->state_shift);
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 x = ert_v_saturate16(ert_v_requantize(ert_v_words(a + o), &in));
    const ert_v_s32 sum = ert_v_saturate16(x + ert_v_saturate16(ert_v_requantize(ert_v_words(b + o), &state)));
    ert_v_put_words(a + o, is_tanh ? ert_v_tanh16(table, 3 * sum) : ert_v_sigmoid16(table, 3 * sum));
  }
}

ERT_APART void ert_v_sigmoid_gate(const ert_gate_scale *g, const uint16_t *table, int32_t *a, const int32_t *b,
                                  int32_t n) {
  ert_v_gate_of(g, table, a, b, n, 0);
}

ERT_APART void ert_v_tanh_gate(const ert_gate_scale *g, const uint16_t *table, int32_t *a, const int32_t *b,
                               int32_t n) {
  ert_v_gate_of(g, table, a, b, n, 1);
}

/* The rows of an instruction set, with its dot products. */
#define ERT_INTEGERS(tile, isa, dots)                                                                                  \
  void ert_lstm_s8s8_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) {                                      \
    ert_v_lstm_s8_rows(c, dots, y0, y1);                                                                               \
  }                                                                                                                    \
  void ert_rnn_s8s8_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) { ert_v_rnn_s8_rows(c, dots, y0, y1); } \
  void ert_svdf_s8s8_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) {                                      \
    ert_v_svdf_s8_rows(c, dots, y0, y1);                                                                               \
  }                                                                                                                    \
  void ert_svdf_s8s16_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) {                                     \
    ert_v_svdf_s16_rows(c, dots, y0, y1);                                                                              \
  }

/* Those that multiply no bytes. */
#define ERT_INTEGERS_S16(tile, isa) \
  void ert_lstm_s16s8_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) { ert_v_lstm_s16_rows(c, y0, y1); }

ERT_END_LANES

#endif

#endif
