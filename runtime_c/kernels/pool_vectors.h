/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of pools on vectors of `lanes` items. */
#ifndef ERT_POOL_VECTORS_H
#define ERT_POOL_VECTORS_H

#include "pool.h"
#include "vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum { ERT_V_MOST_BLOCKS = 4 };

/* The part of a window that lies in the image: `columns` pixels of `step` channels in each of `rows` rows. */
typedef struct {
  const ert_view *in;
  int32_t first_row, first, rows, columns, step; /* first: items before it in each row */
  int is_last;                                   /* whether a vector from a pixel on may leave a row */
} ert_v_window;

ERT_INLINE ert_v_window ert_v_window_of(const ert_call *c, const ert_pool_geometry *g, int32_t y, int32_t x,
                                        int32_t lanes) {
  const ert_span rows = ert_pool_rows(g, y), columns = ert_pool_columns(g, x);
  const int32_t n = g->channels, least = (g->out_w - x) * n, behind = (g->in_w - columns.end + 1) * n;
  return (ert_v_window){&c->in[0],
                        rows.first,
                        columns.first * n,
                        rows.end - rows.first,
                        columns.end - columns.first,
                        n,
                        n < lanes && (least < lanes || behind < lanes)};
}

/* compute(w, o, blocks, p, out) for the channels from o on, in up to four vectors; the last ones together with some before
 * them. A window of fewer has one vector, whose other items belong to the next pixels. */
#define ERT_EACH_BLOCK(compute, lanes, w, p, out)                                    \
  do {                                                                               \
    int32_t o = 0;                                                                   \
    for (; o + 4 * (lanes) <= (w)->step; o += 4 * (lanes)) compute(w, o, 4, p, out); \
    if (o + 2 * (lanes) <= (w)->step) compute(w, o, 2, p, out), o += 2 * (lanes);    \
    if (o + (lanes) <= (w)->step || o == 0) compute(w, o, 1, p, out), o += (lanes);  \
    if (o < (w)->step) compute(w, (w)->step - (lanes), 1, p, out);                   \
  } while (0)

ERT_END_LANES

#endif

#endif
