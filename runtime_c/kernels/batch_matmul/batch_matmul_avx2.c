/* SPDX-License-Identifier: Apache-2.0 */
/* int8 products: rows of a less their zero point as int16, so that one instruction multiplies and adds up two neighbours.
 * Up to four rows by sixteen columns of b at a time; where b is transposed, one row by eight of its rows. */
#include "batch_matmul/batch_matmul.h"
#include "moves.h"
#include "requantize_ymm.h"

#if ERT_HAS_avx2

enum { ROWS = 4, COLUMNS = 16, DOTS = 8 };

/* What a row of a has for its products: items as int16, an even number of them, and what b's zero point takes away. */
typedef struct {
  const int16_t *x;
  int8_t *out;
  int32_t less;
} matmul_row;

typedef struct {
  const ert_view *b;
  int32_t first; /* row of b that its matrix begins with */
  const ert_batch_matmul_s8s8_params *p;
} matmul_matrix;

ERT_BEGIN_avx2

ERT_INLINE matmul_row row_of(const ert_call *c, const ert_batch_matmul_s8s8_params *p, int32_t y, int16_t *to) {
  const ert_batch_matmul_shape *g = &p->shape;
  const int8_t *a = ert_batch_matmul_row(c, g, y);
  uint32_t sum = 0;
  for (int32_t i = 0; i < g->k; i++) {
    const int32_t v = a[i] - p->a_zero_point;
    to[i] = (int16_t)v, sum += (uint32_t)v;
  }
  for (int32_t i = g->k; i < ert_batch_matmul_depth(g); i++) to[i] = 0;
  return (matmul_row){to, ert_out_row(&c->out, y), (int32_t)(sum * (uint32_t)p->b_zero_point)};
}

ERT_INLINE ert_avx2_scales scales_of(const ert_batch_matmul_s8s8_params *p) {
  int32_t multiplier[8], shift[8];
  for (int32_t i = 0; i < 8; i++) multiplier[i] = p->multiplier, shift[i] = -p->shift;
  return ert_avx2_scales_of(multiplier, shift, 1);
}

/* Eight sums as they are stored, in words. */
ERT_INLINE __m256i finished(__m256i sums, int32_t less, const ert_avx2_scales *s) {
  const uint32_t change = 0x80000000u - (uint32_t)less;
  return ert_avx2_requantize(_mm256_add_epi32(sums, _mm256_set1_epi32((int32_t)change)), s, 1);
}

/* Sixteen words, saturated, with the zero point. */
ERT_INLINE __m128i bytes_of(__m256i low, __m256i high, int32_t zero_point) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
  const __m256i moved = _mm256_adds_epi16(words, _mm256_set1_epi16((short)zero_point));
  return _mm_packs_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
}

ERT_INLINE void store_some(int8_t *to, __m128i v, int32_t n) {
  if (n >= 16) {
    _mm_storeu_si128((__m128i *)(void *)to, v);
    return;
  }
  uint8_t held[16];
  _mm_storeu_si128((__m128i *)(void *)held, v);
  ert_move_few((uint8_t *)to, held, n);
}

ERT_INLINE __m128i load_some(const int8_t *from, int32_t n) {
  if (n >= 16) return _mm_loadu_si128((const __m128i *)(const void *)from);
  uint8_t held[16] = {0};
  ert_move_few(held, (const uint8_t *)from, n);
  return _mm_loadu_si128((const __m128i *)(const void *)held);
}

/* Columns j ... of `rows` rows. */
ERT_INLINE void multiply_tile(const matmul_matrix *m, const matmul_row *row, int rows, int32_t j, int32_t n,
                              const ert_avx2_scales *s) {
  const int32_t k = m->p->shape.k;
  __m256i low[ROWS], high[ROWS];
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) low[r] = high[r] = _mm256_setzero_si256();
  for (int32_t i = 0; i < k; i += 2) {
    const __m128i b0 = load_some((const int8_t *)ert_row(m->b, m->first + i) + j, n);
    const __m128i b1 =
        i + 1 < k ? load_some((const int8_t *)ert_row(m->b, m->first + i + 1) + j, n) : _mm_setzero_si128();
    const __m256i w0 = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(b0, b1));
    const __m256i w1 = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(b0, b1));
    ERT_UNROLLED
    for (int r = 0; r < rows; r++) {
      int32_t pair;
      ERT_MEMMOVE(&pair, row[r].x + i, 4);
      const __m256i x = _mm256_set1_epi32(pair);
      low[r] = _mm256_add_epi32(low[r], _mm256_madd_epi16(x, w0));
      high[r] = _mm256_add_epi32(high[r], _mm256_madd_epi16(x, w1));
    }
  }
  ERT_UNROLLED
  for (int r = 0; r < rows; r++) {
    const __m256i a = finished(low[r], row[r].less, s), b = finished(high[r], row[r].less, s);
    store_some(row[r].out + j, bytes_of(a, b, m->p->zero_point), n);
  }
}

ERT_INLINE void multiply_rows(const matmul_matrix *m, const matmul_row *row, int rows, const ert_avx2_scales *s) {
  const int32_t n = m->p->shape.n;
  int32_t j = 0;
  for (; j + COLUMNS <= n; j += COLUMNS) multiply_tile(m, row, rows, j, COLUMNS, s);
  if (j < n) multiply_tile(m, row, rows, j, n - j, s);
}

/* The sums of eight vectors, in their order. */
ERT_INLINE __m256i sums_of(const __m256i *v) {
  const __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(v[0], v[1]), _mm256_hadd_epi32(v[2], v[3]));
  const __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(v[4], v[5]), _mm256_hadd_epi32(v[6], v[7]));
  return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

ERT_INLINE void add_dots(__m256i *sums, __m256i x, const int8_t *const *b, int32_t i, int32_t n) {
  ERT_UNROLLED
  for (int q = 0; q < DOTS; q++) {
    const __m256i w = _mm256_cvtepi8_epi16(load_some(b[q] + i, n));
    sums[q] = _mm256_add_epi32(sums[q], _mm256_madd_epi16(x, w));
  }
}

/* Products of a row with n rows of b from row j on. */
ERT_INLINE void multiply_dots(const matmul_matrix *m, const matmul_row *row, int32_t j, int32_t n,
                              const ert_avx2_scales *s) {
  const int32_t k = m->p->shape.k;
  const int8_t *b[DOTS];
  __m256i sums[DOTS];
  for (int32_t q = 0; q < DOTS; q++) b[q] = ert_row(m->b, m->first + j + (q < n ? q : 0));
  ERT_UNROLLED
  for (int q = 0; q < DOTS; q++) sums[q] = _mm256_setzero_si256();
  int32_t i = 0;
  for (; i + 16 <= k; i += 16)
    add_dots(sums, _mm256_loadu_si256((const __m256i *)(const void *)(row->x + i)), b, i, 16);
  if (i < k) add_dots(sums, _mm256_loadu_si256((const __m256i *)(const void *)(row->x + i)), b, i, k - i);
  const __m256i h = finished(sums_of(sums), row->less, s);
  store_some(row->out + j, bytes_of(h, h, m->p->zero_point), n);
}

void ert_batch_matmul_s8s8_4x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_batch_matmul_s8s8_params *p = (const void *)c->params;
  const ert_batch_matmul_shape *g = &p->shape;
  const ert_avx2_scales s = scales_of(p);
  for (int32_t y = y0, n; y < y1; y += n) {
    const int32_t left = g->m - y % g->m, most = y1 - y < left ? y1 - y : left;
    const int32_t first = ert_batch_matmul_matrix(&g->b, y / g->m) * (g->transposed ? g->n : g->k);
    const matmul_matrix m = {&c->in[1], first, p};
    matmul_row row[ROWS];
    n = most < 1 ? 1 : most < ROWS ? most : ROWS;
    for (int32_t r = 0; r < n; r++) row[r] = row_of(c, p, y + r, (int16_t *)c->scratch + r * ert_batch_matmul_depth(g));
    if (g->transposed)
      for (int32_t r = 0; r < n; r++)
        for (int32_t j = 0; j < g->n; j += DOTS) multiply_dots(&m, &row[r], j, g->n - j < DOTS ? g->n - j : DOTS, &s);
    else if (n == 4) multiply_rows(&m, row, 4, &s);
    else if (n == 3) multiply_rows(&m, row, 3, &s);
    else if (n == 2) multiply_rows(&m, row, 2, &s);
    else multiply_rows(&m, row, 1, &s);
  }
}

ERT_END_avx2

#endif
