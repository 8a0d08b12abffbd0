/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of normalize_c.c on vectors. */
#ifndef ERT_NORMALIZE_FLOATS_H
#define ERT_NORMALIZE_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* Sums of d and d^2 with d = x - centre over the items of a group. */
typedef struct {
  ert_v sum, squares;
} ert_v_moments;

ERT_INLINE void ert_v_add_row_moments(ert_v_moments *m, const float *x, int32_t n, float centre) {
  int32_t i = 0;
  for (; i + ERT_LANES <= n; i += ERT_LANES) {
    const ert_v d = ert_v_load(x + i) - centre;
    m->sum += d, m->squares += d * d;
  }
  if (i == n) return;
  const ert_v d = ert_v_load_some(x + i, n - i, centre) - centre;
  m->sum += d, m->squares += d * d;
}

/* In blocks, so that sums keep their digits. */
ERT_INLINE void ert_v_moments_of_group(const ert_normalize_shape *g, const float *x, float centre, float *sum,
                                       float *squares) {
  enum { BLOCK = 64 * ERT_LANES };
  const ert_v none = {0};
  ert_v_moments total = {none, none};
  for (int32_t o = 0; o < g->outer; o++, x += g->groups * g->inner)
    for (int32_t i = 0; i < g->inner; i += BLOCK) {
      ert_v_moments part = {none, none};
      ert_v_add_row_moments(&part, x + i, g->inner - i < BLOCK ? g->inner - i : BLOCK, centre);
      total.sum += part.sum, total.squares += part.squares;
    }
  *sum = ert_v_sum_of(total.sum), *squares = ert_v_sum_of(total.squares);
}

ERT_INLINE ert_v ert_v_scaled_at(const float *p, int32_t step, int32_t i) {
  return step ? ert_v_load(p + i) : ert_v_all(*p);
}

ERT_INLINE void ert_v_normalize_run(const float *x, float *out, int32_t n, float mean, float factor, const float *scale,
                                    const float *shift, int32_t step) {
  int32_t i = 0;
  for (; i + ERT_LANES <= n; i += ERT_LANES)
    ert_v_store(out + i, (ert_v_load(x + i) - mean) * factor * ert_v_scaled_at(scale, step, i) +
                             ert_v_scaled_at(shift, step, i));
  for (; i < n; i++) out[i] = (x[i] - mean) * factor * scale[i * step] + shift[i * step];
}

ERT_INLINE void ert_v_normalize_group(const ert_call *c, const ert_normalize_f32_params *p, int32_t q, const float *x,
                                      float *out) {
  const ert_normalize_shape *g = &p->shape;
  const int32_t step = g->per_channel, first = q * g->inner * step, stride = g->groups * g->inner;
  const float *scale = (const float *)ert_blob(c, p->scale) + first,
              *shift = (const float *)ert_blob(c, p->shift) + first;
  const float share = 1.0f / ((float)g->outer * (float)g->inner);
  float sum = 0, squares = 0;
  if (g->centred) ert_v_moments_of_group(g, x, 0, &sum, &squares);
  const float centre = sum * share;
  ert_v_moments_of_group(g, x, centre, &sum, &squares);
  const float rest = g->centred ? sum * share : 0; /* what rounding left of the mean */
  const float variance = squares * share - rest * rest;
  const float factor = ert_inverse_root((variance < 0 ? 0 : variance) + p->epsilon);
  for (int32_t o = 0; o < g->outer; o++, x += stride, out += stride)
    ert_v_normalize_run(x, out, g->inner, centre + rest, factor, scale, shift, step);
}

ERT_APART void ert_v_normalize_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_normalize_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t q = 0; q < p->shape.groups; q++)
      ert_v_normalize_group(c, p, q, x + q * p->shape.inner, out + q * p->shape.inner);
  }
}

ERT_END_LANES

#endif

#endif
