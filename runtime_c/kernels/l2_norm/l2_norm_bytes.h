/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of l2_norm_c.c on vectors. */
#ifndef ERT_L2_NORM_BYTES_H
#define ERT_L2_NORM_BYTES_H

#include "bytes.h"
#include "l2_norm/l2_norm.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE ert_w ert_b_add_squares(ert_w sums, const int8_t *x, int32_t zero_point, int32_t some) {
  ert_h d[ERT_HALVES];
  ert_b_halves(ert_b_load_some(x, some, zero_point), d);
  ERT_UNROLLED
  for (int k = 0; k < ERT_HALVES; k++) {
    d[k] -= ert_h_all(zero_point);
    sums = ert_h_dot(sums, d[k], d[k]);
  }
  return sums;
}

ERT_INLINE void ert_b_scale_block(const int8_t *x, int32_t zero_point, int32_t multiplier, int32_t shift, int8_t *out,
                                  int32_t some) {
  ert_w w[ERT_WORDS];
  ert_b_words(ert_b_load_some(x, some, 0), w);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) w[k] = ert_w_requantize(w[k] - zero_point, multiplier, shift);
  ert_b_store_some(out, ert_b_of_sums(w, 0), some);
}

ERT_INLINE void ert_b_l2_norm_run(const ert_l2_norm_s8_params *p, const int8_t *x, int8_t *out) {
  ert_w sums = {0};
  int32_t shift;
  ERT_EACH_SIXTEEN(p->n, sums = ert_b_add_squares(sums, x + i, p->zero_point, some));
  const int32_t multiplier = ert_l2_inverse_root(ert_w_sum_of(sums), &shift);
  ERT_EACH_SIXTEEN(p->n, ert_b_scale_block(x + i, p->zero_point, multiplier, shift + 7, out + i, some));
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
