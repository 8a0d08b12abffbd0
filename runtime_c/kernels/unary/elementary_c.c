/* SPDX-License-Identifier: Apache-2.0 */
#include "unary/elementary.h"
#include "exp.h"
#include "power.h"

#define HALF_PI 1.57079637f
#define WHOLE 8388608.0f /* from here on every float is an integer */

static int rows_ok(const ert_step *s, int32_t n) {
  return s->n_in == 1 && ert_view_ok(s->in, n, 4) && ert_view_ok(s->out, n, 4);
}

int ert_elementary_f32_check(const ert_step *s) {
  const ert_elementary_f32_params *p = (const void *)s->params;
  return ert_within(p->kind, ERT_ABS, ERT_EXPM1) && rows_ok(s, p->n);
}

int ert_power_f32_check(const ert_step *s) {
  const ert_power_f32_params *p = (const void *)s->params;
  return rows_ok(s, p->n);
}

static float absolute(float x) { return ert_float_of(ert_bits_of(x) & 0x7fffffffu); }
static float negated(float x) { return -x; }
static float square(float x) { return x * x; }
static float inverse_root(float x) { return 1.0f / ert_sqrt(x); }
static float reciprocal(float x) { return 1.0f / x; }
static float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : x; }

/* x with the sign of y; x is not negative. */
static float signed_as(float x, float y) { return ert_bits_of(y) >> 31 ? -x : x; }

static float floor_of(float x) {
  if (!(absolute(x) < WHOLE)) return x;
  const float whole = (float)(int32_t)x;
  return whole > x ? whole - 1.0f : whole;
}

static float ceil_of(float x) { return -floor_of(-x); }

static float round_of(float x) {
  const float low = floor_of(x), rest = x - low;
  if (!(absolute(x) < WHOLE) || rest < 0.5f) return low;
  return rest > 0.5f || ((int32_t)low & 1) ? low + 1.0f : low;
}

/* The bits of 2 / pi after the binary point, behind 32 zeros. */
static const uint32_t two_over_pi[8] = {0,           0xa2f9836eu, 0x4e441529u, 0xfc2757d1u,
                                        0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu};

static uint32_t bits_at(int32_t word, int32_t shift) {
  return shift ? (two_over_pi[word] << shift) | (two_over_pi[word + 1] >> (32 - shift)) : two_over_pi[word];
}

/* x = (4 m + quadrant) pi / 2 + result, |result| <= pi / 4: x / (2 pi) modulo 1 from 96 bits of 2 / pi, of which those
 * that give whole turns are left out. Exact enough for every float: the nearest to a multiple of pi / 2 is 2^-30 away.
 * |x| is finite and at least pi / 4. */
static float reduced(float x, int32_t *quadrant) {
  const uint32_t bits = ert_bits_of(x);
  const uint64_t m = (bits & 0x7fffffu) | 0x800000u;
  const int32_t at = (int32_t)((bits >> 23) & 255) - 150 - 2 + 32, word = at >> 5, shift = at & 31;
  const uint64_t low = m * bits_at(word + 2, shift), middle = m * bits_at(word + 1, shift) + (low >> 32);
  const uint64_t turn = ((m * bits_at(word, shift) + (middle >> 32)) << 32) | (middle & 0xffffffffu);
  const uint64_t nearest = (turn + ((uint64_t)1 << 61)) >> 62;
  const uint64_t rest = turn - (nearest << 62);
  *quadrant = (int32_t)nearest;
  const int below = (int)(rest >> 63);
  const float r = (float)(below ? 0 - rest : rest) * 3.40612144e-19f; /* pi / 2 * 2^-62 */
  if (bits >> 31) *quadrant = -*quadrant;
  return below == (int)(bits >> 31) ? r : -r;
}

static int is_finite(float x) { return x - x == 0.0f; }

/* Both by minimax polynomials on [-pi / 4, pi / 4], then turned by the quadrant. */
ert_wave ert_wave_of(float x) {
  if (!is_finite(x)) return (ert_wave){x - x, x - x};
  int32_t quadrant = 0;
  const float r = absolute(x) < 0.785398f ? x : reduced(x, &quadrant), z = r * r;
  const float s = r + r * z * (-0.16666655f + z * (0.008332178f + z * -0.000195173f));
  const float c = 1.0f - 0.5f * z + z * z * (0.041666646f + z * (-0.0013887316f + z * 2.4433157e-05f));
  switch (quadrant & 3) {
    case 0:
      return (ert_wave){s, c};
    case 1:
      return (ert_wave){c, -s};
    case 2:
      return (ert_wave){-s, -c};
    default:
      return (ert_wave){-c, s};
  }
}

static float sin_of(float x) { return ert_wave_of(x).sine; }
static float cos_of(float x) { return ert_wave_of(x).cosine; }

static float tan_of(float x) {
  const ert_wave w = ert_wave_of(x);
  return w.sine / w.cosine;
}

/* By a minimax polynomial on [0, tan(pi / 8)]; larger arguments are turned by pi / 4 or pi / 2. */
static float atan_of(float x) {
  float t = absolute(x), turn = 0.0f;
  if (t > 2.41421356f) {
    turn = HALF_PI;
    t = -1.0f / t;
  } else if (t > 0.414213562f) {
    turn = HALF_PI / 2;
    t = (t - 1.0f) / (t + 1.0f);
  }
  const float z = t * t;
  const float p = -0.33333316f + z * (0.1999849f + z * (-0.14243849f + z * (0.10596002f + z * -0.060834534f)));
  return signed_as(turn + (t + t * z * p), x);
}

/* asin of t in [0, 1/2], less t */
static float asin_rest(float t) {
  const float z = t * t;
  const float p = 0.04451572f + z * (0.031817615f + z * (0.014402597f + z * 0.037565213f));
  return t * z * (0.1666666f + z * (0.07500511f + z * p));
}

/* asin(t) = pi / 2 - 2 asin(sqrt((1 - t) / 2)) */
static float asin_of(float x) {
  const float t = absolute(x);
  if (!(t > 0.5f)) return x + signed_as(asin_rest(t), x);
  const float root = ert_sqrt(0.5f * (1.0f - t));
  return signed_as(HALF_PI - 2.0f * (root + asin_rest(root)), x);
}

static float acos_of(float x) {
  const float t = absolute(x);
  if (!(t > 0.5f)) return HALF_PI - (x - 4.37113883e-8f + signed_as(asin_rest(t), x));
  const float root = ert_sqrt(0.5f * (1.0f - t)), angle = 2.0f * (root + asin_rest(root));
  return x > 0 ? angle : 2.0f * HALF_PI - angle;
}

/* Above 1 nothing cancels; half of e^x is made in two steps where e^x would overflow. */
static float sinh_of(float x) {
  const float t = absolute(x), z = t * t;
  if (t < 1.0f) return x + x * z * (0.16666667f + z * (0.0083333505f + z * (0.00019836066f + z * 2.8174395e-06f)));
  const float half = ert_exp(0.5f * t), e = 0.5f * half * half;
  return signed_as(e - 0.25f / e, x);
}

static float cosh_of(float x) {
  const float half = ert_exp(0.5f * absolute(x)), e = 0.5f * half * half;
  return e + 0.25f / e;
}

/* What 1 + x loses of x is put back to first order. */
static float log1p_of(float x) {
  const float u = 1.0f + x;
  if (!is_finite(u) || u <= 0.0f) return ert_log(u);
  return ert_log(u) + (x - (u - 1.0f)) / u;
}

/* The error of u = e^x in u - 1 and in ln u is the same. */
static float expm1_of(float x) {
  const float u = ert_exp(x);
  if (u == 1.0f) return x;
  if (!is_finite(u) || u - 1.0f == -1.0f) return u - 1.0f;
  return (u - 1.0f) * (x / ert_log(u));
}

static float asinh_of(float x) {
  const float t = absolute(x);
  if (t > 1e18f) return signed_as(ert_log(t) + 0.693147182f, x);
  const float z = t * t;
  return signed_as(log1p_of(t + z / (1.0f + ert_sqrt(z + 1.0f))), x);
}

static float acosh_of(float x) {
  if (x > 1e18f) return ert_log(x) + 0.693147182f;
  const float t = x - 1.0f;
  return t < 0.0f ? ert_log(t) : log1p_of(t + ert_sqrt(t * (t + 2.0f)));
}

static float atanh_of(float x) {
  const float t = absolute(x);
  return signed_as(0.5f * log1p_of(2.0f * t / (1.0f - t)), x);
}

static float softsign(float x) { return absolute(x) < 1e30f ? x / (1.0f + absolute(x)) : sign(x); }

static float thresholded(const ert_elementary_f32_params *p, float x) { return x > p->a || x != x ? x : 0.0f; }

static float shrunk(const ert_elementary_f32_params *p, float x) {
  return x < -p->a ? x + p->b : x > p->a ? x - p->b : x != x ? x : 0.0f;
}

static float celu(const ert_elementary_f32_params *p, float x) { return x > 0 ? x : p->a * expm1_of(x / p->a); }

typedef float function(float x);

static function *const functions[] = {absolute, negated,  square,  ert_sqrt, inverse_root, reciprocal,
                                      ert_exp,  ert_log,  sin_of,  cos_of,   tan_of,       asin_of,
                                      acos_of,  atan_of,  sinh_of, cosh_of,  asinh_of,     acosh_of,
                                      atanh_of, floor_of, ceil_of, round_of, sign,         softsign,
                                      0,        0,        0,       log1p_of, expm1_of};

static float apply(const ert_elementary_f32_params *p, float x) {
  switch (p->kind) {
    case ERT_THRESHOLDED_RELU:
      return thresholded(p, x);
    case ERT_SHRINK:
      return shrunk(p, x);
    case ERT_CELU:
      return celu(p, x);
    default:
      return functions[p->kind - ERT_ABS](x);
  }
}

void ert_elementary_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_elementary_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = apply(p, in[k]);
  }
}

void ert_power_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_power_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = ert_pow(in[k], p->a);
  }
}
