/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of batch_matmul_c.c on vectors. A tile is up to six rows of a, of short vectors four, by two vectors of
 * columns of b; where b is transposed, by four of its rows, whose products with a row are added up lane by lane and only
 * then across lanes. */
#ifndef ERT_BATCH_MATMUL_FLOATS_H
#define ERT_BATCH_MATMUL_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum { ERT_V_MOST_ROWS = 6, ERT_V_ROWS = ERT_LANES > 4 ? 6 : 4, ERT_V_COLUMNS = 2 * ERT_LANES };

/* Columns j ... of `rows` rows: a whole tile, or its first `left` columns. */
ERT_INLINE void ert_v_matmul_tile(const ert_view *b, int32_t first, int32_t k, const float *const *a, float *const *out,
                                  int rows, int32_t j, int32_t left) {
  const ert_v none = {0};
  ert_v low[ERT_V_MOST_ROWS], high[ERT_V_MOST_ROWS];
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) low[r] = none, high[r] = none;
  const int32_t rest = left - ERT_LANES;
  for (int32_t i = 0; i < k; i++) {
    const float *at = (const float *)ert_row(b, first + i) + j;
    const int whole = left >= ERT_V_COLUMNS;
    const ert_v w0 = left >= ERT_LANES ? ert_v_load(at) : ert_v_load_some(at, left, 0.0f);
    const ert_v w1 = whole ? ert_v_load(at + ERT_LANES) : rest > 0 ? ert_v_load_some(at + ERT_LANES, rest, 0.0f) : none;
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) {
      const ert_v x = ert_v_all(a[r][i]);
      low[r] = ert_v_madd(x, w0, low[r]), high[r] = ert_v_madd(x, w1, high[r]);
    }
  }
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) {
    if (left >= ERT_LANES) ert_v_store(out[r] + j, low[r]);
    else ert_v_store_some(out[r] + j, low[r], left);
    if (left >= ERT_V_COLUMNS) ert_v_store(out[r] + j + ERT_LANES, high[r]);
    else if (rest > 0) ert_v_store_some(out[r] + j + ERT_LANES, high[r], rest);
  }
}

ERT_INLINE void ert_v_matmul_columns(const ert_view *b, int32_t first, const ert_batch_matmul_shape *g,
                                     const float *const *a, float *const *out, int rows) {
  int32_t j = 0;
  for (; j + ERT_V_COLUMNS <= g->n; j += ERT_V_COLUMNS)
    ert_v_matmul_tile(b, first, g->k, a, out, rows, j, ERT_V_COLUMNS);
  if (j < g->n) ert_v_matmul_tile(b, first, g->k, a, out, rows, j, g->n - j);
}

/* Four products of a row with rows of b: a[0 ... k) times b[q][0 ... k). */
ERT_INLINE void ert_v_four_dots(const float *a, const float *const *b, int32_t k, float *out, int32_t n) {
  const ert_v none = {0};
  ert_v sums[4] = {none, none, none, none};
  int32_t i = 0;
  for (; i + ERT_LANES <= k; i += ERT_LANES) {
    const ert_v x = ert_v_load(a + i);
    ERT_UNROLLED
    for (int q = 0; q < 4; q++) sums[q] = ert_v_madd(x, ert_v_load(b[q] + i), sums[q]);
  }
  for (int32_t q = 0; q < n; q++) {
    float sum = ert_v_sum_of(sums[q]);
    for (int32_t r = i; r < k; r++) sum += a[r] * b[q][r];
    out[q] = sum;
  }
}

ERT_INLINE void ert_v_matmul_dots(const ert_view *b, int32_t first, const ert_batch_matmul_shape *g, const float *a,
                                  float *out) {
  for (int32_t j = 0; j < g->n; j += 4) {
    const int32_t n = g->n - j < 4 ? g->n - j : 4;
    const float *rows[4];
    for (int32_t q = 0; q < 4; q++) rows[q] = ert_row(b, first + j + (q < n ? q : 0));
    ert_v_four_dots(a, rows, g->k, out + j, n);
  }
}

/* Rows of one product at a time, up to six together. */
ERT_APART void ert_v_batch_matmul_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_shape *g = &((const ert_batch_matmul_f32_params *)(const void *)c->params)->shape;
  for (int32_t y = y0, n; y < y1; y += n) {
    const int32_t left = g->m - y % g->m, most = y1 - y < left ? y1 - y : left;
    const int32_t first = ert_batch_matmul_matrix(&g->b, y / g->m) * (g->transposed ? g->n : g->k);
    const float *a[ERT_V_MOST_ROWS];
    float *out[ERT_V_MOST_ROWS];
    n = g->transposed || most < 1 ? 1 : most < ERT_V_ROWS ? most : ERT_V_ROWS;
    for (int32_t r = 0; r < n; r++) a[r] = ert_batch_matmul_row(c, g, y + r), out[r] = ert_out_row(&c->out, y + r);
    if (g->transposed) ert_v_matmul_dots(&c->in[1], first, g, a[0], out[0]);
    else if (n == 6) ert_v_matmul_columns(&c->in[1], first, g, a, out, 6);
    else if (n == 5) ert_v_matmul_columns(&c->in[1], first, g, a, out, 5);
    else if (n == 4) ert_v_matmul_columns(&c->in[1], first, g, a, out, 4);
    else if (n == 3) ert_v_matmul_columns(&c->in[1], first, g, a, out, 3);
    else if (n == 2) ert_v_matmul_columns(&c->in[1], first, g, a, out, 2);
    else ert_v_matmul_columns(&c->in[1], first, g, a, out, 1);
  }
}

ERT_END_LANES

#endif

#endif
