/* SPDX-License-Identifier: Apache-2.0 */
/* The integer rows of svdf_c.c on vectors. Scratch: a word for each filter, padded to whole vectors. */
#ifndef ERT_SVDF_INTEGERS_H
#define ERT_SVDF_INTEGERS_H

#include "integers.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* The newest features: sums, rescaled and clamped to the range of the state's type. */
ERT_INLINE void ert_v_features(const ert_call *c, ert_v_dots_fn *dots, const int8_t *in, int32_t low, int32_t high) {
  const ert_svdf_s8s8_params *p = (const void *)c->params;
  const ert_svdf_layer *l = &p->layer;
  int32_t *sums = c->scratch;
  const int32_t filters = l->units * l->rank;
  const ert_v_dots d = {in, ert_blob(c, l->w_feature), ert_blob(c, p->feature_bias), sums, l->in_c, filters, 0};
  const ert_v_scale scale = ert_v_scale_of(p->feature_multiplier, p->feature_shift);
  dots(&d);
  for (int32_t f = 0; f < filters; f += ERT_LANES) {
    const ert_v_s32 x = ert_v_requantize(ert_v_words(sums + f), &scale);
    const ert_v_u32 moved = (ert_v_u32)ert_v_clamp(x, low, high) + (uint32_t)p->state_zero_point;
    ert_v_put_words(sums + f, (ert_v_s32)moved);
  }
}

/* Outputs from their sums. */
ERT_INLINE void ert_v_svdf_finish(const ert_call *c, const int32_t *sums, int8_t *out) {
  const ert_svdf_s8s8_params *p = (const void *)c->params;
  const ert_v_scale scale = ert_v_scale_of(p->multiplier, p->shift);
  for (int32_t u = 0; u < p->layer.units; u += ERT_LANES) {
    const ert_v_u32 x = (ert_v_u32)ert_v_requantize(ert_v_words(sums + u), &scale);
    const ert_v_s32 y = ert_v_clamp((ert_v_s32)(x + (uint32_t)p->zero_point), INT8_MIN, INT8_MAX);
    ert_v_put_bytes(out + u, y, p->layer.units - u);
  }
}

ERT_APART void ert_v_svdf_s8_rows(const ert_call *c, ert_v_dots_fn *dots, int32_t y0, int32_t y1) {
  const ert_svdf_layer *l = (const void *)c->params;
  const int32_t filters = l->units * l->rank, bytes = filters * l->memory;
  int32_t *sums = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *state = ert_state_row(&c->in[1], y);
    ERT_MEMMOVE(state, state + 1, bytes - 1);
    ert_v_features(c, dots, ert_row(&c->in[0], y), INT8_MIN, INT8_MAX);
    for (int32_t f = 0; f < filters; f++) state[f * l->memory + l->memory - 1] = (int8_t)sums[f];
    const ert_v_dots d = {state, ert_blob(c, l->w_time), ert_blob(c, l->bias), sums, l->rank * l->memory, l->units, 1};
    dots(&d);
    ert_v_svdf_finish(c, sums, ert_out_row(&c->out, y));
  }
}

/* The sum of products of two runs of n int16, modulo 2^32. */
ERT_INLINE uint32_t ert_v_dot_s16(const int16_t *x, const int16_t *w, int32_t n) {
  ert_v_s32 sum = {0};
  int32_t k = 0, held[ERT_LANES];
  for (; k + ERT_V_CHUNK <= n; k += ERT_V_CHUNK)
    sum = ert_v_add_products(sum, ert_v_wide_at(x + k), ert_v_wide_at(w + k));
  uint32_t total = 0;
  ert_v_put_words(held, sum);
  for (int i = 0; i < ERT_LANES; i++) total += (uint32_t)held[i];
  for (; k < n; k++) total += (uint32_t)(x[k] * w[k]);
  return total;
}

ERT_APART void ert_v_svdf_s16_rows(const ert_call *c, ert_v_dots_fn *dots, int32_t y0, int32_t y1) {
  const ert_svdf_layer *l = (const void *)c->params;
  const int32_t filters = l->units * l->rank, n = l->rank * l->memory, bytes = 2 * filters * l->memory;
  const int16_t *w = ert_blob(c, l->w_time);
  const int32_t *bias = ert_blob(c, l->bias);
  int32_t *sums = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    int16_t *state = ert_state_row(&c->in[1], y);
    ERT_MEMMOVE(state, state + 1, bytes - 2);
    ert_v_features(c, dots, ert_row(&c->in[0], y), INT16_MIN, INT16_MAX);
    for (int32_t f = 0; f < filters; f++) state[f * l->memory + l->memory - 1] = (int16_t)sums[f];
    for (int32_t u = 0; u < l->units; u++)
      sums[u] = (int32_t)(ert_v_dot_s16(state + u * n, w + u * n, n) + (uint32_t)bias[u]);
    ert_v_svdf_finish(c, sums, ert_out_row(&c->out, y));
  }
}

ERT_END_LANES

#endif

#endif
