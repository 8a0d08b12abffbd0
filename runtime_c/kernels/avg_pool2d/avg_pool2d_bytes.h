/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of avg_pool2d_c.c on vectors: sums of sixteen channels, in 16 bits as long as they hold them. Quotients are
 * those of floats, exact where dividends are below 2^24: cut to integers they are the integers' own. Larger windows go the
 * portable way. */
#ifndef ERT_AVG_POOL2D_BYTES_H
#define ERT_AVG_POOL2D_BYTES_H

#include "avg_pool2d/avg_pool2d.h"
#include "bytes.h"
#include "pool_vectors.h"

#ifdef ERT_LANES

void ert_avg_pool2d_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1);

ERT_BEGIN_LANES

enum { ERT_B_MOST_COUNT = 1 << 16, ERT_B_MOST_SUMMED = 256 }; /* pixels: of a window; that 16 bits hold the sums of */

typedef struct {
  int32_t count, half, padding, min, max;
} ert_b_quotient;

/* Rounded to nearest, halves away from zero. */
ERT_INLINE ert_b ert_b_quotients(ert_w *sums, const ert_b_quotient *q) {
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const ert_w sum = ert_w_add(sums[k], ert_w_all(q->padding)), below = sum >> 31;
    const ert_w more = ert_w_sub(ert_w_all(q->half) ^ below, below);
    const ert_wf ratio = __builtin_convertvector(ert_w_add(sum, more), ert_wf) / (float)q->count;
    sums[k] = __builtin_convertvector(ratio, ert_w);
  }
  return ert_b_clamp(ert_b_of_sums(sums, 0), q->min, q->max);
}

/* Moves sums of 16 bits to those of 32. */
ERT_INLINE void ert_b_move_sums(ert_h *part, ert_w *sums) {
  ert_w w[ERT_WORDS];
  ert_h_words(part, w);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) sums[k] = ert_w_add(sums[k], w[k]);
  ERT_UNROLLED
  for (int k = 0; k < ERT_HALVES; k++) part[k] = (ert_h){0};
}

ERT_INLINE void ert_b_add_halves(ert_h *part, ert_b x) {
  ert_h h[ERT_HALVES];
  ert_b_halves(x, h);
  ERT_UNROLLED
  for (int k = 0; k < ERT_HALVES; k++) part[k] += h[k];
}

ERT_INLINE void ert_b_mean_block(const ert_v_window *w, int32_t o, const int blocks, const ert_b_quotient *q,
                                 int8_t *out) {
  ert_h part[ERT_V_MOST_BLOCKS][ERT_HALVES] = {{{0}}};
  ert_w sums[ERT_V_MOST_BLOCKS][ERT_WORDS] = {{{0}}};
  int32_t room = ERT_B_MOST_SUMMED;
  for (int32_t y = 0; y < w->rows; y++) {
    const int8_t *at = (const int8_t *)ert_row(w->in, w->first_row + y) + w->first + o;
    for (int32_t x = w->columns; x > 0;) {
      if (room == 0) {
        ERT_UNROLLED
        for (int k = 0; k < blocks; k++) ert_b_move_sums(part[k], sums[k]);
        room = ERT_B_MOST_SUMMED;
      }
      const int32_t n = x < room ? x : room;
      for (int32_t i = 0; i < n; i++, at += w->step) {
        ERT_UNROLLED
        for (int k = 0; k < blocks; k++) ert_b_add_halves(part[k], ert_b_load(at + 16 * k));
      }
      x -= n, room -= n;
    }
  }
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) {
    ert_b_move_sums(part[k], sums[k]);
    ert_b_store(out + o + 16 * k, ert_b_quotients(sums[k], q));
  }
}

/* A window of fewer than sixteen channels at the end of its row, or whose output is. */
ERT_APART void ert_b_mean_last(const ert_v_window *w, const ert_b_quotient *q, int8_t *out) {
  ert_w sums[ERT_WORDS] = {{0}};
  for (int32_t y = 0; y < w->rows; y++) {
    const int8_t *at = (const int8_t *)ert_row(w->in, w->first_row + y) + w->first;
    for (int32_t x = 0; x < w->columns; x++, at += w->step) {
      ert_w wide[ERT_WORDS];
      ert_b_words(ert_b_load_some(at, w->step, 0), wide);
      ERT_UNROLLED
      for (int k = 0; k < ERT_WORDS; k++) sums[k] = ert_w_add(sums[k], wide[k]);
    }
  }
  ert_b_store_some(out, ert_b_quotients(sums, q), w->step);
}

ERT_INLINE void ert_b_avg_pool_row(const ert_call *c, const ert_avg_pool2d_s8_params *p, int32_t y, int8_t *out) {
  for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels) {
    const ert_v_window w = ert_v_window_of(c, &p->g, y, x, ERT_BYTES);
    const int32_t inside = w.rows * w.columns, count = p->count_padding ? p->g.kernel_h * p->g.kernel_w : inside;
    const ert_b_quotient q = {count, count / 2, (count - inside) * p->in_zero_point, p->min, p->max};
    if (w.is_last) ert_b_mean_last(&w, &q, out);
    else ERT_EACH_BLOCK(ert_b_mean_block, ERT_BYTES, &w, &q, out);
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
