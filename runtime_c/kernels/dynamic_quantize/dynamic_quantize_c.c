/* SPDX-License-Identifier: Apache-2.0 */
#include "dynamic_quantize/dynamic_quantize.h"
#include "requantize.h"

int ert_dynamic_quantize_f32_check(const ert_step *s) {
  const ert_dynamic_quantize_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && p->group >= 1 && ert_within(p->symmetric, 0, 1) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 4);
}

/* What scratch keeps of a group. */
typedef struct {
  float scale, inverse, offset;
} grid;

/* Halves away from zero; what is no number, or beyond any of 8 bits, is brought there first. */
static int32_t round_away(float x) {
  if (x != x) return 0;
  const float t = x < -512.0f ? -512.0f : x > 512.0f ? 512.0f : x;
  const int32_t i = (int32_t)t;
  const float rest = t - (float)i;
  return i + (rest >= 0.5f) - (rest <= -0.5f);
}

static grid symmetric_grid(float low, float high) {
  const float largest = -low > high ? -low : high;
  if (!(largest > 0.0f)) return (grid){1.0f, 0.0f, 0.0f};
  return (grid){largest / 127.0f, 127.0f / largest, 0.0f};
}

static grid spanning_grid(float low, float high) {
  const float scale = (high - low) / 255.0f;
  if (!(scale > 0.0f)) return (grid){1.0f, 0.0f, 0.0f};
  const float offset = -low < high ? -128.0f - low / scale : 127.0f - high / scale;
  return (grid){scale, 1.0f / scale, (float)ert_clamp(round_away(offset), -128, 127)};
}

/* The grid of `group` rows from row y on; low <= 0 <= high. */
static grid measured(const ert_call *c, const ert_dynamic_quantize_f32_params *p, int32_t y) {
  float low = 0.0f, high = 0.0f;
  for (int32_t r = 0; r < p->group && r < c->in[0].rows; r++) {
    const float *x = ert_row(&c->in[0], y + r);
    for (int32_t i = 0; i < p->n; i++) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
  }
  return p->symmetric ? symmetric_grid(low, high) : spanning_grid(low, high);
}

void ert_dynamic_quantize_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_dynamic_quantize_f32_params *p = (const void *)c->params;
  grid *g = c->scratch;
  const int32_t least = p->symmetric ? -127 : -128;
  for (int32_t y = y0; y < y1; y++) {
    if (y % p->group == 0) *g = measured(c, p, y);
    const float *x = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t i = 0; i < p->n; i++) {
      const float scaled = x[i] == x[i] ? x[i] * g->inverse : 0.0f; /* apart from the sum: no fused rounding */
      const int32_t q = ert_clamp(round_away(g->offset + scaled), least, 127);
      out[i] = g->scale * ((float)q - g->offset);
    }
  }
}
