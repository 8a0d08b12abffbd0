/* SPDX-License-Identifier: Apache-2.0 */
/* The rescale of lanes.h in vectors of AVX-512.
 *
 * Sums have 2^31 added, so that s' = s + 2^31 has no sign. With M = twice the multiplier, the high half of s' * M + 2^31 is
 * h + multiplier, h as in lanes.h; what is added before the shift takes the multiplier away again. It needs no sign
 * either where nothing below the zero point is let through: what a ReLU hides may be rounded as it likes. */
#ifndef ERT_REQUANTIZE_X86_H
#define ERT_REQUANTIZE_X86_H

#include "isa.h"
#include "kernel.h"

#if ERT_HAS_avx512vnni
#include <immintrin.h>

typedef struct {
  __m256i even, odd, add_even, add_odd, shift;
} ert_ymm_scales;

typedef struct {
  __m512i even, odd, add_even, add_odd, shift;
} ert_zmm_scales;

ERT_BEGIN_avx512vnni

ERT_INLINE ert_ymm_scales ert_ymm_scales_of(const void *multipliers, const void *shifts, int signs) {
  const __m256i half = _mm256_set1_epi64x(INT64_C(1) << 31), one = _mm256_set1_epi32(1);
  const __m256i multiplier = _mm256_loadu_si256(multipliers), shift = _mm256_loadu_si256(shifts);
  const __m256i doubled = _mm256_add_epi32(multiplier, multiplier);
  __m256i more = _mm256_sub_epi32(_mm256_sllv_epi32(one, _mm256_sub_epi32(shift, one)), multiplier);
  if (signs) more = _mm256_sub_epi32(more, one);
  return (ert_ymm_scales){doubled, _mm256_srli_epi64(doubled, 32), _mm256_add_epi64(_mm256_slli_epi64(more, 32), half),
                          _mm256_mask_blend_epi32(0x55, more, half), shift};
}

/* Below 0 halves are rounded away from zero: one less is added there, that is, one more where a sum has its top bit. */
ERT_INLINE __m256i ert_ymm_requantize(__m256i sum, const ert_ymm_scales *s, int signs) {
  const __m256i even = _mm256_add_epi64(_mm256_mul_epu32(sum, s->even), s->add_even);
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epu32(_mm256_srli_epi64(sum, 32), s->odd), s->add_odd);
  __m256i h = _mm256_mask_shuffle_epi32(odd, 0x55, even, _MM_PERM_DDBB);
  if (signs) h = _mm256_sub_epi32(h, _mm256_srai_epi32(sum, 31));
  return _mm256_srav_epi32(h, s->shift);
}

ERT_INLINE ert_zmm_scales ert_zmm_scales_of(const void *multipliers, const void *shifts, int signs) {
  const __m512i half = _mm512_set1_epi64(INT64_C(1) << 31), one = _mm512_set1_epi32(1);
  const __m512i multiplier = _mm512_loadu_si512(multipliers), shift = _mm512_loadu_si512(shifts);
  const __m512i doubled = _mm512_add_epi32(multiplier, multiplier);
  __m512i more = _mm512_sub_epi32(_mm512_sllv_epi32(one, _mm512_sub_epi32(shift, one)), multiplier);
  if (signs) more = _mm512_sub_epi32(more, one);
  return (ert_zmm_scales){doubled, _mm512_srli_epi64(doubled, 32), _mm512_add_epi64(_mm512_slli_epi64(more, 32), half),
                          _mm512_mask_blend_epi32(0x5555, more, half), shift};
}

ERT_INLINE __m512i ert_zmm_requantize(__m512i sum, const ert_zmm_scales *s, int signs) {
  const __m512i even = _mm512_add_epi64(_mm512_mul_epu32(sum, s->even), s->add_even);
  const __m512i odd = _mm512_add_epi64(_mm512_mul_epu32(_mm512_srli_epi64(sum, 32), s->odd), s->add_odd);
  __m512i h = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
  if (signs) h = _mm512_sub_epi32(h, _mm512_srai_epi32(sum, 31));
  return _mm512_srav_epi32(h, s->shift);
}

ERT_END_avx512vnni

#endif
#endif
