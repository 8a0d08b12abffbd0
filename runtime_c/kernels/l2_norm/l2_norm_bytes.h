/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of l2_norm_c.c on vectors. */
#ifndef ERT_L2_NORM_BYTES_H
#define ERT_L2_NORM_BYTES_H

#include "bytes.h"
#include "l2_norm/l2_norm.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE int32_t ert_b_sum_of_squares(const int8_t *x, int32_t n, int32_t zero_point) {
  ert_w sums = {0};
  for (int32_t i = 0; i < n; i += ERT_BYTES) {
    ert_h d[ERT_HALVES];
    ert_b_halves(ert_b_load_some(x + i, n - i, zero_point), d);
    ERT_UNROLLED
    for (int k = 0; k < ERT_HALVES; k++) {
      d[k] -= ert_h_all(zero_point);
      sums = ert_h_dot(sums, d[k], d[k]);
    }
  }
  return ert_w_sum_of(sums);
}

ERT_INLINE void ert_b_l2_norm_run(const ert_l2_norm_s8_params *p, const int8_t *x, int8_t *out) {
  int32_t shift;
  const int32_t multiplier = ert_l2_inverse_root(ert_b_sum_of_squares(x, p->n, p->zero_point), &shift);
  for (int32_t i = 0; i < p->n; i += ERT_BYTES) {
    ert_w w[ERT_WORDS];
    ert_b_words(ert_b_load_some(x + i, p->n - i, 0), w);
    ERT_UNROLLED
    for (int k = 0; k < ERT_WORDS; k++)
      w[k] = ert_w_requantize(ert_w_sub(w[k], ert_w_all(p->zero_point)), multiplier, shift + 7);
    ert_b_store_some(out + i, ert_b_of_sums(w, 0), p->n - i);
  }
}

ERT_APART void ert_b_l2_norm_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_l2_norm_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) ert_b_l2_norm_run(p, in + x * p->n, out + x * p->n);
  }
}

ERT_END_LANES

#endif

#endif
