/* SPDX-License-Identifier: Apache-2.0 */
/* activation_c.c on vectors. */
#ifndef ERT_ACTIVATION_FLOATS_H
#define ERT_ACTIVATION_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE ert_v ert_v_erf_near_zero(ert_v x) {
  const ert_v u = x * x;
  const ert_v q =
      -0.37612638f +
      u * (0.112837665f + u * (-0.026863838f + u * (0.0052135047f + u * -0.00083040434f + u * u * 9.152874e-05f)));
  return x * (1.1283792f + u * q);
}

ERT_INLINE ert_v ert_v_scaled_erfc(ert_v z) {
  const ert_v t = 1.0f / (1.0f + 0.4f * z);
  const ert_v high = 0.16652109f + t * (-0.056426995f + t * (0.22904131f + t * (-0.22094707f + t * 0.060287215f)));
  return t * (0.22567919f + t * (0.2255675f + t * (0.20904969f + t * (0.16124015f + t * high))));
}

ERT_INLINE ert_v ert_v_gaussian(ert_v x) {
  const ert_v high = (ert_v)((ert_v_u32)x & 0xfffff000u);
  return ert_v_exp_of(-0.5f * high * high) * ert_v_exp_of(-0.5f * (x - high) * (x + high));
}

ERT_INLINE ert_v ert_v_error_function(ert_v x) {
  const ert_v z = ert_v_magnitude(x), none = {0};
  const ert_v rest = ert_v_choose(z > 4.0f, none, ert_v_scaled_erfc(z) * ert_v_exp_of(-z * z));
  return ert_v_choose(z > 0.75f, ert_v_choose(x < 0, rest - 1.0f, 1.0f - rest), ert_v_erf_near_zero(x));
}

ERT_INLINE ert_v ert_v_gelu(ert_v x) {
  const ert_v z = ert_v_magnitude(x) * 0.70710678f, none = {0};
  const ert_v rest = ert_v_choose(z > 10.2f, none, 0.5f * ert_v_scaled_erfc(z) * ert_v_gaussian(x));
  const ert_v near_zero = 0.5f * x * (1.0f + ert_v_erf_near_zero(x * 0.70710678f));
  return ert_v_choose(z > 0.5f, x * ert_v_choose(x < 0, rest, 1.0f - rest), near_zero);
}

ERT_INLINE ert_v ert_v_gelu_tanh(ert_v x) {
  const ert_v none = {0}, y = x * ert_v_logistic(1.5957691f * (x + 0.044715f * x * x * x));
  return ert_v_choose(x < -1e6f, none, ert_v_choose(x > 1e6f, x, y));
}

ERT_INLINE ert_v ert_v_softplus(ert_v x) {
  const ert_v none = {0}, u = ert_v_exp_of(-ert_v_magnitude(x)), s = u / (2.0f + u), v = s * s;
  const ert_v q = 0.33333337f + v * (0.19999444f + v * (0.14308299f + v * (0.1071537f + v * 0.12144781f)));
  return ert_v_choose(x > 0, x, none) + 2.0f * (s + s * v * q);
}

ERT_INLINE ert_v ert_v_mish(ert_v x) {
  const ert_v e = ert_v_exp_of(-ert_v_magnitude(x)), top = ert_v_choose(x > 0, 1.0f + 2.0f * e, e * (e + 2.0f));
  return x * (top / ert_v_choose(x > 0, top + 2.0f * e * e, top + 2.0f));
}

ERT_INLINE ert_v ert_v_exp_less_one(ert_v x) {
  const ert_v q = 0.49999985f + x * (0.16666289f + x * (0.04163205f + x * (0.0081932945f + x * 0.0011259221f)));
  return ert_v_choose(x > -0.5f, x + x * x * q, ert_v_exp_of(x) - 1.0f);
}

ERT_APART void ert_v_activation_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_activation_f32_params *p = (const void *)c->params;
  const ert_v none = {0};
  switch (p->kind) {
    case ERT_GELU:
      ERT_EACH_ROW(p, ert_v_gelu(x))
      break;
    case ERT_GELU_TANH:
      ERT_EACH_ROW(p, ert_v_gelu_tanh(x))
      break;
    case ERT_SILU:
      ERT_EACH_ROW(p, x * ert_v_logistic(x))
      break;
    case ERT_ERF:
      ERT_EACH_ROW(p, ert_v_error_function(x))
      break;
    case ERT_SOFTPLUS:
      ERT_EACH_ROW(p, ert_v_softplus(x))
      break;
    case ERT_MISH:
      ERT_EACH_ROW(p, ert_v_mish(x))
      break;
    case ERT_ELU:
      ERT_EACH_ROW(p, p->b * ert_v_choose(x > 0, x, p->a * ert_v_exp_less_one(x)))
      break;
    default:
      ERT_EACH_ROW(p, ert_v_clip(p->a * x + p->b, none, ert_v_all(1.0f)))
  }
}

ERT_END_LANES

#endif

#endif
