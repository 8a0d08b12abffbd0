/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of avg_pool2d_c.c on vectors, as those of avg_pool2d_bytes.h. */
#ifndef ERT_AVG_POOL2D_FLOATS_H
#define ERT_AVG_POOL2D_FLOATS_H

#include "avg_pool2d/avg_pool2d.h"
#include "floats.h"
#include "pool_vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

typedef struct {
  float scale, min, max;
} ert_v_quotient;

ERT_INLINE ert_v ert_v_mean(ert_v sum, const ert_v_quotient *q) {
  return ert_v_clip(sum * q->scale, ert_v_all(q->min), ert_v_all(q->max));
}

ERT_INLINE void ert_v_mean_block(const ert_v_window *w, int32_t o, const int blocks, const ert_v_quotient *q,
                                 float *out) {
  ert_v sums[ERT_V_MOST_BLOCKS] = {{0}};
  for (int32_t y = 0; y < w->rows; y++) {
    const float *at = (const float *)ert_row(w->in, w->first_row + y) + w->first + o;
    for (int32_t x = w->columns; x > 0; x--, at += w->step) {
      ERT_UNROLLED
      for (int k = 0; k < blocks; k++) sums[k] += ert_v_load(at + k * ERT_LANES);
    }
  }
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) ert_v_store(out + o + k * ERT_LANES, ert_v_mean(sums[k], q));
}

/* A window of few channels at the end of its row, or whose output is. */
ERT_APART void ert_v_mean_last(const ert_v_window *w, const ert_v_quotient *q, float *out) {
  ert_v sum = {0};
  for (int32_t y = 0; y < w->rows; y++) {
    const float *at = (const float *)ert_row(w->in, w->first_row + y) + w->first;
    for (int32_t x = 0; x < w->columns; x++, at += w->step) sum += ert_v_load_some(at, w->step, 0.0f);
  }
  ert_v_store_some(out, ert_v_mean(sum, q), w->step);
}

ERT_APART void ert_v_avg_pool2d_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_avg_pool2d_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels) {
      const ert_v_window w = ert_v_window_of(c, &p->g, y, x, ERT_LANES);
      const int32_t count = p->count_padding ? p->g.kernel_h * p->g.kernel_w : w.rows * w.columns;
      const ert_v_quotient q = {1.0f / (float)count, p->min, p->max};
      if (w.is_last) ert_v_mean_last(&w, &q, out);
      else ERT_EACH_BLOCK(ert_v_mean_block, ERT_LANES, &w, &q, out);
    }
  }
}

ERT_END_LANES

#endif

#endif
