/* SPDX-License-Identifier: Apache-2.0 */
/* The float functions of unary_c.c on vectors. */
#ifndef ERT_UNARY_FLOATS_H
#define ERT_UNARY_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_APART void ert_v_unary_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_unary_f32_params *p = (const void *)c->params;
  const ert_v low = ert_v_all(p->low), high = ert_v_all(p->high), none = {0};
  switch (p->kind) {
    case ERT_CLIP:
      ERT_EACH_ROW(p, ert_v_clip(x, low, high))
      break;
    case ERT_LEAKY_RELU:
      ERT_EACH_ROW(p, ert_v_choose(ert_v_less(none, x), x, low * x))
      break;
    case ERT_HARD_SWISH:
      ERT_EACH_ROW(p, x * (ert_v_clip(x + 3.0f, none, ert_v_all(6.0f)) * (1.0f / 6.0f)))
      break;
    case ERT_LOGISTIC:
      ERT_EACH_ROW(p, ert_v_logistic(x))
      break;
    default:
      ERT_EACH_ROW(p, ert_v_tanh_of(x))
  }
}

ERT_END_LANES

#endif

#endif
