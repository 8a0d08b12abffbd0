/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows minmax, arith and pow on vectors. */
#ifndef ERT_ARITH_FLOATS_H
#define ERT_ARITH_FLOATS_H

#include "floats.h"
#include "power_floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* Items of an operand from item k on, of which `left` are left; or one that stands for all. */
ERT_INLINE ert_v ert_v_operand(const float *p, int32_t step, int32_t k, int32_t left) {
  if (!step) return ert_v_all(*p);
  return left >= ERT_LANES ? ert_v_load(p + k) : ert_v_load_some(p + k, left, 1.0f);
}

/* A function of the items x and y of each pair in a run. */
#define ERT_EACH_PAIR(value)                                                                                 \
  for (int32_t k = 0; k < n; k += ERT_LANES) {                                                               \
    const int32_t left = n - k;                                                                              \
    const ert_v x = ert_v_operand(a, a_step, k, left), y = ert_v_operand(b, b_step, k, left), found = value; \
    if (left >= ERT_LANES) ert_v_store(out + k, found);                                                      \
    else ert_v_store_some(out + k, found, left);                                                             \
  }

ERT_INLINE void ert_v_minmax_run(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const int32_t a_step = g->a_item, b_step = g->b_item;
  if (((const ert_minmax_f32_params *)(const void *)g)->sign > 0)
    ERT_EACH_PAIR(ert_v_choose(ert_v_no_number(x), x, ert_v_min(x, y)))
  else ERT_EACH_PAIR(ert_v_choose(ert_v_no_number(x), x, ert_v_max(x, y)))
}

ERT_INLINE void ert_v_arith_run(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const ert_arith_f32_params *p = (const void *)g;
  const int32_t a_step = g->a_item, b_step = g->b_item;
  const ert_v low = ert_v_all(p->min), high = ert_v_all(p->max), none = {0};
  if (p->kind == ERT_ARITH_DIV) ERT_EACH_PAIR(ert_v_clip(x / y, low, high))
  else if (p->kind == ERT_ARITH_SQUARED_DIFFERENCE) ERT_EACH_PAIR(ert_v_clip((x - y) * (x - y), low, high))
  else ERT_EACH_PAIR(ert_v_clip(ert_v_choose(ert_v_at_most(none, x), x, x * y), low, high))
}

ERT_WALK_RUNS(ert_v_walk_runs, float)

ERT_APART void ert_v_minmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  ert_v_walk_runs(c, y0, y1, ert_v_minmax_run);
}

/* Remainders are a loop for each item: portable. */
ERT_APART void ert_v_arith_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const int32_t kind = ((const ert_arith_f32_params *)(const void *)c->params)->kind;
  if (ert_within(kind, ERT_ARITH_FLOOR_DIV, ERT_ARITH_FMOD)) ert_arith_f32_x1__c(c, y0, y1);
  else ert_v_walk_runs(c, y0, y1, ert_v_arith_run);
}

ERT_INLINE void ert_v_pow_run(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const int32_t a_step = g->a_item, b_step = g->b_item;
  ERT_EACH_PAIR(ert_v_power_of(x, y))
}

ERT_APART void ert_v_pow_rows(const ert_call *c, int32_t y0, int32_t y1) { ert_v_walk_runs(c, y0, y1, ert_v_pow_run); }

ERT_END_LANES

#endif

#endif
