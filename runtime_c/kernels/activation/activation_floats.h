/* SPDX-License-Identifier: Apache-2.0 */
/* activation_c.c on vectors. */
#ifndef ERT_ACTIVATION_FLOATS_H
#define ERT_ACTIVATION_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_INLINE ert_v ert_v_erf_near_zero(ert_v x) {
  const ert_v q = ERT_POLYNOMIAL(x * x, 1.1283792f, -0.37612638f, 0.112837665f, -0.026863838f, 0.0052135047f,
                                 -0.00083040434f, 9.152874e-05f);
  return x * q;
}

ERT_INLINE ert_v ert_v_scaled_erfc(ert_v z) {
  const ert_v t = 1.0f / ert_v_madd(z, ert_v_all(0.4f), ert_v_all(1.0f));
  return t * ERT_POLYNOMIAL(t, 0.22567919f, 0.2255675f, 0.20904969f, 0.16124015f, 0.16652109f, -0.056426995f,
                            0.22904131f, -0.22094707f, 0.060287215f);
}

/* e^(-x^2 / 2) */
ERT_INLINE ert_v ert_v_gaussian(ert_v x) {
  const ert_v high = (ert_v)((ert_v_u32)x & 0xfffff000u);
  return ert_v_exp_of_sum(-0.5f * high * high, (high - x) * (0.5f * (x + high)));
}

ERT_INLINE ert_v ert_v_error_function(ert_v x) {
  const ert_v z = ert_v_magnitude(x), bounded = ert_v_min(ert_v_all(4.0f), z);
  const ert_v far = 1.0f - ert_v_scaled_erfc(bounded) * ert_v_exp_below(-bounded * bounded);
  return ert_v_choose(ert_v_less(ert_v_all(0.75f), z), ert_v_signed_as(far, x), ert_v_erf_near_zero(x));
}

ERT_INLINE ert_v ert_v_gelu(ert_v x) {
  const ert_v y = x * 0.70710678f, z = ert_v_magnitude(y), none = {0};
  const ert_v tail = 0.5f * ert_v_scaled_erfc(z) * ert_v_gaussian(x);
  const ert_v rest = ert_v_choose(ert_v_less(ert_v_all(10.2f), z), none, tail);
  const ert_v near_zero = 0.5f * x * (1.0f + ert_v_erf_near_zero(y));
  const ert_v far = x * ert_v_choose(ert_v_signs((ert_v_s32)x), rest, 1.0f - rest);
  return ert_v_choose(ert_v_less(ert_v_all(0.5f), z), far, near_zero);
}

ERT_INLINE ert_v ert_v_gelu_tanh(ert_v x) {
  const ert_v limit = ert_v_all(1e6f), none = {0};
  const ert_v y = x * ert_v_logistic_to_least(1.5957691f * (x + 0.044715f * x * x * x));
  return ert_v_choose(ert_v_less(x, -limit), none, ert_v_choose(ert_v_less(limit, x), x, y));
}

ERT_INLINE ert_v ert_v_softplus(ert_v x) {
  const ert_v none = {0}, u = ert_v_exp_below(-ert_v_magnitude(x)), s = u / (2.0f + u), v = s * s;
  const ert_v q = ERT_POLYNOMIAL(v, 0.33333337f, 0.19999444f, 0.14308299f, 0.1071537f, 0.12144781f);
  return ert_v_max(none, x) + 2.0f * ert_v_madd(s * v, q, s);
}

ERT_INLINE ert_v ert_v_mish(ert_v x) {
  const ert_v_mask above = ert_v_less((ert_v){0}, x);
  const ert_v e = ert_v_exp_of(-ert_v_magnitude(x)), top = ert_v_choose(above, 1.0f + 2.0f * e, e * (e + 2.0f));
  return x * (top / ert_v_choose(above, top + 2.0f * e * e, top + 2.0f));
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
      ERT_EACH_ROW(p, x * ert_v_logistic_to_least(x))
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
      ERT_EACH_ROW(p, p->b * ert_v_choose(ert_v_less(none, x), x, p->a * ert_v_exp_less_one(x)))
      break;
    default:
      ERT_EACH_ROW(p, ert_v_clip(p->a * x + p->b, none, ert_v_all(1.0f)))
  }
}

ERT_END_LANES

#endif

#endif
