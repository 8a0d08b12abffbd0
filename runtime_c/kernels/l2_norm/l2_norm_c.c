/* SPDX-License-Identifier: Apache-2.0 */
#include "l2_norm/l2_norm.h"
#include "power.h"
#include "reciprocal.h"
#include "requantize.h"

enum { MOST_SQUARES = 33025 }; /* of 255: as many as sum up below 2^31 */

static int runs_ok(const ert_step *s, int32_t w, int32_t n, int32_t size) {
  if (w < 1 || n < 1) return 0;
  return ert_view_ok(s->in, ert_product(w, n), size) && ert_view_ok(s->out, ert_product(w, n), size);
}

int ert_l2_norm_s8_check(const ert_step *s) {
  const ert_l2_norm_s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->n, 1, MOST_SQUARES) && ert_within(p->zero_point, -128, 127) &&
         runs_ok(s, p->w, p->n, 1);
}

int ert_l2_norm_f32_check(const ert_step *s) {
  const ert_l2_norm_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && runs_ok(s, p->w, p->n, 4);
}

/* sqrt(1/2) / sqrt(x / 2^28) in Q3.28 for x in [2^26, 2^28), from 1. */
static int32_t newton(int32_t x) {
  const int32_t half = (x + 1) >> 1, three_halves = 3 << 27;
  int32_t y = 1 << 28;
  for (int i = 0; i < 5; i++) {
    const int32_t cube = ert_saturate_left(ert_high_product(ert_high_product(y, y), y), 6);
    y = ert_saturate_left(ert_high_product(three_halves, y) - ert_high_product(half, cube), 3);
  }
  return ert_high_product(y, 1518500250);
}

int32_t ert_l2_inverse_root(int32_t x, int32_t *shift) {
  *shift = 0;
  if (x <= 1) return INT32_MAX;
  int32_t right = 11;
  for (; x >= 1 << 29; right++) x >>= 2;
  for (; x < 1 << 27; right--) x <<= 2;
  const int32_t root = newton(x >> 1);
  if (right < 0) return (int32_t)((uint32_t)root << -right);
  *shift = -right;
  return root;
}

static void run_s8(const ert_l2_norm_s8_params *p, const int8_t *x, int8_t *out) {
  int32_t sum = 0, shift;
  for (int32_t i = 0; i < p->n; i++) sum += (x[i] - p->zero_point) * (x[i] - p->zero_point);
  const int32_t multiplier = ert_l2_inverse_root(sum, &shift);
  for (int32_t i = 0; i < p->n; i++)
    out[i] = (int8_t)ert_clamp(ert_requantize(x[i] - p->zero_point, multiplier, shift + 7), -128, 127);
}

static void run_f32(const ert_l2_norm_f32_params *p, const float *x, float *out) {
  float sum = 0.0f;
  for (int32_t i = 0; i < p->n; i++) sum += x[i] * x[i];
  const float root = ert_sqrt(sum), norm = root < p->epsilon ? p->epsilon : root;
  for (int32_t i = 0; i < p->n; i++) out[i] = x[i] / norm;
}

void ert_l2_norm_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_l2_norm_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) run_s8(p, in + x * p->n, out + x * p->n);
  }
}

void ert_l2_norm_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_l2_norm_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) run_f32(p, in + x * p->n, out + x * p->n);
  }
}
