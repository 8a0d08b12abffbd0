/* SPDX-License-Identifier: Apache-2.0 */
#include "hardmax/hardmax.h"

int ert_hardmax_s8_check(const ert_step *s) {
  const ert_hardmax_s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->one, -128, 127) && ert_within(p->zero, -128, 127) &&
         ert_view_ok(s->in, p->n, 1) && ert_view_ok(s->out, p->n, 1);
}

int ert_hardmax_f32_check(const ert_step *s) {
  const ert_hardmax_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_view_ok(s->in, p->n, 4) && ert_view_ok(s->out, p->n, 4);
}

void ert_hardmax_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_hardmax_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    int32_t first = 0;
    for (int32_t i = 1; i < p->n; i++) first = x[i] > x[first] ? i : first;
    for (int32_t i = 0; i < p->n; i++) out[i] = (int8_t)(i == first ? p->one : p->zero);
  }
}

void ert_hardmax_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_hardmax_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    int32_t first = 0;
    for (int32_t i = 1; i < p->n; i++) first = x[i] > x[first] || x[first] != x[first] ? i : first;
    for (int32_t i = 0; i < p->n; i++) out[i] = i == first ? 1.0f : 0.0f;
  }
}
