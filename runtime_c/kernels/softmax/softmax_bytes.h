/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of softmax_c.c on vectors. Exponentials are looked up once, into scratch, and followed by zeros there up to
 * a whole number of vectors. */
#ifndef ERT_SOFTMAX_BYTES_H
#define ERT_SOFTMAX_BYTES_H

#include "bytes.h"
#include "reciprocal.h"
#include "softmax/softmax.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE int32_t ert_b_largest_of(const int8_t *x, int32_t n) {
  ert_b most = ert_b_all(-128);
  for (int32_t i = 0; i < n; i = ert_b_next(i, n)) most = ert_b_max(most, ert_b_load_some(x + i, n - i, -128));
  return ert_b_largest(most);
}

/* Exponentials of sixteen items, 0 of those that are not there. */
#if ERT_HAS_avx2

ERT_INLINE void ert_b_exps(const ert_softmax_s8_params *p, const int32_t *table, const int8_t *x, int32_t max,
                           int32_t *e, int32_t some) {
  const __m256i most = _mm256_set1_epi32(max), end = _mm256_set1_epi32(p->n_exp), none = _mm256_setzero_si256();
  ert_w w[ERT_WORDS];
  ert_b_words(ert_b_load_some(x, some, max), w);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const __m256i d = _mm256_sub_epi32(most, (__m256i)w[k]);
    ert_w_store(e + k * ERT_LANES, (ert_w)_mm256_mask_i32gather_epi32(none, table, d, _mm256_cmpgt_epi32(end, d), 4));
  }
  for (int32_t i = some; i < ERT_BYTES; i++) e[i] = 0;
}

#else

ERT_INLINE void ert_b_exps(const ert_softmax_s8_params *p, const int32_t *table, const int8_t *x, int32_t max,
                           int32_t *e, int32_t some) {
  for (int32_t i = 0; i < some; i++) {
    const int32_t d = max - x[i];
    e[i] = d < p->n_exp ? table[d] : 0;
  }
  for (int32_t i = some; i < ERT_BYTES; i++) e[i] = 0;
}

#endif

ERT_INLINE uint32_t ert_b_sum_of_exps(const int32_t *e, int32_t n) {
  ert_wu sum = {0};
  for (int32_t i = 0; i < n; i += ERT_LANES) sum += ((ert_wu)ert_w_load(e + i) + (1u << 11)) >> 12;
  return (uint32_t)ert_w_sum_of((ert_w)sum);
}

ERT_INLINE void ert_b_shares(const int32_t *e, ert_w scale, int32_t shift, int8_t *out, int32_t some) {
  ert_w w[ERT_WORDS];
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const ert_wu q = (ert_wu)ert_w_high(scale, ert_w_load(e + k * ERT_LANES));
    w[k] = (ert_w)((q + (1u << (shift - 1))) >> (uint32_t)shift);
  }
  ert_b_store_some(out, ert_b_of_sums(w, -128), some);
}

ERT_INLINE void ert_b_softmax_row(const ert_softmax_s8_params *p, const int32_t *table, const int8_t *x, int32_t *e,
                                  int8_t *out) {
  const int32_t max = ert_b_largest_of(x, p->n);
  ERT_EACH_SIXTEEN(p->n, ert_b_exps(p, table, x + i, max, e + i, some));
  const uint32_t exps = ert_b_sum_of_exps(e, p->n), sum = exps ? exps : 1;
  const int32_t zeros = ert_leading_zeros(sum), shift = zeros < 4 ? 31 : 35 - zeros;
  const ert_w scale = ert_w_all(zeros < 4 ? 0 : ert_reciprocal(sum << zeros));
  ERT_EACH_SIXTEEN(p->n, ert_b_shares(e + i, scale, shift, out + i, some));
}

ERT_APART void ert_b_softmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_softmax_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    ert_b_softmax_row(p, ert_blob(c, p->exp), ert_row(&c->in[0], y), c->scratch, ert_out_row(&c->out, y));
}

ERT_APART void ert_b_pixel_softmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_pixel_softmax_s8_params *p = (const void *)c->params;
  const int32_t n = p->each.n;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->pixels; i++)
      ert_b_softmax_row(&p->each, ert_blob(c, p->each.exp), x + i * n, c->scratch, out + i * n);
  }
}

ERT_END_LANES

#endif

#endif
