/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 rows of max_pool2d_c.c on vectors: the maximum of sixteen channels is in a register over the whole window. Of
 * fewer channels what is read and written behind a pixel belongs to the next ones. */
#ifndef ERT_MAX_POOL2D_BYTES_H
#define ERT_MAX_POOL2D_BYTES_H

#include "bytes.h"
#include "max_pool2d/max_pool2d.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* Channels from `o` on. */
ERT_INLINE ert_b ert_b_max_of(const ert_call *c, const ert_pool_geometry *g, ert_span rows, ert_span columns, int32_t o) {
  const int32_t n = g->channels, whole = g->in_w - (ERT_BYTES + n - 1) / n; /* last column with sixteen items behind it */
  ert_b most = ert_b_all(-128);
  for (int32_t y = rows.first; y < rows.end; y++) {
    const int8_t *at = (const int8_t *)ert_row(&c->in[0], y) + columns.first * n + o;
    int32_t x = columns.first;
    for (; x < columns.end && (n >= ERT_BYTES || x <= whole); x++, at += n) most = ert_b_max(most, ert_b_load(at));
    for (; x < columns.end; x++, at += n) most = ert_b_max(most, ert_b_load_some(at, (g->in_w - x) * n, -128));
  }
  return most;
}

ERT_APART void ert_b_max_pool_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_s8_params *p = (const void *)c->params;
  const ert_pool_geometry *g = &p->g;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    const ert_span rows = ert_pool_rows(g, y);
    for (int32_t x = 0; x < g->out_w; x++, out += g->channels) {
      const ert_span columns = ert_pool_columns(g, x);
      for (int32_t o = 0; o < g->channels; o = ert_b_next(o, g->channels)) {
        const ert_b most = ert_b_clamp(ert_b_max_of(c, g, rows, columns, o), p->min, p->max);
        ert_b_store_some(out + o, most, (g->out_w - x) * g->channels - o);
      }
    }
  }
}

ERT_END_LANES

#endif

#endif
