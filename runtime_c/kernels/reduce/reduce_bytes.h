/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int8 over pixels on vectors: those of up to four times sixteen channels stay in registers along a row. Images of
 * fewer channels, maxima and quotients go the portable way. */
#ifndef ERT_REDUCE_BYTES_H
#define ERT_REDUCE_BYTES_H

#include "bytes.h"
#include "reduce/reduce.h"

#ifdef ERT_LANES

void ert_reduce_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1);

ERT_BEGIN_LANES

enum { ERT_B_MOST_PIXELS = 256 }; /* whose sums 16 bits hold */

/* The channels from x on of n pixels, at most as many as 16 bits hold, added to `acc`. */
ERT_INLINE void ert_b_sum_block(int32_t *acc, const int8_t *x, int32_t n, int32_t stride, const int blocks) {
  ert_h part[4][ERT_HALVES] = {{{0}}}, h[ERT_HALVES];
  for (; n > 0; n--, x += stride) {
    ERT_UNROLLED
    for (int b = 0; b < blocks; b++) {
      ert_b_halves(ert_b_load(x + ERT_BYTES * b), h);
      ERT_UNROLLED
      for (int k = 0; k < ERT_HALVES; k++) part[b][k] += h[k];
    }
  }
  ERT_UNROLLED
  for (int b = 0; b < blocks; b++) {
    ert_w w[ERT_WORDS];
    int32_t *to = acc + ERT_BYTES * b;
    ert_h_words(part[b], w);
    ERT_UNROLLED
    for (int k = 0; k < ERT_WORDS; k++, to += ERT_LANES) ert_w_store(to, ert_w_add(ert_w_load(to), w[k]));
  }
}

/* The channels that are no whole block go alone: what they have in common with the one before must not be added twice. */
ERT_INLINE void ert_b_sum_pixels(int32_t *acc, const int8_t *x, int32_t n, int32_t inner) {
  int32_t i = 0;
  for (; i + 4 * ERT_BYTES <= inner; i += 4 * ERT_BYTES) ert_b_sum_block(acc + i, x + i, n, inner, 4);
  for (; i + ERT_BYTES <= inner; i += ERT_BYTES) ert_b_sum_block(acc + i, x + i, n, inner, 1);
  for (; i < inner; i++) {
    int32_t sum = 0;
    for (int32_t k = 0; k < n; k++) sum += x[k * inner + i];
    acc[i] = (int32_t)((uint32_t)acc[i] + (uint32_t)sum);
  }
}

ERT_INLINE void ert_b_finish_sums(const ert_reduce_s8_params *p, const int32_t *acc, int8_t *out) {
  for (int32_t i = 0; i < p->shape.inner; i = ert_b_next(i, p->shape.inner)) {
    ert_w w[ERT_WORDS];
    ERT_UNROLLED
    for (int k = 0; k < ERT_WORDS; k++) {
      const ert_w sum = ert_w_add(ert_w_load(acc + i + k * ERT_LANES), ert_w_all(p->offset));
      w[k] = ert_w_requantize(sum, p->multiplier, p->shift);
    }
    ert_b_store(out + i, ert_b_clamp(ert_b_of_sums(w, p->zero_point), p->min, p->max));
  }
}

ERT_INLINE void ert_b_sum_row(const ert_call *c, const ert_reduce_s8_params *p, int32_t y) {
  const ert_reduce_shape *g = &p->shape;
  const int32_t row = y / g->in_rows, r = y - row * g->in_rows;
  const int8_t *x = ert_row(&c->in[0], y);
  int32_t *acc = c->scratch;
  if (r == 0) ERT_MEMSET(acc, 0, g->inner * 4);
  for (int32_t w = 0; w < g->width; w += ERT_B_MOST_PIXELS) {
    const int32_t left = g->width - w;
    ert_b_sum_pixels(acc, x + w * g->inner, left < ERT_B_MOST_PIXELS ? left : ERT_B_MOST_PIXELS, g->inner);
  }
  if (r == g->in_rows - 1) ert_b_finish_sums(p, acc, ert_out_row(&c->out, row));
}

ERT_APART void ert_b_reduce_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_s8_params *p = (const void *)c->params;
  if (p->shape.kind != ERT_REDUCE_REQUANTIZE || p->shape.inner < ERT_BYTES) {
    ert_reduce_s8_x1__c(c, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) ert_b_sum_row(c, p, y);
}

ERT_END_LANES

#endif

#endif
