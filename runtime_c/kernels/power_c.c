/* SPDX-License-Identifier: Apache-2.0 */
#include "power.h"

#define LEAST_NORMAL 1.17549435e-38f
#define LARGEST 3.40282347e38f
#define NOT_A_NUMBER ert_float_of(0x7fc00000u)
#define INFINITE ert_float_of(0x7f800000u)

/* 1 / sqrt(x) by Newton's iteration from the halved exponent; then one step for the root itself. */
float ert_sqrt(float x) {
  if (!(x > 0.0f)) return x == 0.0f ? x : NOT_A_NUMBER;
  if (x > LARGEST) return x;
  const float unit = x < LEAST_NORMAL ? 16777216.0f : 1.0f;
  x *= unit * unit;
  float y = ert_float_of(0x5f375a86u - (ert_bits_of(x) >> 1));
  for (int i = 0; i < 3; i++) y *= 1.5f - 0.5f * x * y * y;
  const float root = x * y;
  return (root + 0.5f * y * (x - root * root)) / unit;
}

/* x = m 2^e, m in [sqrt(1/2), sqrt(2)); ln m by a minimax polynomial in f = m - 1 with relative error below 2^-28. */
float ert_log(float x) {
  if (!(x > 0.0f)) return x == 0.0f ? -INFINITE : NOT_A_NUMBER;
  if (x > LARGEST) return x;
  const int tiny = x < LEAST_NORMAL;
  const uint32_t bits = ert_bits_of(tiny ? x * 16777216.0f : x);
  int32_t e = (int32_t)(bits >> 23) - (tiny ? 151 : 127);
  float m = ert_float_of((bits & 0x7fffffu) | 0x3f800000u);
  if (m > 1.41421356f) {
    m *= 0.5f;
    e++;
  }
  const float f = m - 1.0f, f2 = f * f, n = (float)e;
  float p = -0.11675652f + f * 0.0674664f;
  p = -0.16667996f + f * (0.14219552f + f * (-0.12405589f + f * (0.11888162f + f * p)));
  p = 0.33333313f + f * (-0.2500001f + f * (0.20002119f + f * p));
  /* ln 2 in two parts, the first with few enough bits for e * part to be exact. */
  const float small = f * f2 * p - n * 2.12194440e-4f - 0.5f * f2;
  return f + small + n * 0.693359375f;
}

/* log2 x for x > 0 with an absolute error below 2^-36; float64, as a power multiplies it. */
static double log2_of(float x) {
  double m = x;
  uint64_t bits;
  ERT_MEMMOVE(&bits, &m, sizeof bits);
  int32_t e = (int32_t)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffu) | 0x3ff0000000000000u;
  ERT_MEMMOVE(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    e++;
  }
  const double s = (m - 1.0) / (m + 1.0), z = s * s;
  const double p = 1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13)));
  return e + s * 2.8853900817779268 * (1.0 + z * (1.0 / 3 + z * (1.0 / 5 + z * p)));
}

/* 2^t, the fraction's power by its series, whose remainder is below 2^-33. */
static float exp2_of(double t) {
  if (t >= 128.0) return INFINITE;
  if (t < -151.0) return 0.0f;
  const int32_t n = (int32_t)(t + (t < 0 ? -0.5 : 0.5));
  const double u = (t - n) * 0.6931471805599453;
  double p = 1.0;
  for (int32_t k = 8; k > 0; k--) p = 1.0 + p * u * (1.0 / k);
  const uint64_t bits = (uint64_t)(n + 1023) << 52;
  double power;
  ERT_MEMMOVE(&power, &bits, sizeof power);
  return (float)(p * power);
}

/* 0 where y is no integer, 1 where it is an odd one, 2 an even one. */
static int parity(float y) {
  if (y >= 16777216.0f || y <= -16777216.0f) return 2;
  const int32_t whole = (int32_t)y;
  return (float)whole != y ? 0 : whole & 1 ? 1 : 2;
}

/* x^y for x >= 0 */
static float magnitude_of(float x, float y) {
  if (x == 1.0f) return 1.0f;
  if (x == 0.0f || x > LARGEST) return (x == 0.0f) == (y > 0) ? 0.0f : INFINITE;
  return exp2_of(log2_of(x) * (double)y);
}

float ert_pow(float x, float y) {
  if (y == 0.0f || x == 1.0f) return 1.0f;
  if (x != x || y != y) return x + y;
  const int negative = (int)(ert_bits_of(x) >> 31), whole = parity(y);
  if (negative && x > -INFINITE && x < 0.0f && whole == 0) return NOT_A_NUMBER;
  const float power = magnitude_of(negative ? -x : x, y);
  return negative && whole == 1 ? -power : power;
}
