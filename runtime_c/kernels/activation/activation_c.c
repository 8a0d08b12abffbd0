/* SPDX-License-Identifier: Apache-2.0 */
#include "activation/activation.h"
#include "exp.h"

int ert_activation_f32_check(const ert_step *s) {
  const ert_activation_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->kind, ERT_GELU, ERT_HARD_SIGMOID) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 4);
}

static float absolute(float x) { return x < 0 ? -x : x; }

/* 1 / (1 + e^-x); e^-|x| cannot overflow. */
static float logistic(float x) {
  const float e = ert_exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/* erf(x) for |x| <= 0.8: x times a minimax polynomial in x^2, relative error below 2^-33. */
static float erf_near_zero(float x) {
  const float u = x * x;
  const float q =
      -0.37612638f +
      u * (0.112837665f + u * (-0.026863838f + u * (0.0052135047f + u * -0.00083040434f + u * u * 9.152874e-05f)));
  return x * (1.1283792f + u * q);
}

/* e^(z^2) erfc(z) for z in [0.5, 10.3]: a minimax polynomial in t, relative error below 2^-27. */
static float scaled_erfc(float z) {
  const float t = 1.0f / (1.0f + 0.4f * z);
  const float high = 0.16652109f + t * (-0.056426995f + t * (0.22904131f + t * (-0.22094707f + t * 0.060287215f)));
  return t * (0.22567919f + t * (0.2255675f + t * (0.20904969f + t * (0.16124015f + t * high))));
}

/* e^(-x^2 / 2): the first 12 bits of x have an exact square, the rest is a small factor. */
static float gaussian(float x) {
  uint32_t bits;
  float high;
  ERT_MEMMOVE(&bits, &x, sizeof bits);
  bits &= 0xfffff000u;
  ERT_MEMMOVE(&high, &bits, sizeof high);
  return ert_exp(-0.5f * high * high) * ert_exp(-0.5f * (x - high) * (x + high));
}

static float error_function(float x) {
  const float z = absolute(x);
  if (!(z > 0.75f)) return erf_near_zero(x);
  const float rest = z > 4.0f ? 0.0f : scaled_erfc(z) * ert_exp(-z * z);
  return x < 0 ? rest - 1.0f : 1.0f - rest;
}

/* The tail of the normal distribution is taken from erfc, where 1 + erf would lose its digits. */
static float gelu(float x) {
  const float z = absolute(x) * 0.70710678f;
  if (!(z > 0.5f)) return 0.5f * x * (1.0f + erf_near_zero(x * 0.70710678f));
  const float rest = z > 10.2f ? 0.0f : 0.5f * scaled_erfc(z) * gaussian(x);
  return x * (x < 0 ? rest : 1.0f - rest);
}

static float gelu_tanh(float x) {
  if (x < -1e6f || x > 1e6f) return x < 0 ? 0.0f : x; /* x^3 may overflow */
  return x * logistic(1.5957691f * (x + 0.044715f * x * x * x));
}

/* ln(1 + u) = 2 atanh(s) for u in [0, 1] */
static float log_of_one_plus(float u) {
  const float s = u / (2.0f + u), v = s * s;
  const float q = 0.33333337f + v * (0.19999444f + v * (0.14308299f + v * (0.1071537f + v * 0.12144781f)));
  return 2.0f * (s + s * v * q);
}

static float softplus(float x) {
  if (x != x) return x;
  return (x > 0 ? x : 0.0f) + log_of_one_plus(ert_exp(-absolute(x)));
}

/* tanh(ln(1 + e)) = (e^2 + 2 e) / (e^2 + 2 e + 2), with e^-|x| on both sides of 0. */
static float mish(float x) {
  const float e = ert_exp(-absolute(x));
  const float top = x > 0 ? 1.0f + 2.0f * e : e * (e + 2.0f);
  return x * (top / (x > 0 ? top + 2.0f * e * e : top + 2.0f));
}

/* e^x - 1 for x <= 0; near 0 by a minimax polynomial. */
static float exp_less_one(float x) {
  if (!(x > -0.5f)) return ert_exp(x) - 1.0f;
  const float q = 0.49999985f + x * (0.16666289f + x * (0.04163205f + x * (0.0081932945f + x * 0.0011259221f)));
  return x + x * x * q;
}

static float clip(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static float apply(const ert_activation_f32_params *p, float x) {
  switch (p->kind) {
    case ERT_GELU:
      return gelu(x);
    case ERT_GELU_TANH:
      return gelu_tanh(x);
    case ERT_SILU:
      return x * logistic(x);
    case ERT_ERF:
      return error_function(x);
    case ERT_SOFTPLUS:
      return softplus(x);
    case ERT_MISH:
      return mish(x);
    case ERT_ELU:
      return p->b * (x > 0 ? x : p->a * exp_less_one(x));
    default:
      return clip(p->a * x + p->b, 0.0f, 1.0f);
  }
}

void ert_activation_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_activation_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = apply(p, in[k]);
  }
}
