/* SPDX-License-Identifier: Apache-2.0 */
#include "binary/arith.h"
#include "binary/walk.h"
#include "power.h"
#include "reciprocal.h"

int ert_arith_f32_check(const ert_step *s) {
  const int32_t kind = ((const ert_arith_f32_params *)(const void *)s->params)->kind;
  return ert_binary_ok(s, 4) && ert_within(kind, ERT_ARITH_SQUARED_DIFFERENCE, ERT_ARITH_PRELU) &&
         !ert_within(kind, ERT_ARITH_MINIMUM, ERT_ARITH_MAXIMUM);
}

int ert_arith_s32_check(const ert_step *s) {
  const int32_t kind = ((const ert_arith_s32_params *)(const void *)s->params)->kind;
  return ert_binary_ok(s, 4) && ert_within(kind, ERT_ARITH_ADD, ERT_ARITH_MAXIMUM);
}

int ert_arith_s64_check(const ert_step *s) {
  const int32_t kind = ((const ert_arith_s64_params *)(const void *)s->params)->kind;
  return ert_binary_ok(s, 8) && ert_within(kind, ERT_ARITH_ADD, ERT_ARITH_MAXIMUM);
}

int ert_pow_f32_check(const ert_step *s) { return ert_binary_ok(s, 4); }

static int scale_ok(const ert_left_scale *s) { return ert_within(s->shift, -31, 31); }

int ert_div_s8s8_check(const ert_step *s) {
  const ert_div_s8s8_params *p = (const void *)s->params;
  return ert_binary_ok(s, 1) && ert_is_int8(p->a_zero_point) && ert_is_int8(p->b_zero_point) &&
         ert_is_int8(p->zero_point) && ert_is_int8(p->min) && ert_is_int8(p->max) && ert_within(p->shift, -31, 22);
}

int ert_squared_difference_s8s8_check(const ert_step *s) {
  const ert_squared_difference_s8s8_params *p = (const void *)s->params;
  return ert_binary_ok(s, 1) && ert_is_int8(p->a_zero_point) && ert_is_int8(p->b_zero_point) &&
         ert_is_int8(p->zero_point) && scale_ok(&p->a_scale) && scale_ok(&p->b_scale) && scale_ok(&p->scale);
}

int ert_prelu_s8s8_check(const ert_step *s) {
  const ert_prelu_s8s8_params *p = (const void *)s->params;
  return ert_binary_ok(s, 1) && ert_is_int8(p->a_zero_point) && ert_is_int8(p->b_zero_point) &&
         ert_is_int8(p->zero_point) && scale_ok(&p->scale) && scale_ok(&p->slope_scale);
}

int ert_squared_difference_s16s16_check(const ert_step *s) {
  const ert_squared_difference_s16s16_params *p = (const void *)s->params;
  return ert_binary_ok(s, 2) && scale_ok(&p->a_scale) && scale_ok(&p->b_scale) && scale_ok(&p->scale);
}

int ert_prelu_s16s16_check(const ert_step *s) {
  const ert_prelu_s16s16_params *p = (const void *)s->params;
  return ert_binary_ok(s, 2) && scale_ok(&p->scale) && scale_ok(&p->slope_scale);
}

/* |x| = mantissa * 2^(exponent - 150), the mantissa of 24 bits for x that are not 0. */
typedef struct {
  uint32_t mantissa;
  int32_t exponent;
} parts;

static parts parts_of(float x) {
  const uint32_t bits = ert_bits_of(x), fraction = bits & 0x7fffffu;
  parts p = {fraction | 0x800000u, (int32_t)((bits >> 23) & 255)};
  if (p.exponent == 0) p = (parts){fraction, 1};
  for (; p.mantissa < 0x800000u; p.exponent--) p.mantissa <<= 1;
  return p;
}

/* Half of the power at a time, as 2^n alone may be subnormal. */
static float power_of_two(int32_t n) {
  return ert_float_of((uint32_t)(n / 2 + 127) << 23) * ert_float_of((uint32_t)(n - n / 2 + 127) << 23);
}

/* What a leaves of whole b towards zero, exactly: a long division of the mantissas, bit by bit. */
static float fmod_of(float a, float b) {
  if (a - a != 0.0f || b == 0.0f || b != b) return ert_float_of(0x7fc00000u);
  if (b - b != 0.0f || a == 0.0f) return a;
  parts p = parts_of(a);
  const parts q = parts_of(b);
  if (p.exponent < q.exponent) return a;
  for (; p.exponent > q.exponent; p.exponent--) {
    if (p.mantissa >= q.mantissa) p.mantissa -= q.mantissa;
    p.mantissa <<= 1;
  }
  if (p.mantissa >= q.mantissa) p.mantissa -= q.mantissa;
  const int32_t n = q.exponent - 150;
  const float whole =
      n < -126 ? (float)p.mantissa * power_of_two(-64) * power_of_two(n + 64) : (float)p.mantissa * power_of_two(n);
  return a < 0 ? -whole : whole;
}

static float floor_mod_of(float a, float b) {
  const float rest = fmod_of(a, b);
  return rest != 0.0f && (rest < 0) != (b < 0) ? rest + b : rest;
}

/* a less its remainder is a multiple of b: the quotient is a whole number but for its rounding. */
static float floor_div_of(float a, float b) {
  const float ratio = a / b, rest = floor_mod_of(a, b);
  if (!(ratio < 4194304.0f && ratio > -4194304.0f) || rest - rest != 0.0f) return ratio;
  const float whole = (a - rest) / b;
  return (float)(int32_t)(whole + (whole < 0 ? -0.5f : 0.5f));
}

static float arith_of(int32_t kind, float a, float b) {
  switch (kind) {
    case ERT_ARITH_SQUARED_DIFFERENCE:
      return (a - b) * (a - b);
    case ERT_ARITH_DIV:
      return a / b;
    case ERT_ARITH_FLOOR_DIV:
      return floor_div_of(a, b);
    case ERT_ARITH_FLOOR_MOD:
      return floor_mod_of(a, b);
    case ERT_ARITH_FMOD:
      return fmod_of(a, b);
    default:
      return a >= 0 ? a : a * b;
  }
}

static void arith_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_arith_f32_params *p = (const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const float x = arith_of(p->kind, a[k * g->a_item], b[k * g->b_item]);
    out[k] = x < p->min ? p->min : x > p->max ? p->max : x;
  }
}

static void pow_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const float *a = va, *b = vb;
  float *out = vout;
  for (int32_t k = 0; k < g->c; k++) out[k] = ert_pow(a[k * g->a_item], b[k * g->b_item]);
}

/* a / b towards zero; the division wraps where it overflows. */
static int64_t quotient(int64_t a, int64_t b) {
  if (b == 0) return 0;
  return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t remainder_of(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }

/* Whether the quotient towards zero lies above the true one. */
static int lies_above(int64_t a, int64_t b) {
  const int64_t rest = remainder_of(a, b);
  return rest != 0 && (rest < 0) != (b < 0);
}

/* Sums and products are those of unsigned words: they wrap, at 32 bits as at 64. */
static int64_t integer_of(int32_t kind, int64_t a, int64_t b) {
  const uint64_t u = (uint64_t)a, v = (uint64_t)b;
  switch (kind) {
    case ERT_ARITH_ADD:
      return (int64_t)(u + v);
    case ERT_ARITH_SUB:
      return (int64_t)(u - v);
    case ERT_ARITH_MUL:
      return (int64_t)(u * v);
    case ERT_ARITH_SQUARED_DIFFERENCE:
      return (int64_t)((u - v) * (u - v));
    case ERT_ARITH_DIV:
      return quotient(a, b);
    case ERT_ARITH_FLOOR_DIV:
      return quotient(a, b) - lies_above(a, b);
    case ERT_ARITH_FLOOR_MOD:
      return remainder_of(a, b) + (lies_above(a, b) ? b : 0);
    case ERT_ARITH_FMOD:
      return remainder_of(a, b);
    case ERT_ARITH_MINIMUM:
      return a < b ? a : b;
    default:
      return a > b ? a : b;
  }
}

static void arith_s32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_arith_s32_params *p = (const void *)g;
  const int32_t *a = va, *b = vb;
  int32_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const int64_t wide = integer_of(p->kind, a[k * g->a_item], b[k * g->b_item]);
    out[k] = ert_clamp((int32_t)(uint32_t)(uint64_t)wide, p->min, p->max);
  }
}

static void arith_s64(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_arith_s64_params *p = (const void *)g;
  const int64_t *a = va, *b = vb;
  int64_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) out[k] = integer_of(p->kind, a[k * g->a_item], b[k * g->b_item]);
}

/* x / 2^shift, halves away from zero; shift from 0 to 31 */
static int32_t rounding_shift(int32_t x, int32_t shift) {
  const int64_t half = shift ? (int64_t)1 << (shift - 1) : 0;
  return (int32_t)(x < 0 ? -((half - x) >> shift) : (half + x) >> shift);
}

/* Bits below the sign that repeat it. */
static int32_t headroom_of(int32_t x) {
  int32_t n = 31;
  for (uint32_t magnitude = (uint32_t)(x < 0 ? ~x : x); magnitude; magnitude >>= 1) n--;
  return n;
}

static int32_t ratio_of(const ert_div_s8s8_params *p, int32_t a, int32_t b) {
  if (a == 0 || b == 0) return a > 0 ? 256 : a < 0 ? -256 : 0; /* 256: beyond every int8 */
  const int32_t top = b < 0 ? -a : a;
  const uint32_t below = (uint32_t)(b < 0 ? -b : b);
  const int32_t zeros = ert_leading_zeros(below);
  const int32_t headroom = headroom_of(top);
  const int32_t shift = p->shift - (31 - zeros) - headroom;
  if (shift < -31) return 0;
  const int32_t unscaled = ert_high_product((int32_t)((uint32_t)top << headroom), ert_reciprocal(below << zeros));
  return rounding_shift(ert_high_product(unscaled, p->multiplier), -shift);
}

static void div_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_div_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const int32_t ratio = ratio_of(p, a[k * g->a_item] - p->a_zero_point, b[k * g->b_item] - p->b_zero_point);
    out[k] = (int8_t)ert_clamp(ert_clamp(ratio, -256, 256) + p->zero_point, p->min, p->max);
  }
}

static int8_t shifted_s8(int32_t x, int32_t zero_point) {
  return (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)zero_point), -128, 127);
}

static int32_t scaled(int32_t x, const ert_left_scale *s) { return ert_requantize(x, s->multiplier, s->shift); }

static void squared_difference_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_squared_difference_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const int32_t x = scaled((a[k * g->a_item] - p->a_zero_point) * 128, &p->a_scale);
    const int32_t y = scaled((b[k * g->b_item] - p->b_zero_point) * 128, &p->b_scale);
    const uint32_t d = (uint32_t)x - (uint32_t)y;
    out[k] = shifted_s8(scaled((int32_t)(d * d), &p->scale), p->zero_point);
  }
}

static void prelu_s8(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_prelu_s8s8_params *p = (const void *)g;
  const int8_t *a = va, *b = vb;
  int8_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const int32_t x = a[k * g->a_item] - p->a_zero_point, slope = b[k * g->b_item] - p->b_zero_point;
    out[k] = shifted_s8(x >= 0 ? scaled(x, &p->scale) : scaled(x * slope, &p->slope_scale), p->zero_point);
  }
}

static void squared_difference_s16(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_squared_difference_s16s16_params *p = (const void *)g;
  const int16_t *a = va, *b = vb;
  int16_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const uint32_t d =
        (uint32_t)scaled(a[k * g->a_item], &p->a_scale) - (uint32_t)scaled(b[k * g->b_item], &p->b_scale);
    out[k] = (int16_t)ert_clamp(scaled((int32_t)(d * d), &p->scale), -32768, 32767);
  }
}

static void prelu_s16(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_prelu_s16s16_params *p = (const void *)g;
  const int16_t *a = va, *b = vb;
  int16_t *out = vout;
  for (int32_t k = 0; k < g->c; k++) {
    const int32_t x = a[k * g->a_item];
    const int32_t y = x >= 0 ? scaled(x, &p->scale) : scaled(x * b[k * g->b_item], &p->slope_scale);
    out[k] = (int16_t)ert_clamp(y, -32768, 32767);
  }
}

void ert_arith_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, arith_f32); }
void ert_arith_s32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, arith_s32); }
void ert_arith_s64_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 8, arith_s64); }
void ert_pow_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, pow_f32); }
void ert_div_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, div_s8); }
void ert_squared_difference_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  ert_walk(c, y0, y1, 1, squared_difference_s8);
}
void ert_prelu_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, prelu_s8); }
void ert_squared_difference_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  ert_walk(c, y0, y1, 2, squared_difference_s16);
}
void ert_prelu_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 2, prelu_s16); }
