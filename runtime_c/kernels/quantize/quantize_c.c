/* SPDX-License-Identifier: Apache-2.0 */
#include "quantize/quantize.h"
#include "requantize.h"

int ert_quantize_f32s8_check(const ert_step *s) {
  const ert_quantize_f32s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -128, 127) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 1);
}

/* A grid of integers from `least` to `most`; low and high are those less the zero point. */
typedef struct {
  float low, high;
  int32_t least, most, zero_point;
} grid;

static grid grid_of(int32_t least, int32_t most, int32_t zero_point) {
  return (grid){(float)(least - zero_point), (float)(most - zero_point), least, most, zero_point};
}

/* x, rounded half away from zero. Adding 0.5 before truncating would round 0.49999997 up. The largest float below 0.5
 * does not, and halves still become the next integer: their sums lie nearer to it than to any other float, or as near
 * and it is even. */
static int32_t on_grid(const grid *g, float x) {
  const float below_half = 0x1.fffffep-2f;
  if (!(x > g->low)) return x == x ? g->least : g->zero_point;
  if (x >= g->high) return g->most;
  const float moved = x < 0 ? x - below_half : x + below_half;
  return (int32_t)moved + g->zero_point;
}

/* A true division: multiplying by 1 / scale would round some ties the other way. */
void ert_quantize_f32s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_f32s8_params *p = (const void *)c->params;
  const grid g = grid_of(-128, 127, p->zero_point);
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = (int8_t)on_grid(&g, x[i] / p->scale);
  }
}

int ert_quantize_f32s16_check(const ert_step *s) {
  const ert_quantize_f32s16_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->zero_point, -32768, 32767) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 2);
}

void ert_quantize_f32s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_quantize_f32s16_params *p = (const void *)c->params;
  const grid g = grid_of(-32768, 32767, p->zero_point);
  for (int32_t y = y0; y < y1; y++) {
    const float *x = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) out[i] = (int16_t)on_grid(&g, x[i] / p->scale);
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
