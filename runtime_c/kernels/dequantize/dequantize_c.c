/* SPDX-License-Identifier: Apache-2.0 */
#include "dequantize/dequantize.h"

int ert_dequantize_s8f32_check(const ert_step *s) {
  const ert_dequantize_s8f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -128, 127) && ert_view_ok(s->in, p->n, 1) &&
         ert_view_ok(s->out, p->n, 4);
}

void ert_dequantize_s8f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_dequantize_s8f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = p->scale * (float)(x[i] - p->zero_point);
  }
}

int ert_dequantize_s16f32_check(const ert_step *s) {
  const ert_dequantize_s16f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -32768, 32767) && ert_view_ok(s->in, p->n, 2) &&
         ert_view_ok(s->out, p->n, 4);
}

void ert_dequantize_s16f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_dequantize_s16f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = p->scale * (float)(x[i] - p->zero_point);
  }
}
