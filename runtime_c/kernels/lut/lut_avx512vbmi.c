/* SPDX-License-Identifier: Apache-2.0 */
/* A shuffle that reads 128 entries of the table at once; the half that an item is in chooses between two of them. */
#include "lut/lut.h"
#include "isa.h"

#if ERT_HAS_avx512vbmi
#include <immintrin.h>

ERT_BEGIN_avx512vbmi

void ert_lut_s8_x64__avx512vbmi(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_lut_s8_params *p = (const void *)c->params;
  const int8_t *table = ert_blob(c, p->table);
  const __m512i a = _mm512_loadu_si512(table + 128), b = _mm512_loadu_si512(table + 192);
  const __m512i d = _mm512_loadu_si512(table), e = _mm512_loadu_si512(table + 64);
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k += 64) {
      const int32_t left = p->n - k;
      const __mmask64 some = left < 64 ? ((__mmask64)1 << left) - 1 : ~(__mmask64)0;
      const __m512i x = _mm512_maskz_loadu_epi8(some, in + k);
      const __m512i low = _mm512_permutex2var_epi8(a, x, b), high = _mm512_permutex2var_epi8(d, x, e);
      _mm512_mask_storeu_epi8(out + k, some, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high));
    }
  }
}

ERT_END_avx512vbmi

#endif
