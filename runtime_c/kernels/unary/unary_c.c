/* SPDX-License-Identifier: Apache-2.0 */
#include "unary/unary.h"
#include "exp.h"

int ert_unary_f32_check(const ert_step *s) {
  const ert_unary_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->kind, ERT_CLIP, ERT_TANH) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 4);
}

static float clip(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static float apply(const ert_unary_f32_params *p, float x) {
  switch (p->kind) {
    case ERT_CLIP:
      return clip(x, p->low, p->high);
    case ERT_LEAKY_RELU:
      return x > 0 ? x : p->low * x;
    case ERT_HARD_SWISH:
      return x * (clip(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f));
    case ERT_LOGISTIC:
      return ert_logistic(x);
    default:
      return ert_tanh(x);
  }
}

void ert_unary_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_unary_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = apply(p, in[k]);
  }
}
