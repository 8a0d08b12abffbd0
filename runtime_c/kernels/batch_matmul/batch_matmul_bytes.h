/* SPDX-License-Identifier: Apache-2.0 */
/* int8 products on vectors: rows of a less their zero point as int16, in scratch. A tile is up to four rows of a by
 * sixteen columns of b, two rows of b at a time; where b is transposed, one row of a or four by as many of its
 * rows as a vector has lanes. */
#ifndef ERT_BATCH_MATMUL_BYTES_H
#define ERT_BATCH_MATMUL_BYTES_H

#include "batch_matmul/batch_matmul.h"
#include "bytes.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum { ERT_B_ROWS = 4 };
/* Rows whose sums fit registers besides those of as many rows of b as a vector has lanes. */
#if defined(__aarch64__)
enum { ERT_B_DOT_ROWS = 4 };
#else
enum { ERT_B_DOT_ROWS = 1 };
#endif

/* A row of a: its items, an even number of them, and what b's zero point takes away from its products. */
typedef struct {
  const int16_t *x;
  int8_t *out;
  int32_t less;
} ert_b_row;

typedef struct {
  const ert_batch_matmul_s8s8_params *p;
  const ert_view *b;
  int32_t first; /* row of b that its matrix begins with */
} ert_b_matrix;

/* Sixteen items less their zero point, added up in `sums`. */
ERT_INLINE ert_w ert_b_centre(ert_w sums, const int8_t *a, int32_t zero_point, int16_t *to, int32_t some) {
  ert_h h[ERT_HALVES];
  ert_b_halves(ert_b_load_some(a, some, zero_point), h);
  ERT_UNROLLED
  for (int q = 0; q < ERT_HALVES; q++) {
    h[q] -= ert_h_all(zero_point);
    sums = ert_h_dot(sums, h[q], ert_h_all(1));
    ert_h_store(to + q * 2 * ERT_LANES, h[q]);
  }
  return sums;
}

ERT_INLINE ert_b_row ert_b_row_of(const ert_call *c, const ert_batch_matmul_s8s8_params *p, int32_t y, int16_t *to) {
  const int8_t *a = ert_batch_matmul_row(c, &p->shape, y);
  ert_w sums = {0};
  ERT_EACH_SIXTEEN(p->shape.k, sums = ert_b_centre(sums, a + i, p->a_zero_point, to + i, some));
  const uint32_t less = (uint32_t)ert_w_sum_of(sums) * (uint32_t)p->b_zero_point;
  return (ert_b_row){to, ert_out_row(&c->out, y), (int32_t)less};
}

/* Sums of sixteen products of the row. */
ERT_INLINE ert_b ert_b_products(const ert_batch_matmul_s8s8_params *p, ert_w *sums, int32_t less) {
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++)
    sums[k] = ert_w_requantize(ert_w_sub(sums[k], ert_w_all(less)), p->multiplier, p->shift);
  return ert_b_of_sums(sums, p->zero_point);
}

/* n columns of `rows` rows, from column j on. */
ERT_INLINE void ert_b_matmul_tile(const ert_b_matrix *m, const ert_b_row *row, const int rows, int32_t j, int32_t n) {
  const int32_t depth = m->p->shape.k;
  ert_w sums[ERT_B_ROWS][ERT_WORDS];
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) {
    ERT_UNROLLED
    for (int k = 0; k < ERT_WORDS; k++) sums[r][k] = (ert_w){0};
  }
  for (int32_t i = 0; i < depth; i += 2) {
    const int8_t *b0 = ert_row(m->b, m->first + i), *b1 = i + 1 < depth ? ert_row(m->b, m->first + i + 1) : b0;
    const ert_b u = ert_b_load_some(b0 + j, n, 0), v = ert_b_load_some(b1 + j, n, 0);
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) ert_b_mix(sums[r], u, v, row[r].x[i], row[r].x[i + 1]);
  }
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) ert_b_store_some(row[r].out + j, ert_b_products(m->p, sums[r], row[r].less), n);
}

ERT_INLINE void ert_b_matmul_columns(const ert_b_matrix *m, const ert_b_row *row, const int rows) {
  const int32_t n = m->p->shape.n;
  int32_t j = 0;
  for (; j <= n - ERT_BYTES; j += ERT_BYTES) ert_b_matmul_tile(m, row, rows, j, ERT_BYTES);
  if (j < n) ert_b_matmul_tile(m, row, rows, j, n - j);
}

/* Depth i to i + 16 of the products of `rows` rows with ERT_LANES rows of b. */
ERT_INLINE void ert_b_add_dots(ert_w (*sums)[ERT_LANES], const ert_b_row *row, const int rows, const int8_t *const *b,
                               int32_t i, int32_t some) {
  ert_h x[ERT_B_DOT_ROWS][ERT_HALVES];
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) {
    ERT_UNROLLED
    for (int k = 0; k < ERT_HALVES; k++) x[r][k] = ert_h_load(row[r].x + i + k * 2 * ERT_LANES);
  }
  ERT_UNROLLED
  for (int q = 0; q < ERT_LANES; q++) {
    ert_h h[ERT_HALVES];
    ert_b_halves(ert_b_load_some(b[q] + i, some, 0), h);
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) {
      ERT_UNROLLED
      for (int k = 0; k < ERT_HALVES; k++) sums[r][q] = ert_h_dot(sums[r][q], x[r][k], h[k]);
    }
  }
}

/* Products of `rows` rows with b's rows from j on, one in each lane. */
ERT_INLINE void ert_b_dots(const ert_b_matrix *m, const ert_b_row *row, const int rows, int32_t j, ert_w *found) {
  const int32_t last = m->p->shape.n - 1;
  const int8_t *b[ERT_LANES];
  ert_w sums[ERT_B_DOT_ROWS][ERT_LANES];
  ERT_UNROLLED
  for (int q = 0; q < ERT_LANES; q++) {
    b[q] = ert_row(m->b, m->first + (j + q < last ? j + q : last));
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) sums[r][q] = (ert_w){0};
  }
  ERT_EACH_SIXTEEN(m->p->shape.k, ert_b_add_dots(sums, row, rows, b, i, some));
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) found[r] = ert_w_sums(sums[r]);
}

/* Sixteen products of each row at a time, or so many as it has. */
ERT_INLINE void ert_b_matmul_dots(const ert_b_matrix *m, const ert_b_row *row, const int rows) {
  const int32_t n = m->p->shape.n;
  for (int32_t j = 0; j < n; j += ERT_BYTES) {
    ert_w sums[ERT_B_DOT_ROWS][ERT_WORDS] = {{{0}}}, found[ERT_B_DOT_ROWS];
    for (int k = 0; k < ERT_WORDS && j + k * ERT_LANES < n; k++) {
      ert_b_dots(m, row, rows, j + k * ERT_LANES, found);
      ERT_UNROLLED
      for (int r = 0; r < rows; r++) sums[r][k] = found[r];
    }
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) ert_b_store_some(row[r].out + j, ert_b_products(m->p, sums[r], row[r].less), n - j);
  }
}

/* Rows of one product at a time, up to four together. */
ERT_APART void ert_b_batch_matmul_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_s8s8_params *p = (const void *)c->params;
  const ert_batch_matmul_shape *g = &p->shape;
  for (int32_t y = y0, n; y < y1; y += n) {
    const int32_t left = g->m - y % g->m, most = y1 - y < left ? y1 - y : left;
    const ert_b_matrix m = {p, &c->in[1], ert_batch_matmul_matrix(&g->b, y / g->m) * (g->transposed ? g->n : g->k)};
    ert_b_row row[ERT_B_ROWS];
    n = most < 1 ? 1 : most < ERT_B_ROWS ? most : ERT_B_ROWS;
    for (int32_t r = 0; r < n; r++)
      row[r] = ert_b_row_of(c, p, y + r, (int16_t *)c->scratch + r * ert_batch_matmul_depth(g));
    if (g->transposed && n == ERT_B_DOT_ROWS) ert_b_matmul_dots(&m, row, ERT_B_DOT_ROWS);
    else if (g->transposed)
      for (int32_t r = 0; r < n; r++) ert_b_matmul_dots(&m, &row[r], 1);
    else if (n == 4) ert_b_matmul_columns(&m, row, 4);
    else if (n == 3) ert_b_matmul_columns(&m, row, 3);
    else if (n == 2) ert_b_matmul_columns(&m, row, 2);
    else ert_b_matmul_columns(&m, row, 1);
  }
}

ERT_END_LANES

#endif

#endif
