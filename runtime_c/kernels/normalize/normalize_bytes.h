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

/* Sums of d and d^2. */
typedef struct {
  ert_w sum, squares;
} ert_b_moments;

ERT_INLINE void ert_b_measure_block(ert_b_moments *m, const int8_t *x, int32_t zero_point, int32_t some) {
  ert_h d[ERT_HALVES];
  ert_b_halves(ert_b_load_some(x, some, zero_point), d);
  ERT_UNROLLED
  for (int k = 0; k < ERT_HALVES; k++) {
    d[k] -= ert_h_all(zero_point);
    m->sum = ert_h_dot(m->sum, d[k], ert_h_all(1)), m->squares = ert_h_dot(m->squares, d[k], d[k]);
  }
}

/* Those of a run added to both. */
ERT_INLINE void ert_b_add_moments(const int8_t *x, int32_t n, int32_t zero_point, int64_t *sum, uint64_t *squares) {
  ert_b_moments m = {{0}, {0}};
  int32_t held[ERT_LANES];
  ERT_EACH_SIXTEEN(n, ert_b_measure_block(&m, x + i, zero_point, some));
  *sum += ert_w_sum_of(m.sum);
  ert_w_store(held, m.squares);
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

/* A run of the group; one gain and one offset are for all where `step` is 0. */
typedef struct {
  const ert_normalize_s8_params *p;
  const int32_t *gain, *offset;
  int32_t right, step;
  ert_w count, factor, less;
} ert_b_norm;

ERT_INLINE ert_b_norm ert_b_norm_of(const ert_normalize_s8_params *p, const ert_normalizer *f, const int32_t *gain,
                                    const int32_t *offset) {
  const int32_t less = (int32_t)(f->s + (int64_t)f->n * p->in_zero_point);
  return (ert_b_norm){
      p, gain, offset, f->right, p->shape.per_channel, ert_w_all(f->n), ert_w_all((int32_t)f->factor), ert_w_all(less)};
}

ERT_INLINE void ert_b_normalize_block(const ert_b_norm *m, const int step, const int8_t *x, int8_t *out, int32_t i,
                                      int32_t some) {
  const int32_t shift = m->p->shift;
  ert_w w[ERT_WORDS];
  ert_b_words(ert_b_load_some(x + i, some, 0), w);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const int32_t left = some - k * ERT_LANES, at = left > 0 ? (i + k * ERT_LANES) * step : 0;
    const ert_w z = ert_w_wide(ert_w_sub(ert_w_mul(w[k], m->count), m->less), m->factor, NULL, 0, m->right);
    const ert_w more = ert_w_load_some(m->offset + at, step, left);
    w[k] = ert_w_wide(z, ert_w_load_some(m->gain + at, step, left), &more, shift - 10, shift);
  }
  ert_b_store_some(out + i, ert_b_of_sums(w, m->p->zero_point), some);
}

ERT_INLINE void ert_b_normalize_run(const ert_b_norm *m, const int8_t *x, int8_t *out, int32_t n) {
  if (m->step) ERT_EACH_SIXTEEN(n, ert_b_normalize_block(m, 1, x, out, i, some));
  else ERT_EACH_SIXTEEN(n, ert_b_normalize_block(m, 0, x, out, i, some));
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
  const ert_b_norm m = ert_b_norm_of(p, &f, gain, offset);
  for (int32_t o = 0; o < g->outer; o++, x += stride, out += stride) ert_b_normalize_run(&m, x, out, g->inner);
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
