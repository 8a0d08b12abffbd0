/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of max_pool2d_c.c on vectors: maxima of up to four times sixteen channels are in registers over the whole
 * window. Of fewer channels what is read and written behind a pixel belongs to the next ones. */
#ifndef ERT_MAX_POOL2D_BYTES_H
#define ERT_MAX_POOL2D_BYTES_H

#include "bytes.h"
#include "max_pool2d/max_pool2d.h"
#include "pool_vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE void ert_b_max_block(const ert_v_window *w, int32_t o, const int blocks, const ert_max_pool2d_s8_params *p,
                                int8_t *out) {
  const int32_t n = w->step;
  ert_b most[ERT_V_MOST_BLOCKS];
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) most[k] = ert_b_all(-128);
  for (int32_t y = 0; y < w->rows; y++) {
    const int8_t *at = (const int8_t *)ert_row(w->in, w->first_row + y) + w->first + o;
    for (int32_t x = w->columns; x > 0; x--, at += n) {
      ERT_UNROLLED
      for (int k = 0; k < blocks; k++) most[k] = ert_b_max(most[k], ert_b_load(at + 16 * k));
    }
  }
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) ert_b_store(out + o + 16 * k, ert_b_clamp(most[k], p->min, p->max));
}

/* A window of fewer than sixteen channels at the end of its row, or whose output is. */
ERT_APART void ert_b_max_last(const ert_v_window *w, const ert_max_pool2d_s8_params *p, int8_t *out) {
  ert_b most = ert_b_all(-128);
  for (int32_t y = 0; y < w->rows; y++) {
    const int8_t *at = (const int8_t *)ert_row(w->in, w->first_row + y) + w->first;
    for (int32_t x = 0; x < w->columns; x++, at += w->step) most = ert_b_max(most, ert_b_load_some(at, w->step, -128));
  }
  ert_b_store_some(out, ert_b_clamp(most, p->min, p->max), w->step);
}

ERT_APART void ert_b_max_pool_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels) {
      const ert_v_window w = ert_v_window_of(c, &p->g, y, x, ERT_BYTES);
      if (w.is_last) ert_b_max_last(&w, p, out);
      else ERT_EACH_BLOCK(ert_b_max_block, ERT_BYTES, &w, p, out);
    }
  }
}

ERT_END_LANES

#endif

#endif
