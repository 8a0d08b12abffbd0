/* SPDX-License-Identifier: Apache-2.0 */
/* The bilinear int8 rows of resize_c.c on vectors, sixteen channels at a time. Of fewer channels what is read and written
 * behind a pixel belongs to the next ones. */
#ifndef ERT_RESIZE_BYTES_H
#define ERT_RESIZE_BYTES_H

#include "bytes.h"
#include "requantize.h"
#include "resize/resize.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* The four neighbours of an output pixel: `left` and `right` are items of both rows; u and v are the fractions. */
typedef struct {
  const int8_t *upper, *lower;
  int32_t left, right, u, v;
} ert_b_corners;

/* Sums of weight 2^20 as bytes, halves away from zero: below 0 one less is added. Of a quarter of them, 2^18. */
ERT_INLINE ert_b ert_b_of_blends(ert_w *sums, const int places) {
  const int32_t half = INT32_C(1) << (places - 1);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) sums[k] = (sums[k] + half + (sums[k] >> 31)) >> places;
  return ert_b_of_sums(sums, 0);
}

/* Fractions of 8 bits along rows, of which a quarter of the weights makes 16 bits: those of most scales. */
ERT_INLINE ert_b ert_b_blend_halves(ert_b a, ert_b b, ert_b c, ert_b d, int32_t u, int32_t v) {
  ert_h h[4][ERT_HALVES];
  ert_w sums[ERT_WORDS] = {{0}};
  const int16_t right = (int16_t)(v >> 2), left = (int16_t)(256 - right);
  ert_b_halves(a, h[0]), ert_b_halves(b, h[1]), ert_b_halves(c, h[2]), ert_b_halves(d, h[3]);
  ERT_UNROLLED
  for (int k = 0; k < ERT_HALVES; k++) {
    h[0][k] = h[0][k] * left + h[2][k] * right;
    h[1][k] = h[1][k] * left + h[3][k] * right;
  }
  ert_h_mix(sums, h[0], h[1], 1024 - u, u);
  return ert_b_of_blends(sums, 18);
}

ERT_INLINE ert_b ert_b_blend_words(ert_b a, ert_b b, ert_b c, ert_b d, int32_t u, int32_t v) {
  ert_w upper[ERT_WORDS] = {{0}}, lower[ERT_WORDS] = {{0}};
  ert_b_mix(upper, a, c, 1024 - v, v);
  ert_b_mix(lower, b, d, 1024 - v, v);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) upper[k] = upper[k] * (1024 - u) + lower[k] * u;
  return ert_b_of_blends(upper, 20);
}

/* Channels from o on, `some` of which may be read. */
ERT_INLINE ert_b ert_b_blend(const ert_b_corners *q, int32_t o, int32_t some) {
  const int32_t i = q->left + o, j = q->right + o;
  const ert_b a = ert_b_load_some(q->upper + i, some, 0), b = ert_b_load_some(q->lower + i, some, 0);
  const ert_b c = ert_b_load_some(q->upper + j, some, 0), d = ert_b_load_some(q->lower + j, some, 0);
  return q->v & 3 ? ert_b_blend_words(a, b, c, d, q->u, q->v) : ert_b_blend_halves(a, b, c, d, q->u, q->v);
}

ERT_INLINE int32_t ert_b_inside(int32_t index, int32_t extent) { return ert_clamp(index, 0, extent - 1); }

ERT_INLINE void ert_b_resize_row(const ert_call *c, const ert_resize_params *p, int32_t y) {
  const int32_t *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  const int32_t u = rows[y] & 1023, iy = ert_b_inside(rows[y] >> 10, p->in_h), n = p->pixel;
  const int8_t *upper = ert_row(&c->in[0], iy), *lower = u ? ert_row(&c->in[0], ert_b_inside(iy + 1, p->in_h)) : upper;
  int8_t *out = ert_out_row(&c->out, y);
  for (int32_t x = 0; x < p->out_w; x++, out += n) {
    const int32_t v = columns[x] & 1023, ix = ert_b_inside(columns[x] >> 10, p->in_w);
    const int32_t right = v && ix + 1 < p->in_w ? ix + 1 : ix;
    const ert_b_corners q = {upper, lower, ix * n, right * n, u, v};
    if (n >= ERT_BYTES || ((p->in_w - right) * n >= ERT_BYTES && (p->out_w - x) * n >= ERT_BYTES))
      for (int32_t o = 0; o < n; o = ert_b_next(o, n)) ert_b_store(out + o, ert_b_blend(&q, o, ERT_BYTES));
    else ert_b_store_some(out, ert_b_blend(&q, 0, n), n);
  }
}

ERT_APART void ert_b_resize_rows(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) ert_b_resize_row(c, (const void *)c->params, y);
}

ERT_END_LANES

#endif

#endif
