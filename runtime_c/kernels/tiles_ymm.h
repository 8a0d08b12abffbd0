/* SPDX-License-Identifier: Apache-2.0 */
/* int8 and int16 tiles of up to six pixels x 16 channels in sixteen registers of AVX2, two of sums for a pixel. */
#ifndef ERT_TILES_YMM_H
#define ERT_TILES_YMM_H

#include "requantize_ymm.h"
#include "tiles_x86.h"

#if ERT_HAS_avx2

/* ERT_SIGNED: products of the inputs' magnitudes and of weights with the inputs' signs. Two of them are at most
 * 2 * 128 * 127, which 16 bits hold: no weight may be -128.
 * ERT_VNNI: products of unsigned inputs (layouts u).
 * ERT_PAIRS, ERT_PAIRS_VNNI, in AVX-512 ERT_PAIRS_EVEX: products of int16, two added up in 32 bits. */
enum { ERT_SIGNED, ERT_VNNI, ERT_PAIRS, ERT_PAIRS_VNNI, ERT_PAIRS_EVEX, ERT_YMM_CHANNELS = 16 };

typedef struct {
  __m256i low, high;
} ert_ymm_sums;

typedef int32_t ert_word __attribute__((aligned(1), may_alias));

/* Requantises the sums of `pixels` pixels. */
void ert_ymm_finish(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels);
void ert_ymm_finish_s16(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels);

ERT_BEGIN_avx2

ERT_INLINE __m256i ymm_dot(__m256i sum, __m256i x, __m256i prepared, __m256i w, int kind) {
  if (kind == ERT_VNNI) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(prepared), "x"(w));
    return sum;
  }
  if (kind == ERT_PAIRS_VNNI) {
    __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(prepared), "x"(w));
    return sum;
  }
  if (kind == ERT_PAIRS_EVEX) {
    __asm__("%{evex%} vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(prepared), "v"(w));
    return sum;
  }
  if (kind == ERT_PAIRS) return _mm256_add_epi32(sum, _mm256_madd_epi16(prepared, w));
  const __m256i pairs = _mm256_maddubs_epi16(prepared, _mm256_sign_epi8(w, x));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

ERT_INLINE ert_ymm_sums ymm_add(ert_ymm_sums a, const uint8_t *p, __m256i low, __m256i high, int kind) {
  const __m256i x = _mm256_set1_epi32(*(const ert_word *)(const void *)p);
  const __m256i y = kind == ERT_VNNI     ? _mm256_xor_si256(x, _mm256_set1_epi8(-128))
                    : kind == ERT_SIGNED ? _mm256_abs_epi8(x)
                                         : x;
  return (ert_ymm_sums){ymm_dot(a.low, x, y, low, kind), ymm_dot(a.high, x, y, high, kind)};
}

/* Bytes of an input. */
ERT_INLINE int ymm_item(int kind) { return kind >= ERT_PAIRS ? 2 : 1; }

/* Biases and 2^31; 0 for a part of int16 sums. */
ERT_INLINE ert_ymm_sums ymm_begin(const ert_tile_args *t, int kind) {
  const __m256i top = _mm256_set1_epi32(INT32_MIN), *bias = t->scales;
  if (kind >= ERT_PAIRS && bias == NULL) return (ert_ymm_sums){_mm256_setzero_si256(), _mm256_setzero_si256()};
  return (ert_ymm_sums){_mm256_xor_si256(_mm256_loadu_si256(bias), top),
                        _mm256_xor_si256(_mm256_loadu_si256(bias + 1), top)};
}

/* Four bytes of input meet a vector of int8 weights, or, being int16, half a vector that is widened. */
ERT_INLINE __m256i ymm_weights(const int8_t *w, int half, int kind) {
  if (kind < ERT_PAIRS) return _mm256_loadu_si256((const __m256i *)(const void *)w + half);
  return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)w + half));
}

/* Sums of products and biases, and 2^31. */
ERT_INLINE void ymm_multiply(const ert_tile_args *t, ert_ymm_sums *sums, int pixels, int kind) {
  const int item = ymm_item(kind);
  const ptrdiff_t first = item == 2 ? 2 * (ptrdiff_t)t->first : 0;
  const int8_t *w = (const int8_t *)t->weights + (item == 2 ? (ptrdiff_t)t->before * ERT_YMM_CHANNELS : 0);
  const void *const *in = t->in;
  const ert_ymm_sums b = ymm_begin(t, kind);
  ert_ymm_sums a[6] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) {
    const uint8_t *x[6];
#define PIXEL(i) x[i] = i < pixels ? (const uint8_t *)in[i] + first : NULL;
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    for (ptrdiff_t k = 0; k < item * (ptrdiff_t)t->run; k += 4, w += 4 / item * ERT_YMM_CHANNELS) {
      const __m256i low = ymm_weights(w, 0, kind), high = ymm_weights(w, 1, kind);
#define PIXEL(i) \
  if (i < pixels) a[i] = ymm_add(a[i], x[i] + k, low, high, kind);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  }
#define PIXEL(i) \
  if (i < pixels) sums[i] = a[i];
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

ERT_INLINE void ert_ymm_tile(const ert_tile_args *t, int pixels, int kind) {
  ert_ymm_sums sums[6];
  ymm_multiply(t, sums, pixels, kind);
  if (kind < ERT_PAIRS) ert_ymm_finish(t, sums, pixels);
  else ert_ymm_finish_s16(t, sums, pixels);
}

ERT_END_avx2

#endif
#endif
