/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of floats over pixels on vectors, as in reduce_bytes.h. */
#ifndef ERT_REDUCE_FLOATS_H
#define ERT_REDUCE_FLOATS_H

#include "floats.h"
#include "reduce/reduce.h"

#ifdef ERT_LANES

void ert_reduce_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1);

ERT_BEGIN_LANES

ERT_INLINE void ert_v_sum_block(float *acc, const float *x, int32_t n, int32_t stride, const int blocks) {
  ert_v sum[4];
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) sum[k] = ert_v_load(acc + ERT_LANES * k);
  for (int32_t w = 0; w < n; w++, x += stride) {
    ERT_UNROLLED
    for (int k = 0; k < blocks; k++) sum[k] += ert_v_load(x + ERT_LANES * k);
  }
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) ert_v_store(acc + ERT_LANES * k, sum[k]);
}

ERT_INLINE void ert_v_sum_row(const ert_reduce_shape *g, const float *x, float *acc) {
  int32_t i = 0;
  for (; i + 4 * ERT_LANES <= g->inner; i += 4 * ERT_LANES) ert_v_sum_block(acc + i, x + i, g->width, g->inner, 4);
  for (; i + ERT_LANES <= g->inner; i += ERT_LANES) ert_v_sum_block(acc + i, x + i, g->width, g->inner, 1);
  for (; i < g->inner; i++)
    for (int32_t w = 0; w < g->width; w++) acc[i] += x[w * g->inner + i];
}

ERT_APART void ert_v_reduce_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_f32_params *p = (const void *)c->params;
  const ert_reduce_shape *g = &p->shape;
  if (g->kind != ERT_REDUCE_REQUANTIZE || g->inner < ERT_LANES) {
    ert_reduce_f32_x1__c(c, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / g->in_rows, r = y - row * g->in_rows;
    float *out = ert_out_row(&c->out, row);
    if (r == 0) ERT_MEMSET(out, 0, g->inner * 4);
    ert_v_sum_row(g, ert_row(&c->in[0], y), out);
    for (int32_t i = 0; r == g->in_rows - 1 && i < g->inner; i++) out[i] *= p->scale;
  }
}

ERT_END_LANES

#endif

#endif
