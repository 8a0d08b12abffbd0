/* SPDX-License-Identifier: Apache-2.0 */
#include "softmax/softmax.h"
#include "exp.h"
#include "lookup.h"
#include "reciprocal.h"
#include "requantize.h"

enum { MAX_ITEMS = 4095 }; /* as many exps as sum up below 2^12 */

static int rows_ok(const ert_step *s, int32_t pixels, int32_t n, int32_t size) {
  return s->n_in == 1 && pixels >= 1 && n >= 1 && ert_view_ok(s->in, ert_product(pixels, n), size) &&
         ert_view_ok(s->out, ert_product(pixels, n), size);
}

static int s8_ok(const ert_step *s, int32_t pixels, const ert_softmax_s8_params *p) {
  return rows_ok(s, pixels, p->n, 1) && p->n <= MAX_ITEMS && ert_within(p->n_exp, 1, 256) &&
         ert_blob_ok(s, p->exp, p->n_exp, 4);
}

int ert_softmax_s8_check(const ert_step *s) { return s8_ok(s, 1, (const void *)s->params); }

int ert_pixel_softmax_s8_check(const ert_step *s) {
  const ert_pixel_softmax_s8_params *p = (const void *)s->params;
  return s8_ok(s, p->pixels, &p->each);
}

int ert_softmax_f32_check(const ert_step *s) {
  const ert_softmax_f32_params *p = (const void *)s->params;
  return rows_ok(s, 1, p->n, 4);
}

int ert_pixel_softmax_f32_check(const ert_step *s) {
  const ert_pixel_softmax_f32_params *p = (const void *)s->params;
  return rows_ok(s, p->pixels, p->each.n, 4);
}

static int32_t exp_at(const ert_softmax_s8_params *p, const int32_t *table, int32_t distance) {
  return distance < p->n_exp ? table[distance] : 0;
}

static void row_s8(const ert_softmax_s8_params *p, const int32_t *table, const int8_t *x, int8_t *out) {
  int32_t max = -128;
  for (int32_t i = 0; i < p->n; i++) max = x[i] > max ? x[i] : max;
  uint32_t sum = 0;
  for (int32_t i = 0; i < p->n; i++) sum += ((uint32_t)exp_at(p, table, max - x[i]) + (1u << 11)) >> 12;
  sum = sum ? sum : 1;
  const int32_t zeros = ert_leading_zeros(sum);
  /* 1 / sum is scale * 2^(zeros - 43) and the output has 8 bits; from a sum of 512 on all of it rounds to 0. */
  const int32_t shift = zeros < 4 ? 31 : 35 - zeros;
  const int32_t scale = zeros < 4 ? 0 : ert_reciprocal(sum << zeros);
  for (int32_t i = 0; i < p->n; i++) {
    const uint32_t q = (uint32_t)ert_high_product(scale, exp_at(p, table, max - x[i]));
    out[i] = (int8_t)ert_clamp((int32_t)((q + (1u << (shift - 1))) >> shift) - 128, -128, 127);
  }
}

void ert_softmax_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_softmax_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) row_s8(p, ert_blob(c, p->exp), ert_row(&c->in[0], y), ert_out_row(&c->out, y));
}

void ert_pixel_softmax_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_pixel_softmax_s8_params *p = (const void *)c->params;
  const int32_t n = p->each.n;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->pixels; i++) row_s8(&p->each, ert_blob(c, p->each.exp), x + i * n, out + i * n);
  }
}

static void row_f32(const ert_softmax_f32_params *p, const float *x, float *out) {
  float max = x[0], sum = 0.0f;
  for (int32_t i = 1; i < p->n; i++) max = x[i] > max ? x[i] : max;
  for (int32_t i = 0; i < p->n; i++) sum += out[i] = ert_exp(p->beta * (x[i] - max));
  const float scale = 1.0f / sum;
  for (int32_t i = 0; i < p->n; i++) out[i] *= scale;
}

void ert_softmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_softmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) row_f32(p, ert_row(&c->in[0], y), ert_out_row(&c->out, y));
}

void ert_pixel_softmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_pixel_softmax_f32_params *p = (const void *)c->params;
  const int32_t n = p->each.n;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->pixels; i++) row_f32(&p->each, x + i * n, out + i * n);
  }
}

static int s16_ok(const ert_step *s, int32_t pixels, const ert_softmax_s16_params *p) {
  return rows_ok(s, pixels, p->n, 2) && p->n <= 65535 && ert_blob_ok(s, p->exp, ERT_LOOKUP_ITEMS, 2) &&
         ert_blob_ok(s, p->reciprocal, ERT_LOOKUP_ITEMS, 2);
}

int ert_softmax_s16_check(const ert_step *s) { return s16_ok(s, 1, (const void *)s->params); }

int ert_pixel_softmax_s16_check(const ert_step *s) {
  const ert_pixel_softmax_s16_params *p = (const void *)s->params;
  return s16_ok(s, p->pixels, &p->each);
}

/* The exps go through the output row: item i is read before it is written. */
static int32_t exps_s16(const ert_softmax_s16_params *p, const int16_t *table, const int16_t *x, int16_t *out) {
  int32_t max = -32768, sum = 0;
  for (int32_t i = 0; i < p->n; i++) max = x[i] > max ? x[i] : max;
  for (int32_t i = 0; i < p->n; i++) {
    const uint32_t scaled = (uint32_t)ert_requantize(x[i] - max, p->multiplier, p->shift);
    out[i] = ert_lookup(table, (int16_t)ert_clamp((int32_t)(scaled + 32767u), -32768, 32767));
    sum += out[i];
  }
  return sum;
}

static void row_s16(const ert_call *c, const ert_softmax_s16_params *p, const int16_t *x, int16_t *out) {
  const int32_t exps = exps_s16(p, ert_blob(c, p->exp), x, out);
  const int32_t sum = exps < 2 ? 2 : exps; /* no less than e^0 where the tables are what they should be */
  const int32_t zeros = ert_leading_zeros((uint32_t)sum), shift = 31 - zeros;
  const int32_t mantissa = (int32_t)((((int64_t)sum << (zeros - 1)) + (1 << 13)) >> 14);
  const int32_t at = ert_clamp(mantissa - 3 * (1 << 15), -32768, 32767);
  const int32_t inverse = ert_lookup(ert_blob(c, p->reciprocal), (int16_t)at);
  for (int32_t i = 0; i < p->n; i++) {
    const int64_t share = ((int64_t)(out[i] * inverse) + ((int64_t)1 << (shift - 1))) >> shift;
    out[i] = (int16_t)ert_clamp((int32_t)share, 0, 32767);
  }
}

void ert_softmax_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_softmax_s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) row_s16(c, p, ert_row(&c->in[0], y), ert_out_row(&c->out, y));
}

void ert_pixel_softmax_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_pixel_softmax_s16_params *p = (const void *)c->params;
  const int32_t n = p->each.n;
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *x = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->pixels; i++) row_s16(c, &p->each, x + i * n, out + i * n);
  }
}
