/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen int8 items at a time, in words; the last ones by a mask. */
#include "binary/walk.h"

#if ERT_HAS_avx512vnni
#include <immintrin.h>

ERT_WALK_RUNS(ert_walk_runs_s8, int8_t)

/* Constants of one rescale. */
typedef struct {
  __m512i multiplier, half, shift;
} zmm_scale;

ERT_BEGIN_avx512vnni

ERT_INLINE __m512i zmm_of(int32_t x) { return _mm512_set1_epi32(x); }

/* shift: 1 to 31 */
ERT_INLINE zmm_scale zmm_scale_of(int32_t multiplier, int32_t shift) {
  return (zmm_scale){zmm_of(multiplier), zmm_of((int32_t)((uint32_t)1 << (shift - 1))), zmm_of(shift)};
}

/* x * multiplier / 2^32, rounded half up. */
ERT_INLINE __m512i high_product(__m512i x, __m512i multiplier) {
  const __m512i half = _mm512_set1_epi64(INT64_C(1) << 31);
  const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(x, multiplier), half);
  const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), multiplier), half);
  return _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
}

ERT_INLINE __m512i rescale(__m512i x, const zmm_scale *s) {
  const __m512i high = high_product(x, s->multiplier);
  const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(high, _mm512_srai_epi32(high, 31)), s->half);
  return _mm512_srav_epi32(sum, s->shift);
}

ERT_INLINE __m512i words_at(const int8_t *x, int32_t step, __mmask16 some) {
  return step ? _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, x)) : zmm_of(*x);
}

ERT_INLINE void put_bytes(int8_t *out, __m512i x, int32_t zero_point, int32_t min, int32_t max, __mmask16 some) {
  x = _mm512_add_epi32(x, zmm_of(zero_point));
  x = _mm512_max_epi32(_mm512_min_epi32(x, zmm_of(max)), zmm_of(min));
  if (some == 0xffff) _mm_storeu_si128((__m128i *)(void *)out, _mm512_cvtepi32_epi8(x));
  else _mm_mask_storeu_epi8(out, some, _mm512_cvtepi32_epi8(x));
}

static void add_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  const ert_add_s8s8_params *p = (const void *)g;
  const zmm_scale small = zmm_scale_of(p->b_scale.multiplier, p->b_scale.shift);
  const zmm_scale total = zmm_scale_of(p->scale.multiplier, p->scale.shift);
  const __m512i a_factor = zmm_of(p->a_factor), a_base = zmm_of(-p->a_zero_point * p->a_factor);
  const __m512i b_gain = zmm_of(p->b_gain), b_base = zmm_of(-p->b_zero_point * p->b_gain);
  const __m512i b_factor = zmm_of(p->b_factor);
  for (; n > 0; n -= 16, a += 16 * g->a_item, b += 16 * g->b_item, out += 16) {
    const __mmask16 some = (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
    const __m512i x = _mm512_mullo_epi32(words_at(a, g->a_item, some), a_factor);
    const __m512i y = _mm512_mullo_epi32(words_at(b, g->b_item, some), b_gain);
    const __m512i scaled = _mm512_mullo_epi32(rescale(_mm512_add_epi32(y, b_base), &small), b_factor);
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(x, a_base), scaled);
    put_bytes(out, rescale(sum, &total), p->zero_point, p->min, p->max, some);
  }
}

/* The product is shifted to the left first, or the high product to the right. */
static void mul_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  const ert_mul_s8s8_params *p = (const void *)g;
  const __m512i a_zero = zmm_of(p->a_zero_point), b_zero = zmm_of(p->b_zero_point);
  const __m512i half = _mm512_set1_epi64(1 << 30), multiplier = zmm_of(p->multiplier);
  const __m512i left = zmm_of(p->shift > 0 ? p->shift : 0), right = zmm_of(p->shift < 0 ? -p->shift : 0);
  const __m512i more = zmm_of(p->shift < 0 ? (int32_t)((uint32_t)1 << (-p->shift - 1)) : 0);
  for (; n > 0; n -= 16, a += 16 * g->a_item, b += 16 * g->b_item, out += 16) {
    const __mmask16 some = (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
    const __m512i x = _mm512_sub_epi32(words_at(a, g->a_item, some), a_zero);
    const __m512i y = _mm512_sub_epi32(words_at(b, g->b_item, some), b_zero);
    const __m512i product = _mm512_sllv_epi32(_mm512_mullo_epi32(x, y), left);
    const __m512i even = _mm512_add_epi64(_mm512_mul_epi32(product, multiplier), half);
    const __m512i odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(product, 32), multiplier), half);
    const __m512i high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 31), _mm512_slli_epi64(odd, 1));
    const __m512i sign = p->shift < 0 ? _mm512_srai_epi32(high, 31) : _mm512_setzero_si512();
    const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(high, sign), more);
    put_bytes(out, _mm512_srav_epi32(sum, right), p->zero_point, p->min, p->max, some);
  }
}

ERT_END_avx512vnni

void ert_add_s8s8_x16__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) { ert_walk_runs_s8(c, y0, y1, add_items); }
void ert_mul_s8s8_x16__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) { ert_walk_runs_s8(c, y0, y1, mul_items); }

#endif
