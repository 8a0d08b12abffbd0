/* SPDX-License-Identifier: Apache-2.0 */
#include "hardmax/hardmax.h"

static int runs_ok(const ert_step *s, int32_t w, int32_t n, int32_t size) {
  if (s->n_in != 1 || w < 1 || n < 1) return 0;
  return ert_view_ok(s->in, ert_product(w, n), size) && ert_view_ok(s->out, ert_product(w, n), size);
}

int ert_hardmax_s8_check(const ert_step *s) {
  const ert_hardmax_s8_params *p = (const void *)s->params;
  return ert_within(p->one, -128, 127) && ert_within(p->zero, -128, 127) && runs_ok(s, p->w, p->n, 1);
}

int ert_hardmax_f32_check(const ert_step *s) {
  const ert_hardmax_f32_params *p = (const void *)s->params;
  return runs_ok(s, p->w, p->n, 4);
}

static void run_s8(const ert_hardmax_s8_params *p, const int8_t *x, int8_t *out) {
  int32_t first = 0;
  for (int32_t i = 1; i < p->n; i++) first = x[i] > x[first] ? i : first;
  for (int32_t i = 0; i < p->n; i++) out[i] = (int8_t)(i == first ? p->one : p->zero);
}

static void run_f32(int32_t n, const float *x, float *out) {
  int32_t first = 0;
  for (int32_t i = 1; i < n; i++) first = x[i] > x[first] || x[first] != x[first] ? i : first;
  for (int32_t i = 0; i < n; i++) out[i] = i == first ? 1.0f : 0.0f;
}

void ert_hardmax_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_hardmax_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) run_s8(p, in + x * p->n, out + x * p->n);
  }
}

void ert_hardmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_hardmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) run_f32(p->n, in + x * p->n, out + x * p->n);
  }
}
