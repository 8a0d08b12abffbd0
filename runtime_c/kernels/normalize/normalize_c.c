/* SPDX-License-Identifier: Apache-2.0 */
#include "normalize/normalize.h"

enum { MOST_S8 = 1 << 20, MOST_S16 = 1 << 15, SUM_BLOCK = 64 }; /* items of a group; of one partial sum */

static int shape_ok(const ert_step *s, const ert_normalize_shape *g, int32_t size) {
  if (s->n_in != 1 || g->outer < 1 || g->groups < 1 || g->inner < 1) return 0;
  const int32_t n = ert_product(ert_product(g->outer, g->groups), g->inner);
  return ert_within(g->centred, 0, 1) && ert_within(g->per_channel, 0, 1) && ert_view_ok(s->in, n, size) &&
         ert_view_ok(s->out, n, size);
}

static int32_t factors(const ert_normalize_shape *g) { return g->per_channel ? g->groups * g->inner : 1; }

/* `square`: the largest d^2. The sums of a group then leave room for `fraction` in 62 bits. */
static int root_ok(const ert_normalize_shape *g, const ert_normalize_root *r, int32_t most, uint64_t square) {
  if (ert_product(g->outer, g->inner) > most) return 0;
  const uint64_t n = (uint64_t)g->outer * (uint64_t)g->inner;
  return ert_within(r->fraction, 0, 40) && r->fraction % 2 == 0 &&
         n * n * square <= (uint64_t)1 << (61 - r->fraction) && ert_within(r->epsilon_high, 0, (1 << 29) - 1);
}

static int gains_ok(const ert_step *s, const ert_normalize_shape *g, int32_t gain, int32_t offset, int32_t shift) {
  return ert_within(shift, 11, 40) && ert_blob_ok(s, gain, factors(g), 4) && ert_blob_ok(s, offset, factors(g), 4);
}

int ert_normalize_s8_check(const ert_step *s) {
  const ert_normalize_s8_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 1) && root_ok(&p->shape, &p->root, MOST_S8, 255 * 255) &&
         ert_within(p->in_zero_point, -128, 127) && ert_within(p->zero_point, -128, 127) &&
         gains_ok(s, &p->shape, p->gain, p->offset, p->shift);
}

int ert_normalize_s16_check(const ert_step *s) {
  const ert_normalize_s16_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 2) && root_ok(&p->shape, &p->root, MOST_S16, (uint64_t)1 << 30) &&
         gains_ok(s, &p->shape, p->gain, p->offset, p->shift);
}

int ert_normalize_f32_check(const ert_step *s) {
  const ert_normalize_f32_params *p = (const void *)s->params;
  return shape_ok(s, &p->shape, 4) && ert_blob_ok(s, p->scale, factors(&p->shape), 4) &&
         ert_blob_ok(s, p->shift, factors(&p->shape), 4);
}

/* 2^30 / sqrt(u / 2^32) for u in [2^30, 2^32). */
static int64_t inverse_root(int64_t u) {
  int64_t r = 2308544921 - (u * 1331439861 >> 32);
  for (int32_t i = 0; i < 4; i++) {
    const int64_t square = r * r >> 31;
    r = r * (((int64_t)3 << 29) - (square * u >> 32)) >> 30;
  }
  return r;
}

enum { PLACES_S8 = 20, PLACES_S16 = 24 };

static ert_normalizer normalizer_of(const ert_normalize_shape *g, const ert_normalize_root *r, int32_t places,
                                    int64_t s, uint64_t squares) {
  const int32_t n = g->outer * g->inner;
  const int64_t sum = g->centred ? s : 0;
  const uint64_t v = (uint64_t)n * squares - (uint64_t)(sum * sum);
  const uint64_t w = (v << r->fraction) + ((uint64_t)(uint32_t)r->epsilon_high << 32) + (uint32_t)r->epsilon_low;
  int32_t e = -32;
  while (e < 30 && (w >> (e + 32)) != 0) e += 2; /* now w < 2^(e + 32), and no less than a quarter of it */
  const uint64_t u = e >= 0 ? w >> e : w << -e;
  const int32_t right = 46 - places + e / 2 - r->fraction / 2;
  ert_normalizer z = {w ? inverse_root((int64_t)u) : 0, 0, sum, right < 1 ? 1 : right, n};
  z.half = (int64_t)1 << (z.right - 1);
  return z;
}

ert_normalizer ert_normalizer_s8(const ert_normalize_s8_params *p, int64_t sum, uint64_t squares) {
  return normalizer_of(&p->shape, &p->root, PLACES_S8, sum, squares);
}

/* The item normalised, scaled and shifted, in output steps. */
static int64_t normalized(const ert_normalizer *f, int32_t d, int32_t gain, int32_t offset, int32_t shift) {
  const int64_t z = (((int64_t)f->n * d - f->s) * f->factor + f->half) >> f->right;
  const int64_t sum = gain * z + offset * ((int64_t)1 << (shift - 10));
  return (sum + ((int64_t)1 << (shift - 1))) >> shift;
}

/* Sums of d and d^2 over a group that begins at x. */
static ert_normalizer measured_s8(const ert_normalize_s8_params *p, const int8_t *x) {
  const ert_normalize_shape *g = &p->shape;
  int64_t sum = 0;
  uint64_t squares = 0;
  for (int32_t o = 0; o < g->outer; o++, x += g->groups * g->inner)
    for (int32_t i = 0; i < g->inner; i++) {
      const int32_t d = x[i] - p->in_zero_point;
      sum += d;
      squares += (uint32_t)(d * d);
    }
  return ert_normalizer_s8(p, sum, squares);
}

static void group_s8(const ert_call *c, const ert_normalize_s8_params *p, int32_t q, const int8_t *x, int8_t *out) {
  const ert_normalize_shape *g = &p->shape;
  const int32_t *gain = ert_blob(c, p->gain), *offset = ert_blob(c, p->offset);
  const int32_t step = g->per_channel, first = q * g->inner * step, stride = g->groups * g->inner;
  const ert_normalizer f = measured_s8(p, x);
  for (int32_t o = 0; o < g->outer; o++, x += stride, out += stride)
    for (int32_t i = 0; i < g->inner; i++) {
      const int32_t k = first + i * step, d = x[i] - p->in_zero_point;
      const int64_t y = p->zero_point + normalized(&f, d, gain[k], offset[k], p->shift);
      out[i] = (int8_t)(y < -128 ? -128 : y > 127 ? 127 : y);
    }
}

void ert_normalize_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_normalize_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t q = 0; q < p->shape.groups; q++) group_s8(c, p, q, x + q * p->shape.inner, out + q * p->shape.inner);
  }
}

static ert_normalizer measured_s16(const ert_normalize_s16_params *p, const int16_t *x) {
  const ert_normalize_shape *g = &p->shape;
  int64_t sum = 0;
  uint64_t squares = 0;
  for (int32_t o = 0; o < g->outer; o++, x += g->groups * g->inner)
    for (int32_t i = 0; i < g->inner; i++) {
      sum += x[i];
      squares += (uint32_t)(x[i] * x[i]);
    }
  return normalizer_of(g, &p->root, PLACES_S16, sum, squares);
}

static void group_s16(const ert_call *c, const ert_normalize_s16_params *p, int32_t q, const int16_t *x, int16_t *out) {
  const ert_normalize_shape *g = &p->shape;
  const int32_t *gain = ert_blob(c, p->gain), *offset = ert_blob(c, p->offset);
  const int32_t step = g->per_channel, first = q * g->inner * step, stride = g->groups * g->inner;
  const ert_normalizer f = measured_s16(p, x);
  for (int32_t o = 0; o < g->outer; o++, x += stride, out += stride)
    for (int32_t i = 0; i < g->inner; i++) {
      const int32_t k = first + i * step;
      const int64_t y = normalized(&f, x[i], gain[k], offset[k], p->shift);
      out[i] = (int16_t)(y < -32768 ? -32768 : y > 32767 ? 32767 : y);
    }
}

void ert_normalize_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_normalize_s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *x = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t q = 0; q < p->shape.groups; q++) group_s16(c, p, q, x + q * p->shape.inner, out + q * p->shape.inner);
  }
}

/* An estimate from the exponent, and four Newton steps. */
float ert_inverse_root(float x) {
  if (!(x > 0)) return x == 0 ? 1.0f / x : x; /* infinity, NaN */
  if (x > 3.4028235e38f) return 0;
  const float scale = x < 1e-30f ? 1.8446744e19f : 1.0f; /* 2^64: subnormal numbers have no exponent */
  const float y = x * scale;
  uint32_t bits;
  ERT_MEMMOVE(&bits, &y, sizeof bits);
  bits = 0x5f3759dfu - (bits >> 1);
  float r;
  ERT_MEMMOVE(&r, &bits, sizeof r);
  for (int32_t i = 0; i < 4; i++) r += 0.5f * r * (1.0f - y * r * r);
  return scale > 1.0f ? r * 4.2949673e9f : r;
}

/* Sums of d and d^2 with d = x - centre. */
typedef struct {
  float sum, squares;
} moments;

static moments moments_of(const ert_normalize_shape *g, const float *x, float centre) {
  moments total = {0, 0}, part = {0, 0};
  int32_t held = 0;
  for (int32_t o = 0; o < g->outer; o++, x += g->groups * g->inner)
    for (int32_t i = 0; i < g->inner; i++) {
      const float d = x[i] - centre;
      part.sum += d, part.squares += d * d;
      if (++held < SUM_BLOCK) continue;
      total.sum += part.sum, total.squares += part.squares;
      part.sum = part.squares = 0, held = 0;
    }
  return (moments){total.sum + part.sum, total.squares + part.squares};
}

static void group_f32(const ert_call *c, const ert_normalize_f32_params *p, int32_t q, const float *x, float *out) {
  const ert_normalize_shape *g = &p->shape;
  const float *scale = ert_blob(c, p->scale), *shift = ert_blob(c, p->shift);
  const int32_t step = g->per_channel, first = q * g->inner * step, stride = g->groups * g->inner;
  const float share = 1.0f / ((float)g->outer * (float)g->inner);
  const float centre = g->centred ? moments_of(g, x, 0).sum * share : 0;
  const moments m = moments_of(g, x, centre);
  const float rest = g->centred ? m.sum * share : 0; /* what rounding left of the mean */
  const float variance = m.squares * share - rest * rest;
  const float factor = ert_inverse_root((variance < 0 ? 0 : variance) + p->epsilon);
  for (int32_t o = 0; o < g->outer; o++, x += stride, out += stride)
    for (int32_t i = 0; i < g->inner; i++)
      out[i] = (x[i] - centre - rest) * factor * scale[first + i * step] + shift[first + i * step];
}

void ert_normalize_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_normalize_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t q = 0; q < p->shape.groups; q++) group_f32(c, p, q, x + q * p->shape.inner, out + q * p->shape.inner);
  }
}
