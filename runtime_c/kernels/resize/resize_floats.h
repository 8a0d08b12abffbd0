/* SPDX-License-Identifier: Apache-2.0 */
/* The bilinear float rows of resize_c.c on vectors. */
#ifndef ERT_RESIZE_FLOATS_H
#define ERT_RESIZE_FLOATS_H

#include "floats.h"
#include "requantize.h"
#include "resize/resize.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* The corners of an output pixel, and their weights. */
typedef struct {
  const float *at[4];
  float weight[4];
} ert_v_corners;

ERT_INLINE float ert_v_blend_one(const ert_v_corners *q, int32_t k) {
  float sum = q->at[0][k] * q->weight[0];
  ERT_UNROLLED
  for (int i = 1; i < 4; i++) sum += q->at[i][k] * q->weight[i];
  return sum;
}

ERT_INLINE void ert_v_blend(const ert_v_corners *q, int32_t n, float *out) {
  int32_t k = 0;
  for (; k + ERT_LANES <= n; k += ERT_LANES) {
    ert_v sum = ert_v_load(q->at[0] + k) * q->weight[0];
    ERT_UNROLLED
    for (int i = 1; i < 4; i++) sum += ert_v_load(q->at[i] + k) * q->weight[i];
    ert_v_store(out + k, sum);
  }
  for (; k < n; k++) out[k] = ert_v_blend_one(q, k);
}

ERT_INLINE void ert_v_resize_row(const ert_call *c, const ert_resize_params *p, int32_t y) {
  const ert_resize_position *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  const int32_t iy = ert_clamp(rows[y].index, 0, p->in_h - 1), n = p->pixel;
  const float u = rows[y].fraction;
  const float *a = ert_row(&c->in[0], iy);
  const float *b = u > 0.0f ? ert_row(&c->in[0], ert_clamp(iy + 1, 0, p->in_h - 1)) : a;
  float *out = ert_out_row(&c->out, y);
  for (int32_t x = 0; x < p->out_w; x++, out += n) {
    const int32_t ix = ert_clamp(columns[x].index, 0, p->in_w - 1), at = ix * n;
    const float v = columns[x].fraction;
    const int32_t next = v > 0.0f && ix + 1 < p->in_w ? at + n : at;
    const ert_v_corners q = {{a + at, a + next, b + at, b + next},
                             {(1.0f - u) * (1.0f - v), (1.0f - u) * v, u * (1.0f - v), u * v}};
    ert_v_blend(&q, n, out);
  }
}

ERT_APART void ert_v_resize_rows(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) ert_v_resize_row(c, (const void *)c->params, y);
}

ERT_END_LANES

#endif

#endif
