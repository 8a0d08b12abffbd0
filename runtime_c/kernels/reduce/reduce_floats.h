/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of reduce_c.c on vectors: across lanes where one item is left of each run, else item by item. */
#ifndef ERT_REDUCE_FLOATS_H
#define ERT_REDUCE_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* One of a and b, or both of them together; NaN where either is, but for sums and products as portable rows have it. */
ERT_INLINE ert_v ert_v_reduced(int kind, ert_v a, ert_v b) {
  if (kind == ERT_REDUCE_REQUANTIZE) return a + b;
  if (kind == ERT_REDUCE_PRODUCT) return a * b;
  const ert_v found = kind == ERT_REDUCE_MAXIMUM ? ert_v_max(b, a) : ert_v_min(b, a);
  return ert_v_choose(ert_v_no_number(b), b, found);
}

/* What leaves the other operand as it is. */
ERT_INLINE ert_v ert_v_neutral(int kind, float first) {
  return ert_v_all(kind == ERT_REDUCE_REQUANTIZE ? 0.0f : kind == ERT_REDUCE_PRODUCT ? 1.0f : first);
}

ERT_INLINE float ert_v_reduced_across(int kind, ert_v v) {
  if (kind == ERT_REDUCE_REQUANTIZE) return ert_v_sum_of(v);
  float held[ERT_LANES];
  ert_v_store(held, v);
  for (int n = ERT_LANES / 2; n > 0; n /= 2)
    for (int k = 0; k < n; k++) {
      const float a = held[k], b = held[k + n];
      held[k] = kind == ERT_REDUCE_PRODUCT ? a * b : a != a || (kind == ERT_REDUCE_MAXIMUM ? a > b : a < b) ? a : b;
    }
  return held[0];
}

/* Four at a time, so that none waits for the one before. */
ERT_INLINE float ert_v_reduced_run(int kind, const float *x, int32_t n) {
  const ert_v start = ert_v_neutral(kind, x[0]);
  ert_v parts[4] = {start, start, start, start};
  int32_t i = 0;
  for (; i + 4 * ERT_LANES <= n; i += 4 * ERT_LANES) {
    ERT_UNROLLED
    for (int k = 0; k < 4; k++) parts[k] = ert_v_reduced(kind, parts[k], ert_v_load(x + i + k * ERT_LANES));
  }
  for (; i + ERT_LANES <= n; i += ERT_LANES) parts[0] = ert_v_reduced(kind, parts[0], ert_v_load(x + i));
  if (i < n) parts[1] = ert_v_reduced(kind, parts[1], ert_v_load_some(x + i, n - i, start[0]));
  const ert_v halves[2] = {ert_v_reduced(kind, parts[0], parts[1]), ert_v_reduced(kind, parts[2], parts[3])};
  return ert_v_reduced_across(kind, ert_v_reduced(kind, halves[0], halves[1]));
}

/* Four vectors of channels of n pixels. */
ERT_INLINE void ert_v_reduce_channels(int kind, float *acc, const float *x, int32_t n, int32_t stride) {
  ert_v held[4];
  ERT_UNROLLED
  for (int k = 0; k < 4; k++) held[k] = ert_v_load(acc + k * ERT_LANES);
  for (int32_t w = 0; w < n; w++, x += stride) {
    ERT_UNROLLED
    for (int k = 0; k < 4; k++) held[k] = ert_v_reduced(kind, held[k], ert_v_load(x + k * ERT_LANES));
  }
  ERT_UNROLLED
  for (int k = 0; k < 4; k++) ert_v_store(acc + k * ERT_LANES, held[k]);
}

/* Up to a vector of them. */
ERT_INLINE void ert_v_reduce_last(int kind, float *acc, const float *x, int32_t n, int32_t stride, int32_t some) {
  ert_v held = ert_v_load_some(acc, some, 0.0f);
  for (int32_t w = 0; w < n; w++, x += stride) held = ert_v_reduced(kind, held, ert_v_load_some(x, some, 0.0f));
  ert_v_store_some(acc, held, some);
}

/* An input row, of which the output row has the ones before it. */
ERT_INLINE void ert_v_reduce_row(const ert_reduce_shape *g, int kind, const float *x, float *out) {
  const int32_t inner = g->inner;
  if (inner == 1) {
    const float found = ert_v_reduced_run(kind, x, g->width);
    out[0] = ert_v_reduced(kind, ert_v_all(out[0]), ert_v_all(found))[0];
    return;
  }
  int32_t i = 0;
  for (; i + 4 * ERT_LANES <= inner; i += 4 * ERT_LANES) ert_v_reduce_channels(kind, out + i, x + i, g->width, inner);
  for (; i < inner; i += ERT_LANES) {
    const int32_t some = inner - i < ERT_LANES ? inner - i : ERT_LANES;
    ert_v_reduce_last(kind, out + i, x + i, g->width, inner, some);
  }
}

ERT_INLINE void ert_v_reduce_start(const ert_reduce_shape *g, const float *x, float *out) {
  if (g->kind == ERT_REDUCE_REQUANTIZE) ERT_MEMSET(out, 0, g->inner * 4);
  else if (g->kind != ERT_REDUCE_PRODUCT) ERT_MEMMOVE(out, x, g->inner * 4);
  else
    for (int32_t i = 0; i < g->inner; i++) out[i] = 1.0f;
}

ERT_APART void ert_v_reduce_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_f32_params *p = (const void *)c->params;
  const ert_reduce_shape *g = &p->shape;
  if (g->inner > 1 && g->inner < ERT_LANES) {
    ert_reduce_f32_x1__c(c, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / g->in_rows, r = y - row * g->in_rows;
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, row);
    if (r == 0) ert_v_reduce_start(g, x, out);
    if (g->kind == ERT_REDUCE_REQUANTIZE) ert_v_reduce_row(g, ERT_REDUCE_REQUANTIZE, x, out);
    else if (g->kind == ERT_REDUCE_MAXIMUM) ert_v_reduce_row(g, ERT_REDUCE_MAXIMUM, x, out);
    else if (g->kind == ERT_REDUCE_MINIMUM) ert_v_reduce_row(g, ERT_REDUCE_MINIMUM, x, out);
    else ert_v_reduce_row(g, ERT_REDUCE_PRODUCT, x, out);
    if (r == g->in_rows - 1 && g->kind == ERT_REDUCE_REQUANTIZE)
      for (int32_t i = 0; i < g->inner; i++) out[i] *= p->scale;
  }
}

ERT_END_LANES

#endif

#endif
