/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of normalize_c.c on vectors. Normalised items have 32 bits: with n items none is above 2^20 * sqrt(n). */
#ifndef ERT_NORMALIZE_BYTES_H
#define ERT_NORMALIZE_BYTES_H

#include "bytes.h"
#include "normalize/normalize.h"

#ifdef ERT_LANES

void ert_normalize_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1);

ERT_BEGIN_LANES

enum { ERT_B_SUMMED = 1 << 17 }; /* items whose squares sum up below 2^31 in each lane */

/* Sums of d and d^2 over a run, added to both. */
ERT_INLINE void ert_b_add_moments(const int8_t *x, int32_t n, int32_t zero_point, int64_t *sum, uint64_t *squares) {
  const ert_h zero = ert_h_all(zero_point), one = ert_h_all(1);
  ert_w sums = {0}, squared = {0};
  for (int32_t i = 0; i < n; i += ERT_BYTES) {
    ert_h d[ERT_HALVES];
    ert_b_halves(ert_b_load_some(x + i, n - i, zero_point), d);
    ERT_UNROLLED
    for (int k = 0; k < ERT_HALVES; k++) {
      d[k] -= zero;
      sums = ert_h_dot(sums, d[k], one), squared = ert_h_dot(squared, d[k], d[k]);
    }
  }
  int32_t held[ERT_LANES];
  *sum += ert_w_sum_of(sums);
  ert_w_store(held, squared);
  for (int32_t k = 0; k < ERT_LANES; k++) *squares += (uint32_t)held[k];
}

ERT_INLINE ert_normalizer ert_b_measured(const ert_normalize_s8_params *p, const int8_t *x) {
  const ert_normalize_shape *g = &p->shape;
  int64_t sum = 0;
  uint64_t squares = 0;
  for (int32_t o = 0; o < g->outer; o++, x += g->groups * g->inner)
    for (int32_t i = 0; i < g->inner; i += ERT_B_SUMMED) {
      const int32_t left = g->inner - i;
      ert_b_add_moments(x + i, left < ERT_B_SUMMED ? left : ERT_B_SUMMED, p->in_zero_point, &sum, &squares);
    }
  return ert_normalizer_s8(p, sum, squares);
}

/* A run of the group; `step` is 0 where one gain and one offset are for all. */
ERT_INLINE void ert_b_normalize_run(const ert_normalize_s8_params *p, const ert_normalizer *f, const int8_t *x,
                                    int8_t *out, int32_t n, const int32_t *gain, const int32_t *offset) {
  const int32_t step = p->shape.per_channel;
  const ert_w count = ert_w_all(f->n), factor = ert_w_all((int32_t)f->factor);
  const ert_w less = ert_w_all((int32_t)(f->s + (int64_t)f->n * p->in_zero_point));
  for (int32_t i = 0; i < n; i += ERT_BYTES) {
    ert_w w[ERT_WORDS];
    ert_b_words(ert_b_load_some(x + i, n - i, 0), w);
    ERT_UNROLLED
    for (int k = 0; k < ERT_WORDS; k++) {
      const int32_t at = i + k * ERT_LANES, left = n - at, c = left > 0 ? at * step : 0;
      const ert_w z = ert_w_wide(ert_w_sub(ert_w_mul(w[k], count), less), factor, NULL, 0, f->right);
      const ert_w more = ert_w_load_some(offset + c, step, left);
      w[k] = ert_w_wide(z, ert_w_load_some(gain + c, step, left), &more, p->shift - 10, p->shift);
    }
    ert_b_store_some(out + i, ert_b_of_sums(w, p->zero_point), n - i);
  }
}

ERT_INLINE void ert_b_normalize_group(const ert_call *c, const ert_normalize_s8_params *p, int32_t q, const int8_t *x,
                                      int8_t *out) {
  const ert_normalize_shape *g = &p->shape;
  const int32_t first = q * g->inner * g->per_channel, stride = g->groups * g->inner;
  const int32_t *gain = (const int32_t *)ert_blob(c, p->gain) + first;
  const int32_t *offset = (const int32_t *)ert_blob(c, p->offset) + first;
  ert_normalizer f = ert_b_measured(p, x);
  /* 2^31 is the largest factor: its half cuts a place less. Where none is left to cut all items are alike, and 0. */
  if (f.factor > INT32_MAX && f.right > 1) f.factor /= 2, f.right--;
  for (int32_t o = 0; o < g->outer; o++, x += stride, out += stride)
    ert_b_normalize_run(p, &f, x, out, g->inner, gain, offset);
}

ERT_APART void ert_b_normalize_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_normalize_s8_params *p = (const void *)c->params;
  const int32_t inner = p->shape.inner;
  if (p->shift < 32) { /* gains of 2^18 and more: results may have more than 32 bits */
    ert_normalize_s8_x1__c(c, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t q = 0; q < p->shape.groups; q++) ert_b_normalize_group(c, p, q, x + q * inner, out + q * inner);
  }
}

ERT_END_LANES

#endif

#endif
