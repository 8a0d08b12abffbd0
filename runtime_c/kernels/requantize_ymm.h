/* SPDX-License-Identifier: Apache-2.0 */
/* requantize_x86.h for eight sums in the registers of AVX2: one more instruction brings even and odd lanes together. */
#ifndef ERT_REQUANTIZE_YMM_H
#define ERT_REQUANTIZE_YMM_H

#include "isa.h"
#include "kernel.h"

#if ERT_HAS_avx2
#include <immintrin.h>

typedef struct {
  __m256i even, odd, add_even, add_odd, shift;
} ert_avx2_scales;

ERT_BEGIN_avx2

ERT_INLINE ert_avx2_scales ert_avx2_scales_of(const void *multipliers, const void *shifts, int signs) {
  const __m256i half = _mm256_set1_epi64x(INT64_C(1) << 31), one = _mm256_set1_epi32(1);
  const __m256i multiplier = _mm256_loadu_si256(multipliers), shift = _mm256_loadu_si256(shifts);
  const __m256i doubled = _mm256_add_epi32(multiplier, multiplier);
  __m256i more = _mm256_sub_epi32(_mm256_sllv_epi32(one, _mm256_sub_epi32(shift, one)), multiplier);
  if (signs) more = _mm256_sub_epi32(more, one);
  return (ert_avx2_scales){doubled, _mm256_srli_epi64(doubled, 32), _mm256_add_epi64(_mm256_slli_epi64(more, 32), half),
                           _mm256_blend_epi32(more, half, 0x55), shift};
}

/* `sum` with 2^31 added to it. */
ERT_INLINE __m256i ert_avx2_requantize(__m256i sum, const ert_avx2_scales *s, int signs) {
  const __m256i even = _mm256_add_epi64(_mm256_mul_epu32(sum, s->even), s->add_even);
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(sum, 32), s->odd), s->add_odd);
  __m256i h = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  if (signs) h = _mm256_sub_epi32(h, _mm256_srai_epi32(sum, 31));
  return _mm256_srav_epi32(h, s->shift);
}

ERT_END_avx2

#endif
#endif
