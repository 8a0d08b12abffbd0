/* SPDX-License-Identifier: Apache-2.0 */
#include "exp.h"

/* 2^n for n in [-126, 127]. */
static float power_of_two(int32_t n) {
  const uint32_t bits = (uint32_t)(n + 127) << 23;
  float x;
  ERT_MEMMOVE(&x, &bits, sizeof x);
  return x;
}

/* x = n ln 2 + r, |r| <= ln 2 / 2; e^r by a minimax polynomial whose relative error is below 2^-28. */
float ert_exp(float x) {
  if (x != x) return x;
  const float bounded = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
  const int32_t n = (int32_t)(bounded * 1.44269504f + (bounded < 0 ? -0.5f : 0.5f));
  /* ln 2 in two parts, the first with few enough bits for n * part to be exact. */
  const float r = bounded - (float)n * 0.693359375f + (float)n * 2.12194440e-4f;
  const float q = 0.49999994f + r * (0.166665196f + r * (0.0416684002f + r * (0.00836885162f + r * 0.00138143206f)));
  const float p = 1.0f + (r + r * r * q);
  /* In two steps, as 2^n alone may be infinite or subnormal where p * 2^n is not. */
  const int32_t half = n / 2;
  return p * power_of_two(half) * power_of_two(n - half);
}

/* e^-|x| cannot overflow. */
float ert_logistic(float x) {
  const float e = ert_exp(x < 0 ? x : -x);
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

/* Near 0 a minimax polynomial in x^2 with relative error below 2^-25; farther away nothing cancels. */
float ert_tanh(float x) {
  const float magnitude = x < 0 ? -x : x, u = x * x;
  if (magnitude < 0.625f) {
    const float q =
        -0.333333292f + u * (0.133327945f + u * (-0.0538540691f + u * (0.0210100786f - u * 0.00611318793f)));
    return x + x * u * q;
  }
  const float t = 1.0f - 2.0f / (ert_exp(2.0f * magnitude) + 1.0f);
  return x < 0 ? -t : t;
}
