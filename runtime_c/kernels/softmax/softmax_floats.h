/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of softmax_c.c on vectors. */
#ifndef ERT_SOFTMAX_FLOATS_H
#define ERT_SOFTMAX_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* x[0] where nothing is larger: a NaN there stays, one elsewhere comes back with the exponentials. */
ERT_INLINE float ert_v_largest(const float *x, int32_t n) {
  ert_v most = ert_v_all(x[0]);
  int32_t i = 0;
  for (; i + ERT_LANES <= n; i += ERT_LANES) most = ert_v_max(ert_v_load(x + i), most);
  float found = ert_v_most_of(most);
  for (; i < n; i++) found = x[i] > found ? x[i] : found;
  return found;
}

/* The exponentials to `out`, and their sum. */
ERT_INLINE float ert_v_exponentials(const float *x, float *out, int32_t n, float beta, float max) {
  ert_v sum = {0};
  int32_t i = 0;
  for (; i + ERT_LANES <= n; i += ERT_LANES) {
    const ert_v e = ert_v_exp_below(beta * (ert_v_load(x + i) - max));
    sum += e;
    ert_v_store(out + i, e);
  }
  if (i == n) return ert_v_sum_of(sum);
  const ert_v e = ert_v_exp_below(beta * (ert_v_load_some(x + i, n - i, max) - max));
  ert_v_store_some(out + i, e, n - i);
  return ert_v_sum_of(sum + ert_v_load_some(out + i, n - i, 0.0f));
}

ERT_INLINE float ert_v_sum_of_exponentials(const float *x, int32_t n, float max) {
  ert_v sum = {0};
  int32_t i = 0;
  for (; i + ERT_LANES <= n; i += ERT_LANES) sum += ert_v_exp_below(ert_v_load(x + i) - max);
  const float infinite = ert_float_of(0x7f800000u);
  if (i < n) sum += ert_v_exp_below(ert_v_load_some(x + i, n - i, -infinite) - max);
  return ert_v_sum_of(sum);
}

ERT_INLINE void ert_v_log_softmax_run(int32_t n, const float *x, float *out) {
  const float max = ert_v_largest(x, n), log = ert_log(ert_v_sum_of_exponentials(x, n, max));
  int32_t i = 0;
  for (; i + ERT_LANES <= n; i += ERT_LANES) ert_v_store(out + i, (ert_v_load(x + i) - max) - log);
  for (; i < n; i++) out[i] = (x[i] - max) - log;
}

ERT_APART void ert_v_log_softmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_log_softmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->w; i++) ert_v_log_softmax_run(p->n, x + i * p->n, out + i * p->n);
  }
}

ERT_INLINE void ert_v_softmax_row(const ert_softmax_f32_params *p, const float *x, float *out) {
  const float scale = 1.0f / ert_v_exponentials(x, out, p->n, p->beta, ert_v_largest(x, p->n));
  int32_t i = 0;
  for (; i + ERT_LANES <= p->n; i += ERT_LANES) ert_v_store(out + i, ert_v_load(out + i) * scale);
  for (; i < p->n; i++) out[i] *= scale;
}

ERT_APART void ert_v_softmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_softmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) ert_v_softmax_row(p, ert_row(&c->in[0], y), ert_out_row(&c->out, y));
}

ERT_APART void ert_v_pixel_softmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_pixel_softmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->pixels; i++, x += p->each.n, out += p->each.n) ert_v_softmax_row(&p->each, x, out);
  }
}

ERT_END_LANES

#endif

#endif
