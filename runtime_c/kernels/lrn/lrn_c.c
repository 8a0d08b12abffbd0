/* SPDX-License-Identifier: Apache-2.0 */
#include "lrn/lrn.h"
#include "power.h"
#include "requantize.h"

int ert_lrn_f32_check(const ert_step *s) {
  const ert_lrn_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->w, 1, ERT_MAX_CHANNELS) && ert_within(p->c, 1, ERT_MAX_CHANNELS) &&
         ert_within(p->before, 0, ERT_MAX_CHANNELS) && ert_within(p->after, 0, ERT_MAX_CHANNELS) &&
         ert_view_ok(s->in, ert_product(p->w, p->c), 4) && ert_view_ok(s->out, ert_product(p->w, p->c), 4);
}

static void pixel(const ert_lrn_f32_params *p, const float *x, float *out) {
  for (int32_t k = 0; k < p->c; k++) {
    const int32_t first = k > p->before ? k - p->before : 0, last = ert_clamp(k + p->after, 0, p->c - 1);
    float sum = 0.0f;
    for (int32_t j = first; j <= last; j++) sum += x[j] * x[j];
    out[k] = x[k] * ert_pow(p->bias + p->alpha * sum, -p->beta);
  }
}

void ert_lrn_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_lrn_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++) pixel(p, in + x * p->c, out + x * p->c);
  }
}
