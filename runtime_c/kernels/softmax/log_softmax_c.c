/* SPDX-License-Identifier: Apache-2.0 */
#include "softmax/log_softmax.h"
#include "exp.h"
#include "power.h"
#include "reciprocal.h"
#include "requantize.h"

enum { MOST_ITEMS = 4095 }; /* as many exps as sum up below 2^12 */

static int runs_ok(const ert_step *s, int32_t w, int32_t n, int32_t size) {
  if (w < 1 || n < 1) return 0;
  return ert_view_ok(s->in, ert_product(w, n), size) && ert_view_ok(s->out, ert_product(w, n), size);
}

int ert_log_softmax_s8_check(const ert_step *s) {
  const ert_log_softmax_s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->n, 1, MOST_ITEMS) && ert_within(p->n_steps, 1, 256) &&
         ert_within(p->shift, -31, 31) && runs_ok(s, p->w, p->n, 1) && ert_blob_ok(s, p->exp, p->n_steps, 4) &&
         ert_blob_ok(s, p->difference, p->n_steps, 4);
}

int ert_log_softmax_f32_check(const ert_step *s) {
  const ert_log_softmax_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && runs_ok(s, p->w, p->n, 4);
}

#define LOG_2 1488522236          /* Q0.31 */
#define ROOT_HALF 1518500250      /* 2^(-1/2) */
#define ROOT_ROOT_HALF 1805811301 /* 2^(-1/4) */

static int32_t wrapped(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

/* ln(r) less its power of two, in Q6.25, for Q0.31 r near 2^(-1/4). */
static int32_t log_near_one(int32_t r) {
  const int32_t p = (int32_t)(((int64_t)r + ROOT_ROOT_HALF + 1) / 2), half = wrapped(r, -ROOT_ROOT_HALF);
  const int32_t q = wrapped(half, half), q2 = ert_high_product(q, q);
  const int32_t num = wrapped(ert_high_product(q, r), ert_high_product(ert_high_product(q, q2), 117049297));
  const int32_t factor = wrapped(wrapped(1057819769, q), ert_high_product(127690142, q2));
  const int32_t denominator = wrapped(ert_high_product(p, factor), ert_high_product(638450708, q));
  const int32_t inverse = ert_reciprocal((uint32_t)denominator + (1u << 31));
  const int32_t scaled = (num + (num < 0 ? 31 : 32)) >> 6; /* halves away from zero */
  return ert_high_product(scaled, inverse);
}

/* ln(x / 2^19) in Q5.26 for x in [2^19, 2^31): two candidates for the power of two, the better one taken. */
static int32_t log_q12(int32_t x) {
  const int32_t quarter = 1 << 23, a_zeros = ert_leading_zeros((uint32_t)x);
  const int32_t a = ert_saturate_left(ert_high_product(x << (a_zeros - 1), ROOT_HALF), 1);
  const int32_t a_power = (12 - a_zeros) * (1 << 25) + quarter;
  const int32_t b_room = ert_leading_zeros((uint32_t)ert_high_product(x, ROOT_HALF)) - 1;
  const int32_t b = ert_saturate_left(x, b_room);
  const int32_t b_power = (12 - b_room) * (1 << 25) - quarter;
  const int32_t power = a_power > b_power ? a_power : b_power;
  const int32_t sum = wrapped(ert_high_product(power, LOG_2), log_near_one(a < b ? a : b));
  return ert_saturate_left(sum, 1);
}

static int32_t sum_of_exps(const ert_log_softmax_s8_params *p, const int32_t *exp, const int8_t *x, int32_t max) {
  uint32_t sum = 0;
  for (int32_t i = 0; i < p->n; i++)
    if (max - x[i] < p->n_steps) sum += ((uint32_t)exp[max - x[i]] + (1u << 11)) >> 12;
  /* In range whatever the table holds; a sum is never below the 1 of its largest item. */
  return sum < 1u << 19 ? 1 << 19 : sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}

static void run_s8(const ert_call *c, const int8_t *x, int8_t *out) {
  const ert_log_softmax_s8_params *p = (const void *)c->params;
  const int32_t *exp = ert_blob(c, p->exp), *difference = ert_blob(c, p->difference);
  int32_t max = -128;
  for (int32_t i = 0; i < p->n; i++) max = x[i] > max ? x[i] : max;
  const int32_t log = log_q12(sum_of_exps(p, exp, x, max));
  const int32_t least = ert_requantize((int32_t)((uint32_t)log + (1u << 31)), p->multiplier, p->shift);
  for (int32_t i = 0; i < p->n; i++) {
    const int32_t d = max - x[i];
    const int64_t wide = d < p->n_steps ? (int64_t)difference[d] - log : 0;
    const int64_t rounded = wide < 0 ? -(((1 << 21) - wide) >> 22) : ((1 << 21) + wide) >> 22;
    out[i] = d < p->n_steps && -d > least ? (int8_t)ert_clamp((int32_t)rounded + 127, -128, 127) : (int8_t)-128;
  }
}

static void run_f32(int32_t n, const float *x, float *out) {
  float max = x[0], sum = 0.0f;
  for (int32_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
  for (int32_t i = 0; i < n; i++) sum += ert_exp(x[i] - max);
  const float log = ert_log(sum);
  for (int32_t i = 0; i < n; i++) out[i] = (x[i] - max) - log;
}

void ert_log_softmax_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_log_softmax_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) run_s8(c, in + x * p->n, out + x * p->n);
  }
}

void ert_log_softmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_log_softmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) run_f32(p->n, in + x * p->n, out + x * p->n);
  }
}
