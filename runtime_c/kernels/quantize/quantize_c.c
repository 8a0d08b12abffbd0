/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize/quantize.h"
#include "requantize.h"

int ert_quantize_f32s8_check(const ert_step *s) {
  const ert_quantize_f32s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -128, 127) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 1);
}

/* Adding 0.5 before truncating would round 0.49999997 up; the remainder t - i is exact. */
static int32_t round_away(float x) {
  if (x != x) return 0;
  const float t = x < -512.0f ? -512.0f : x > 512.0f ? 512.0f : x;
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
      out[i] = (int8_t)ert_clamp(round_away(x[i] / p->scale) + p->zero_point, -128, 127);
  }
}
