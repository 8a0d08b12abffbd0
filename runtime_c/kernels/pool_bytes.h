/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of int8 pools on vectors. */
#ifndef ERT_POOL_BYTES_H
#define ERT_POOL_BYTES_H

#include "bytes.h"
#include "pool.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum { ERT_B_MOST_BLOCKS = 4 };

/* The part of a window that lies in the image: `columns` pixels of `step` channels in each of `rows` rows. */
typedef struct {
  const ert_view *in;
  int32_t first_row, first, rows, columns, step; /* first: items before it in each row */
  int is_last;                                   /* whether sixteen items from a pixel on may leave a row */
} ert_b_window;

ERT_INLINE ert_b_window ert_b_window_of(const ert_call *c, const ert_pool_geometry *g, int32_t y, int32_t x) {
  const ert_span rows = ert_pool_rows(g, y), columns = ert_pool_columns(g, x);
  const int32_t n = g->channels, least = (g->out_w - x) * n, behind = (g->in_w - columns.end + 1) * n;
  return (ert_b_window){&c->in[0], rows.first, columns.first * n, rows.end - rows.first, columns.end - columns.first, n,
                        n < ERT_BYTES && (least < ERT_BYTES || behind < ERT_BYTES)};
}

ERT_INLINE const int8_t *ert_b_window_row(const ert_b_window *w, int32_t y) {
  return (const int8_t *)ert_row(w->in, w->first_row + y) + w->first;
}

/* compute(w, o, blocks, p, out) for the channels from o on, in up to four blocks of sixteen; the last ones together with
 * some before them. A window of fewer has one block, whose other items belong to the next pixels. */
#define ERT_B_EACH_BLOCK(compute, w, p, out)                                \
  do {                                                                      \
    int32_t o = 0;                                                          \
    for (; o + 64 <= (w)->step; o += 64) compute(w, o, 4, p, out);          \
    if (o + 32 <= (w)->step) compute(w, o, 2, p, out), o += 32;             \
    if (o + 16 <= (w)->step || o == 0) compute(w, o, 1, p, out), o += 16;   \
    if (o < (w)->step) compute(w, (w)->step - 16, 1, p, out);               \
  } while (0)

ERT_END_LANES

#endif

#endif
