/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize/quantize.h"
#include "requantize.h"

int ert_quantize_f32s8_check(const ert_step *s) {
  const ert_quantize_f32s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -128, 127) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 1);
}

/* Adding 0.5 before truncating would round 0.49999997 up; the remainder t - i is exact. */
static int32_t round_away(float x, float limit) {
  if (x != x) return 0;
  const float t = x < -limit ? -limit : x > limit ? limit : x;
  const int32_t i = (int32_t)t;
  const float rest = t - (float)i;
  return i + (rest >= 0.5f) - (rest <= -0.5f);
}

/* A true division: multiplying by 1 / scale would round some ties the other way. */
void ert_quantize_f32s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_f32s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++)
      out[i] = (int8_t)ert_clamp(round_away(x[i] / p->scale, 512.0f) + p->zero_point, -128, 127);
  }
}

int ert_quantize_f32s16_check(const ert_step *s) {
  const ert_quantize_f32s16_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -32768, 32767) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 2);
}

void ert_quantize_f32s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_f32s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++)
      out[i] = (int16_t)ert_clamp(round_away(x[i] / p->scale, 131072.0f) + p->zero_point, -32768, 32767);
  }
}

static int integers_ok(const ert_step *s, int32_t in_size, int32_t out_size) {
  const ert_quantize_s16s16_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->in_zero_point, -32768, 32767) && ert_within(p->zero_point, -32768, 32767) &&
         ert_view_ok(s->in, p->n, in_size) && ert_view_ok(s->out, p->n, out_size);
}

int ert_quantize_s8s16_check(const ert_step *s) { return integers_ok(s, 1, 2); }
int ert_quantize_s16s8_check(const ert_step *s) { return integers_ok(s, 2, 1); }
int ert_quantize_s16s16_check(const ert_step *s) { return integers_ok(s, 2, 2); }

/* An item on the output's grid. The sum is modulo 2^32: any word of a file may be a multiplier. */
static int32_t regrid(const ert_quantize_s16s16_params *p, int32_t x) {
  const int32_t scaled = ert_requantize(x - p->in_zero_point, p->multiplier, p->shift);
  return (int32_t)((uint32_t)scaled + (uint32_t)p->zero_point);
}

void ert_quantize_s8s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_s8s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = (int16_t)ert_clamp(regrid(p, x[i]), -32768, 32767);
  }
}

void ert_quantize_s16s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_s16s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = (int8_t)ert_clamp(regrid(p, x[i]), -128, 127);
  }
}

void ert_quantize_s16s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_s16s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *x = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = (int16_t)ert_clamp(regrid(p, x[i]), -32768, 32767);
  }
}
