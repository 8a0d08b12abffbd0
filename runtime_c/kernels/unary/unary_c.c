/* SPDX-License-Identifier: Apache-2.0 */
#include "unary/unary.h"
#include "exp.h"

int ert_unary_f32_check(const ert_step *s) {
  const ert_unary_f32_params *p = (const void *)s->params;
  return ERT_IN_PLACE * (s->n_in == 1 && ert_within(p->kind, ERT_CLIP, ERT_TANH) && ert_view_ok(s->in, p->n, 4) &&
                         ert_view_ok(s->out, p->n, 4));
}

static float clip(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/* e^-|x| cannot overflow. */
static float logistic(float x) {
  const float e = ert_exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/* Near 0 a minimax polynomial in x^2 with relative error below 2^-25; farther away nothing cancels. */
static float hyperbolic_tangent(float x) {
  const float magnitude = x < 0 ? -x : x, u = x * x;
  if (magnitude < 0.625f) {
    const float q =
        -0.333333292f + u * (0.133327945f + u * (-0.0538540691f + u * (0.0210100786f - u * 0.00611318793f)));
    return x + x * u * q;
  }
  const float t = 1.0f - 2.0f / (ert_exp(2.0f * magnitude) + 1.0f);
  return x < 0 ? -t : t;
}

static float apply(const ert_unary_f32_params *p, float x) {
  switch (p->kind) {
    case ERT_CLIP:
      return clip(x, p->low, p->high);
    case ERT_LEAKY_RELU:
      return x > 0 ? x : p->low * x;
    case ERT_HARD_SWISH:
      return x * (clip(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f));
    case ERT_LOGISTIC:
      return logistic(x);
    default:
      return hyperbolic_tangent(x);
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
