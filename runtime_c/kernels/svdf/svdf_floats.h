/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of svdf_c.c on vectors. Scratch: a feature of each filter. */
#ifndef ERT_SVDF_FLOATS_H
#define ERT_SVDF_FLOATS_H

#include "products_floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE float ert_v_dot(const float *x, const float *w, int32_t n, float start) {
  ert_v sum = {0};
  int32_t k = 0;
  for (; k + ERT_LANES <= n; k += ERT_LANES) sum = ert_v_madd(ert_v_load(x + k), ert_v_load(w + k), sum);
  start += ert_v_sum_of(sum);
  for (; k < n; k++) start += x[k] * w[k];
  return start;
}

ERT_APART void ert_v_svdf_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_svdf_f32_params *p = (const void *)c->params;
  const ert_svdf_layer *l = &p->layer;
  const int32_t n = l->rank * l->memory, filters = l->units * l->rank, bytes = 4 * filters * l->memory;
  const float *w = ert_blob(c, l->w_time), *bias = ert_blob(c, l->bias);
  float *features = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *state = ert_state_row(&c->in[1], y), *out = ert_out_row(&c->out, y);
    const ert_v_product all = {ert_blob(c, l->w_feature), l->in_c, filters, &in, features, filters};
    ert_v_multiply(&all, 1);
    ERT_MEMMOVE(state, state + 1, bytes - 4);
    for (int32_t f = 0; f < filters; f++) state[f * l->memory + l->memory - 1] = features[f];
    for (int32_t u = 0; u < l->units; u++) {
      const float sum = ert_v_dot(state + u * n, w + u * n, n, bias[u]);
      out[u] = sum < p->min ? p->min : sum > p->max ? p->max : sum;
    }
  }
}

ERT_END_LANES

#endif

#endif
