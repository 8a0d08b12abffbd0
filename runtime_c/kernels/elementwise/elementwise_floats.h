/* SPDX-License-Identifier: Apache-2.0 */
/* Comparisons of floats, and selections of items of 4 bytes, on vectors; all else is portable. */
#ifndef ERT_ELEMENTWISE_FLOATS_H
#define ERT_ELEMENTWISE_FLOATS_H

#include "floats.h"
#include "items.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* A byte of 0 or 1 for each lane. */
ERT_INLINE void ert_v_store_bools(uint8_t *to, ert_v_mask mask) {
#if ERT_LANES == 16
  _mm_storeu_si128((void *)to, _mm_maskz_set1_epi8(mask, 1));
#elif ERT_HAS_avx2
  const __m256i m = (__m256i)mask;
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  _mm_storel_epi64((void *)to, _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1)));
#else
  for (int32_t k = 0; k < ERT_LANES; k++) to[k] = (uint8_t)(mask[k] & 1);
#endif
}

/* Which of the bools are not 0. */
ERT_INLINE ert_v_mask ert_v_load_bools(const uint8_t *from) {
#if ERT_LANES == 16
  const __m128i bytes = _mm_loadu_si128((const void *)from);
  return _mm_test_epi8_mask(bytes, bytes);
#elif ERT_HAS_avx2
  return (ert_v_s32)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)from)) > 0;
#else
  return (ert_v_s32){from[0], from[1], from[2], from[3]} > 0;
#endif
}

/* Bytes of which n are there. */
ERT_INLINE ert_v_mask ert_v_load_some_bools(const uint8_t *from, int32_t n) {
  uint8_t held[ERT_LANES] = {0};
  for (int32_t i = 0; i < n; i++) held[i] = from[i];
  return ert_v_load_bools(held);
}

ERT_INLINE ert_v_mask ert_v_bools(const uint8_t *p, int32_t step, int32_t k, int32_t left) {
  if (!step) return ert_v_same((ert_v){0}, ert_v_all(*p ? 0.0f : 1.0f));
  return left >= ERT_LANES ? ert_v_load_bools(p + k) : ert_v_load_some_bools(p + k, left);
}

ERT_INLINE void ert_v_select_run(const uint8_t *which, const float *a, const float *b, float *out, int32_t n,
                                 const int32_t *steps) {
  const int32_t which_step = steps[0], a_step = steps[1], b_step = steps[2];
  ERT_EACH_PAIR(ert_v_choose(ert_v_bools(which, which_step, k, left), x, y))
}

#define ERT_EACH_TRUTH(value)                                                                 \
  for (int32_t k = 0; k < n; k += ERT_LANES) {                                                \
    const int32_t left = n - k;                                                               \
    const ert_v x = ert_v_operand(a, a_step, k, left), y = ert_v_operand(b, b_step, k, left); \
    if (left >= ERT_LANES) ert_v_store_bools(out + k, value);                                 \
    else {                                                                                    \
      uint8_t held[ERT_LANES];                                                                \
      ert_v_store_bools(held, value);                                                         \
      for (int32_t i = 0; i < left; i++) out[k + i] = held[i];                                \
    }                                                                                         \
  }

ERT_INLINE void ert_v_compare_run(int32_t kind, const float *a, const float *b, uint8_t *out, int32_t n,
                                  const int32_t *steps) {
  const int32_t a_step = steps[0], b_step = steps[1];
  if (kind == ERT_EQUAL) ERT_EACH_TRUTH(ert_v_same(x, y))
  else if (kind == ERT_NOT_EQUAL) ERT_EACH_TRUTH(ert_v_other(x, y))
  else if (kind == ERT_LESS) ERT_EACH_TRUTH(ert_v_less(x, y))
  else ERT_EACH_TRUTH(ert_v_at_most(x, y))
}

/* Items of a run: all of a row where every operand has them one after another, else those of a pixel. */
ERT_INLINE int32_t ert_v_items_of_runs(const ert_elementwise_any_params *p, int32_t n_in) {
  for (int32_t i = 0; i < n_in; i++)
    if ((p->w > 1 && p->pixel[i] != p->c) || (p->c > 1 && p->item[i] != 1)) return p->c;
  return p->c > 1 ? p->w * p->c : p->c;
}

ERT_INLINE void ert_v_elementwise_row(const ert_call *c, int32_t y, int32_t n_in, int32_t n) {
  const ert_elementwise_any_params *p = (const void *)c->params;
  const int32_t runs = n == p->c ? p->w : 1;
  const int selects = p->kind == ERT_SELECT;
  const uint8_t *in[3] = {ert_row(&c->in[0], y), ert_row(&c->in[1], y), n_in > 2 ? ert_row(&c->in[2], y) : NULL};
  uint8_t *out = ert_out_row(&c->out, y);
  for (int32_t i = 0; i < runs; i++) {
    const float *a = (const void *)(in[n_in - 2] + 4 * i * p->pixel[n_in - 2]);
    const float *b = (const void *)(in[n_in - 1] + 4 * i * p->pixel[n_in - 1]);
    if (selects) ert_v_select_run(in[0] + i * p->pixel[0], a, b, (void *)(out + 4 * i * n), n, p->item);
    else ert_v_compare_run(p->kind, a, b, out + i * n, n, p->item);
  }
}

ERT_APART void ert_v_elementwise_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_elementwise_any_params *p = (const void *)c->params;
  const int selects = p->kind == ERT_SELECT;
  const int32_t n_in = selects ? 3 : 2;
  if (!(selects ? ert_item_size(p->dtype) == 4 : p->dtype == ERT_F32 && p->kind <= ERT_LESS_EQUAL)) {
    ert_elementwise_any_x1__c(c, y0, y1);
    return;
  }
  const int32_t n = ert_v_items_of_runs(p, n_in);
  for (int32_t y = y0; y < y1; y++) ert_v_elementwise_row(c, y, n_in, n);
}

ERT_END_LANES

#endif

#endif
