/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, products, minima, maxima, quotients and PReLU of int8 on vectors: the formulas of binary_c.c and arith_c.c. */
#ifndef ERT_BINARY_BYTES_H
#define ERT_BINARY_BYTES_H

#include "binary/arith.h"
#include "binary/walk.h"
#include "bytes.h"
#include "reciprocal.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

ERT_WALK_RUNS(ert_b_walk, int8_t)

/* `some` items from i on, or one that stands for all. */
ERT_INLINE ert_b ert_b_items(const int8_t *x, int32_t step, int32_t i, int32_t some) {
  return step ? ert_b_load_some(x + i, some, 0) : ert_b_all(*x);
}

ERT_INLINE void ert_b_differences(ert_b x, int32_t zero_point, ert_w *w) {
  ert_b_words(x, w);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) w[k] = w[k] - zero_point;
}

/* x * multiplier / 2^(32 + shift), rounded half up, then half away from zero. x is even: so are all factors of a sum. */
ERT_INLINE ert_w ert_b_rescaled(ert_w x, const ert_scale *s) {
  const ert_w high = ert_w_high(x >> 1, ert_w_all(s->multiplier));
  const ert_w half = ert_w_all((int32_t)((uint32_t)1 << (s->shift - 1)));
  return ert_w_add(ert_w_add(high, half), high >> 31) >> s->shift;
}

ERT_INLINE void ert_b_add_block(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t i,
                                int32_t some) {
  const ert_add_s8s8_params *p = (const void *)g;
  const ert_w a_factor = ert_w_all(p->a_factor), b_factor = ert_w_all(p->b_factor), b_gain = ert_w_all(p->b_gain);
  ert_w x[ERT_WORDS], y[ERT_WORDS];
  ert_b_differences(ert_b_items(a, g->a_item, i, some), p->a_zero_point, x);
  ert_b_differences(ert_b_items(b, g->b_item, i, some), p->b_zero_point, y);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const ert_w small = ert_w_mul(ert_b_rescaled(ert_w_mul(y[k], b_gain), &p->b_scale), b_factor);
    x[k] = ert_b_rescaled(ert_w_add(ert_w_mul(x[k], a_factor), small), &p->scale);
  }
  ert_b_store_some(out + i, ert_b_clamp(ert_b_of_sums(x, p->zero_point), p->min, p->max), some);
}

static void ert_b_add_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  ERT_EACH_SIXTEEN(n, ert_b_add_block(g, a, b, out, i, some));
}

ERT_INLINE void ert_b_mul_block(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t i,
                                int32_t some) {
  const ert_mul_s8s8_params *p = (const void *)g;
  ert_w x[ERT_WORDS], y[ERT_WORDS];
  ert_b_differences(ert_b_items(a, g->a_item, i, some), p->a_zero_point, x);
  ert_b_differences(ert_b_items(b, g->b_item, i, some), p->b_zero_point, y);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) x[k] = ert_w_requantize(x[k] * y[k], p->multiplier, p->shift);
  ert_b_store_some(out + i, ert_b_clamp(ert_b_of_sums(x, p->zero_point), p->min, p->max), some);
}

static void ert_b_mul_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  ERT_EACH_SIXTEEN(n, ert_b_mul_block(g, a, b, out, i, some));
}

ERT_INLINE void ert_b_minmax_block(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t i,
                                   int32_t some) {
  const int smallest = ((const ert_minmax_s8s8_params *)(const void *)g)->sign > 0;
  const ert_b x = ert_b_items(a, g->a_item, i, some), y = ert_b_items(b, g->b_item, i, some);
  ert_b_store_some(out + i, smallest ? ert_b_min(x, y) : ert_b_max(x, y), some);
}

static void ert_b_minmax_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  ERT_EACH_SIXTEEN(n, ert_b_minmax_block(g, a, b, out, i, some));
}

ERT_INLINE void ert_b_prelu_block(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t i,
                                  int32_t some) {
  const ert_prelu_s8s8_params *p = (const void *)g;
  const ert_left_scale whole = p->scale, slope = p->slope_scale;
  ert_w x[ERT_WORDS], y[ERT_WORDS];
  ert_b_differences(ert_b_items(a, g->a_item, i, some), p->a_zero_point, x);
  ert_b_differences(ert_b_items(b, g->b_item, i, some), p->b_zero_point, y);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const ert_w below = ert_w_requantize(x[k] * y[k], slope.multiplier, slope.shift);
    x[k] = ert_w_choose((ert_w)(x[k] < 0), below, ert_w_requantize(x[k], whole.multiplier, whole.shift));
  }
  ert_b_store_some(out + i, ert_b_of_sums(x, p->zero_point), some);
}

static void ert_b_prelu_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  ERT_EACH_SIXTEEN(n, ert_b_prelu_block(g, a, b, out, i, some));
}

/* Bits of x up to its highest one, for x from 0 to 2^24: the exponent of it as a float. */
ERT_INLINE ert_w ert_w_bits_of(ert_w x) {
  const ert_w exponent = (ert_w) __builtin_convertvector(x, ert_wf) >> 23;
  return (exponent - 126) & (ert_w)(x != 0);
}

ERT_INLINE ert_w ert_w_saturate_left(ert_w x, int32_t n) {
  const int32_t limit = INT32_MAX >> n;
  const ert_w most = ert_w_all(INT32_MAX), least = ert_w_all(INT32_MIN), up = (ert_w)((ert_wu)x << (uint32_t)n);
  return ert_w_choose((ert_w)(x > limit), most, ert_w_choose((ert_w)(x < -limit - 1), least, up));
}

/* ert_reciprocal */
ERT_INLINE ert_w ert_w_reciprocal(ert_w x) {
  const ert_w d = (ert_w)((ert_wu)x >> 1);
  ert_w q = ert_w_add(ert_w_all(1515870810), ert_w_high(d, ert_w_all(-1010580540)));
  for (int i = 0; i < 3; i++) {
    const ert_w rest = ert_w_sub(ert_w_all(1 << 29), ert_w_high(d, q));
    q = ert_w_add(q, ert_w_saturate_left(ert_w_high(q, rest), 2));
  }
  return ert_w_saturate_left(q, 1);
}

/* What the divisors make of any dividend: the sign, 31 bits of 1 / |b|, and how far its product is shifted to the right. */
typedef struct {
  ert_w sign, none, inverse, right;
} ert_b_divisor;

ERT_INLINE ert_b_divisor ert_b_divisor_of(const ert_div_s8s8_params *p, ert_w b) {
  const ert_w sign = b >> 31, below = (b ^ sign) - sign, bits = ert_w_bits_of(below);
  const ert_w inverse = ert_w_reciprocal((ert_w)((ert_wu)below << (ert_wu)((32 - bits) & 31)));
  return (ert_b_divisor){sign, (ert_w)(b == 0), inverse, bits - 1 - p->shift};
}

/* ratio_of: where a or b is 0, 256 stands for what is beyond every int8. */
ERT_INLINE ert_w ert_b_ratio(const ert_div_s8s8_params *p, ert_w a, const ert_b_divisor *d) {
  const ert_w top = (a ^ d->sign) - d->sign, magnitude = top ^ (top >> 31), headroom = 31 - ert_w_bits_of(magnitude);
  const ert_w right = d->right + headroom, within = (ert_w)(right <= 31), shift = right & within;
  const ert_w unscaled = ert_w_high((ert_w)((ert_wu)top << (ert_wu)(headroom & 31)), d->inverse);
  const ert_w high = ert_w_high(unscaled, ert_w_all(p->multiplier)), some = (ert_w)(shift != 0);
  const ert_w halves = ert_w_add(high, high >> 31) >> ((shift - 1) & 31);
  const ert_w ratio = ert_w_choose(some, ert_w_add(halves, ert_w_all(1)) >> 1, high) & within;
  const ert_w beyond = ert_w_choose((ert_w)(a > 0), ert_w_all(256), (ert_w)(a < 0) & -256);
  return ert_w_choose(d->none | (ert_w)(a == 0), beyond, ratio);
}

/* Divisors one by one, or a single one. */
ERT_INLINE void ert_b_div_block(const ert_div_s8s8_params *p, const int8_t *a, const int8_t *b,
                                const ert_b_divisor *one, int8_t *out, int32_t i, int32_t some) {
  ert_w x[ERT_WORDS], y[ERT_WORDS];
  ert_b_differences(ert_b_items(a, p->shape.a_item, i, some), p->a_zero_point, x);
  ert_b_differences(ert_b_items(b, !one, i, some), p->b_zero_point, y);
  ERT_UNROLLED
  for (int k = 0; k < ERT_WORDS; k++) {
    const ert_b_divisor d = one ? *one : ert_b_divisor_of(p, y[k]);
    x[k] = ert_b_ratio(p, x[k], &d);
  }
  ert_b_store_some(out + i, ert_b_clamp(ert_b_of_sums(x, p->zero_point), p->min, p->max), some);
}

static void ert_b_div_items(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  const ert_div_s8s8_params *p = (const void *)g;
  const ert_b_divisor one = ert_b_divisor_of(p, ert_w_all(*b - p->b_zero_point));
  if (g->b_item) ERT_EACH_SIXTEEN(n, ert_b_div_block(p, a, b, NULL, out, i, some));
  else ERT_EACH_SIXTEEN(n, ert_b_div_block(p, a, b, &one, out, i, some));
}

ERT_INLINE void ert_b_add_rows(const ert_call *c, int32_t y0, int32_t y1) { ert_b_walk(c, y0, y1, ert_b_add_items); }

ERT_INLINE void ert_b_prelu_rows(const ert_call *c, int32_t y0, int32_t y1) {
  ert_b_walk(c, y0, y1, ert_b_prelu_items);
}

ERT_INLINE void ert_b_mul_rows(const ert_call *c, int32_t y0, int32_t y1) { ert_b_walk(c, y0, y1, ert_b_mul_items); }

ERT_INLINE void ert_b_minmax_rows(const ert_call *c, int32_t y0, int32_t y1) {
  ert_b_walk(c, y0, y1, ert_b_minmax_items);
}

ERT_INLINE void ert_b_div_rows(const ert_call *c, int32_t y0, int32_t y1) { ert_b_walk(c, y0, y1, ert_b_div_items); }

ERT_END_LANES

#endif

#endif
