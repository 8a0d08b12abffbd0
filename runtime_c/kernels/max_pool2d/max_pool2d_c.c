/* SPDX-License-Identifier: Apache-2.0 */
#include "max_pool2d/max_pool2d.h"
#include "accumulate.h"
#include "requantize.h"

int ert_max_pool2d_s8_check(const ert_step *s) {
  const ert_max_pool2d_s8_params *p = (const void *)s->params;
  return ert_pool_ok(s, &p->g, 1);
}

int ert_max_pool2d_f32_check(const ert_step *s) {
  const ert_max_pool2d_f32_params *p = (const void *)s->params;
  return ert_pool_ok(s, &p->g, 4);
}

/* The maximum grows in the output pixel itself; it starts as the window's first pixel. */
static void window_s8(const ert_call *c, const ert_pool_geometry *g, ert_span rows, ert_span columns, int8_t *out) {
  const int32_t n = g->channels;
  ERT_MEMMOVE(out, (const int8_t *)ert_row(&c->in[0], rows.first) + columns.first * n, n);
  for (int32_t iy = rows.first; iy < rows.end; iy++) {
    const int8_t *row = ert_row(&c->in[0], iy);
    for (int32_t ix = columns.first; ix < columns.end; ix++) ert_max_s8(out, row + ix * n, n);
  }
}

void ert_max_pool2d_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_s8_params *p = (const void *)c->params;
  const int32_t n = p->g.channels;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += n) {
      window_s8(c, &p->g, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
      if (p->min > -128 || p->max < 127)
        for (int32_t i = 0; i < n; i++) out[i] = (int8_t)ert_clamp(out[i], p->min, p->max);
    }
  }
}

static void window_f32(const ert_call *c, const ert_pool_geometry *g, ert_span rows, ert_span columns, float *out) {
  const int32_t n = g->channels;
  ERT_MEMMOVE(out, (const float *)ert_row(&c->in[0], rows.first) + columns.first * n, n * 4);
  for (int32_t iy = rows.first; iy < rows.end; iy++) {
    const float *row = ert_row(&c->in[0], iy);
    for (int32_t ix = columns.first; ix < columns.end; ix++) ert_max_f32(out, row + ix * n, n);
  }
}

void ert_max_pool2d_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_f32_params *p = (const void *)c->params;
  const int32_t n = p->g.channels;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += n) {
      window_f32(c, &p->g, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
      for (int32_t i = 0; i < n; i++) out[i] = ert_clamp_f32(out[i], p->min, p->max);
    }
  }
}

int ert_max_pool2d_s16_check(const ert_step *s) {
  const ert_max_pool2d_s16_params *p = (const void *)s->params;
  return ert_pool_ok(s, &p->g, 2);
}

static void window_s16(const ert_call *c, const ert_pool_geometry *g, ert_span rows, ert_span columns, int16_t *out) {
  const int32_t n = g->channels;
  ERT_MEMMOVE(out, (const int16_t *)ert_row(&c->in[0], rows.first) + columns.first * n, n * 2);
  for (int32_t iy = rows.first; iy < rows.end; iy++) {
    const int16_t *row = ert_row(&c->in[0], iy);
    for (int32_t ix = columns.first; ix < columns.end; ix++) ert_max_s16(out, row + ix * n, n);
  }
}

void ert_max_pool2d_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_s16_params *p = (const void *)c->params;
  const int32_t n = p->g.channels;
  for (int32_t y = y0; y < y1; y++) {
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += n) {
      window_s16(c, &p->g, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
      for (int32_t i = 0; i < n; i++) out[i] = (int16_t)ert_clamp(out[i], p->min, p->max);
    }
  }
}
