/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of l2_norm_c.c on vectors. */
#ifndef ERT_L2_NORM_FLOATS_H
#define ERT_L2_NORM_FLOATS_H

#include "floats.h"
#include "l2_norm/l2_norm.h"
#include "power.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE void ert_v_l2_norm_run(const ert_l2_norm_f32_params *p, const float *x, float *out) {
  ert_v sums = {0};
  int32_t i = 0;
  for (; i + ERT_LANES <= p->n; i += ERT_LANES) sums += ert_v_load(x + i) * ert_v_load(x + i);
  float sum = ert_v_sum_of(sums);
  for (; i < p->n; i++) sum += x[i] * x[i];
  const float root = ert_sqrt(sum), norm = root < p->epsilon ? p->epsilon : root;
  for (i = 0; i + ERT_LANES <= p->n; i += ERT_LANES) ert_v_store(out + i, ert_v_load(x + i) / norm);
  for (; i < p->n; i++) out[i] = x[i] / norm;
}

ERT_APART void ert_v_l2_norm_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_l2_norm_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) ert_v_l2_norm_run(p, in + x * p->n, out + x * p->n);
  }
}

ERT_END_LANES

#endif

#endif
