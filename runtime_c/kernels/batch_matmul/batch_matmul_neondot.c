/* SPDX-License-Identifier: Apache-2.0 */
/* int8 products by instructions that add up four of them. Items of a go in as they are, filled up with 0 in scratch; what
 * their zero point makes of a column of b is its sum, which one more product gives. A tile is up to four rows of a by
 * sixteen columns of b or, where b is transposed, by four of its rows. */
#include "batch_matmul/batch_matmul_bytes.h"

#if ERT_HAS_neondot

ERT_BEGIN_neondot

enum { ROWS = 4, QUADS = 4 };

/* Sums of a tile, and those of the columns of b. */
typedef struct {
  int32x4_t of[ROWS][QUADS], column[QUADS];
} dot_sums;

typedef struct {
  const int8_t *x;
  int8_t *out;
  int32_t less;
} dot_row;

ERT_INLINE ert_w keep_block(ert_w sums, const int8_t *a, int32_t zero_point, int8_t *to, int32_t some) {
  ert_h h[ERT_HALVES];
  const ert_b x = ert_b_load_some(a, some, zero_point);
  ert_b_halves(x, h);
  for (int k = 0; k < ERT_HALVES; k++) sums = ert_h_dot(sums, h[k] - ert_h_all(zero_point), ert_h_all(1));
  ert_b_store(to, ert_b_load_some(a, some, 0));
  return sums;
}

ERT_INLINE dot_row row_of(const ert_call *c, const ert_batch_matmul_s8s8_params *p, int32_t y, int8_t *to) {
  const int8_t *a = ert_batch_matmul_row(c, &p->shape, y);
  ert_w sums = {0};
  ERT_EACH_SIXTEEN(p->shape.k, sums = keep_block(sums, a + i, p->a_zero_point, to + i, some));
  const uint32_t less = (uint32_t)ert_w_sum_of(sums) * (uint32_t)p->b_zero_point;
  return (dot_row){to, ert_out_row(&c->out, y), (int32_t)less};
}

ERT_INLINE void clear(dot_sums *s, const int rows) {
  ERT_UNROLLED
  for (int q = 0; q < QUADS; q++) {
    s->column[q] = vdupq_n_s32(0);
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) s->of[r][q] = vdupq_n_s32(0);
  }
}

/* Four rows of b as four columns by four products in each vector. */
ERT_INLINE void turn(const int8x16_t *b, int8x16_t *w) {
  const int8x16x2_t p = vzipq_s8(b[0], b[1]), q = vzipq_s8(b[2], b[3]);
  const int16x8x2_t low = vzipq_s16(vreinterpretq_s16_s8(p.val[0]), vreinterpretq_s16_s8(q.val[0]));
  const int16x8x2_t high = vzipq_s16(vreinterpretq_s16_s8(p.val[1]), vreinterpretq_s16_s8(q.val[1]));
  w[0] = vreinterpretq_s8_s16(low.val[0]), w[1] = vreinterpretq_s8_s16(low.val[1]);
  w[2] = vreinterpretq_s8_s16(high.val[0]), w[3] = vreinterpretq_s8_s16(high.val[1]);
}

/* Products i to i + 4 of columns j on, n of which are there. */
ERT_INLINE void add_products(dot_sums *s, const ert_b_matrix *m, const dot_row *row, const int rows, int32_t i,
                             int32_t j, int32_t n) {
  int8x16_t b[4], w[QUADS];
  ERT_UNROLLED
  for (int k = 0; k < 4; k++) {
    const int there = i + k < m->p->shape.k;
    b[k] =
        there ? (int8x16_t)ert_b_load_some((const int8_t *)ert_row(m->b, m->first + i + k) + j, n, 0) : vdupq_n_s8(0);
  }
  turn(b, w);
  ERT_UNROLLED
  for (int q = 0; q < QUADS; q++) s->column[q] = vdotq_s32(s->column[q], w[q], vdupq_n_s8(1));
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) {
    const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(ert_b_word(row[r].x + i)));
    ERT_UNROLLED
    for (int q = 0; q < QUADS; q++) s->of[r][q] = vdotq_s32(s->of[r][q], w[q], x);
  }
}

/* n columns from j on. */
ERT_INLINE void multiply_tile(const ert_b_matrix *m, const dot_row *row, const int rows, int32_t j, int32_t n) {
  const ert_batch_matmul_s8s8_params *p = m->p;
  dot_sums s;
  clear(&s, rows);
  for (int32_t i = 0; i < p->shape.k; i += 4) add_products(&s, m, row, rows, i, j, n);
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) {
    ert_w sums[ERT_WORDS];
    ERT_UNROLLED
    for (int q = 0; q < QUADS; q++) sums[q] = (ert_w)vmlsq_n_s32(s.of[r][q], s.column[q], p->a_zero_point);
    ert_b_store_some(row[r].out + j, ert_b_products(p, sums, row[r].less), n);
  }
}

ERT_INLINE void multiply_columns(const ert_b_matrix *m, const dot_row *row, const int rows) {
  const int32_t n = m->p->shape.n;
  int32_t j = 0;
  for (; j <= n - ERT_BYTES; j += ERT_BYTES) multiply_tile(m, row, rows, j, ERT_BYTES);
  if (j < n) multiply_tile(m, row, rows, j, n - j);
}

/* Products i to i + 16 of rows with four of b, and the sums of those. */
ERT_INLINE void add_dots(dot_sums *s, const dot_row *row, const int rows, const int8_t *const *b, int32_t i,
                         int32_t some) {
  int8x16_t x[ROWS];
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) x[r] = vld1q_s8(row[r].x + i);
  ERT_UNROLLED
  for (int q = 0; q < QUADS; q++) {
    const int8x16_t w = (int8x16_t)ert_b_load_some(b[q] + i, some, 0);
    s->column[q] = vdotq_s32(s->column[q], w, vdupq_n_s8(1));
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) s->of[r][q] = vdotq_s32(s->of[r][q], w, x[r]);
  }
}

ERT_INLINE int32x4_t sums_of(const int32x4_t *v) { return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3])); }

/* Products of rows with b's rows from j on. */
ERT_INLINE void multiply_four(const ert_b_matrix *m, const dot_row *row, const int rows, int32_t j, ert_w *found) {
  const int32_t last = m->p->shape.n - 1;
  const int8_t *b[QUADS];
  dot_sums s;
  clear(&s, rows);
  for (int32_t q = 0; q < QUADS; q++) b[q] = ert_row(m->b, m->first + (j + q < last ? j + q : last));
  ERT_EACH_SIXTEEN(m->p->shape.k, add_dots(&s, row, rows, b, i, some));
  const int32x4_t column = sums_of(s.column);
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) found[r] = (ert_w)vmlsq_n_s32(sums_of(s.of[r]), column, m->p->a_zero_point);
}

ERT_INLINE void multiply_rows(const ert_b_matrix *m, const dot_row *row, const int rows) {
  const int32_t n = m->p->shape.n;
  for (int32_t j = 0; j < n; j += ERT_BYTES) {
    ert_w sums[ROWS][QUADS] = {{{0}}}, found[ROWS];
    for (int k = 0; k < QUADS && j + 4 * k < n; k++) {
      multiply_four(m, row, rows, j + 4 * k, found);
      ERT_UNROLLED
      for (int r = 0; r < rows; r++) sums[r][k] = found[r];
    }
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) ert_b_store_some(row[r].out + j, ert_b_products(m->p, sums[r], row[r].less), n - j);
  }
}

ERT_INLINE void multiply(const ert_b_matrix *m, const dot_row *row, const int rows) {
  if (m->p->shape.transposed) multiply_rows(m, row, rows);
  else multiply_columns(m, row, rows);
}

void ert_batch_matmul_s8s8_4x16__neondot(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_s8s8_params *p = (const void *)c->params;
  const ert_batch_matmul_shape *g = &p->shape;
  for (int32_t y = y0, n; y < y1; y += n) {
    const int32_t left = g->m - y % g->m, most = y1 - y < left ? y1 - y : left;
    const ert_b_matrix m = {p, &c->in[1], ert_batch_matmul_matrix(&g->b, y / g->m) * (g->transposed ? g->n : g->k)};
    dot_row row[ROWS];
    n = most < 1 ? 1 : most < ROWS ? most : ROWS;
    for (int32_t r = 0; r < n; r++) row[r] = row_of(c, p, y + r, (int8_t *)c->scratch + r * ert_batch_matmul_depth(g));
    if (n == 4) multiply(&m, row, 4);
    else if (n == 3) multiply(&m, row, 3);
    else if (n == 2) multiply(&m, row, 2);
    else multiply(&m, row, 1);
  }
}

ERT_END_neondot

#endif
