/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of avg_pool2d_c.c on vectors: sums of sixteen channels, in 16 bits as long as they hold them. Quotients are
 * those of floats, exact where dividends are below 2^24: cut to integers they are the integers' own. Larger windows go the
 * portable way. */
#ifndef ERT_AVG_POOL2D_BYTES_H
#define ERT_AVG_POOL2D_BYTES_H

#include "avg_pool2d/avg_pool2d.h"
#include "bytes.h"

#ifdef ERT_LANES

void ert_avg_pool2d_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1);

ERT_BEGIN_LANES

enum { ERT_B_MOST_COUNT = 1 << 16, ERT_B_MOST_SUMMED = 256 };

typedef struct {
  int32_t count, half, padding;
} ert_b_quotient;

/* sums += `n` pixels that lie `step` items apart; `room`: items from the first on to the end of the row. */
ERT_INLINE void ert_b_sum_pixels(ert_w *sums, const int8_t *at, int32_t n, int32_t step, int32_t room) {
  ert_h part[ERT_HALVES], x[ERT_HALVES];
  ert_w w[ERT_WORDS];
  while (n > 0) {
    ERT_UNROLLED
    for (int k = 0; k < ERT_HALVES; k++) part[k] = (ert_h){0};
    for (int32_t i = n < ERT_B_MOST_SUMMED ? n : ERT_B_MOST_SUMMED; i > 0; i--, n--, at += step, room -= step) {
      ert_b_halves(ert_b_load_some(at, room, 0), x);
      ERT_UNROLLED
      for (int k = 0; k < ERT_HALVES; k++) part[k] += x[k];
    }
    ert_h_words(part, w);
    ERT_UNROLLED
    for (int k = 0; k < ERT_WORDS; k++) sums[k] = ert_w_add(sums[k], w[k]);
  }
}

/* Rounded to nearest, halves away from zero. */
ERT_INLINE ert_b ert_b_quotients(const ert_w *sums, const ert_b_quotient *q) {
  ert_w w[ERT_WORDS];
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const ert_w sum = ert_w_add(sums[k], ert_w_all(q->padding)), below = (ert_w)(sum < 0);
    const ert_w more = ert_w_sub(ert_w_all(q->half) ^ below, below);
    const ert_wf ratio = __builtin_convertvector(ert_w_add(sum, more), ert_wf) / (float)q->count;
    w[k] = __builtin_convertvector(ratio, ert_w);
  }
  return ert_b_of_words(w);
}

/* Channels from `o` on. */
ERT_INLINE ert_b ert_b_mean_of(const ert_call *c, const ert_pool_geometry *g, ert_span rows, ert_span columns, int32_t o,
                               const ert_b_quotient *q) {
  ert_w sums[ERT_WORDS];
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) sums[k] = (ert_w){0};
  for (int32_t y = rows.first; y < rows.end; y++) {
    const int32_t at = columns.first * g->channels + o;
    ert_b_sum_pixels(sums, (const int8_t *)ert_row(&c->in[0], y) + at, columns.end - columns.first, g->channels,
                     g->in_w * g->channels - at);
  }
  return ert_b_quotients(sums, q);
}

ERT_APART void ert_b_avg_pool_row(const ert_call *c, const ert_avg_pool2d_s8_params *p, int32_t y, int8_t *out) {
  const ert_pool_geometry *g = &p->g;
  const ert_span rows = ert_pool_rows(g, y);
  for (int32_t x = 0; x < g->out_w; x++, out += g->channels) {
    const ert_span columns = ert_pool_columns(g, x);
    const int32_t inside = (rows.end - rows.first) * (columns.end - columns.first);
    const int32_t count = p->count_padding ? g->kernel_h * g->kernel_w : inside;
    const ert_b_quotient q = {count, count / 2, (count - inside) * p->in_zero_point};
    for (int32_t o = 0; o < g->channels; o = ert_b_next(o, g->channels)) {
      const ert_b mean = ert_b_clamp(ert_b_mean_of(c, g, rows, columns, o, &q), p->min, p->max);
      ert_b_store_some(out + o, mean, (g->out_w - x) * g->channels - o);
    }
  }
}

ERT_APART void ert_b_avg_pool_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_avg_pool2d_s8_params *p = (const void *)c->params;
  if (p->g.kernel_h * p->g.kernel_w > ERT_B_MOST_COUNT) {
    ert_avg_pool2d_s8_x1__c(c, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) ert_b_avg_pool_row(c, p, y, ert_out_row(&c->out, y));
}

ERT_END_LANES

#endif

#endif
