/* SPDX-License-Identifier: Apache-2.0 */
#include "avg_pool2d/avg_pool2d.h"
#include "accumulate.h"
#include "requantize.h"

enum { MAX_WINDOW = 1 << 23 }; /* pixels whose int8 values sum up, with rounding, in int32 */

int ert_avg_pool2d_s8_check(const ert_step *s) {
  const ert_avg_pool2d_s8_params *p = (const void *)s->params;
  return ert_pool_ok(s, &p->g, 1) && p->g.kernel_h * p->g.kernel_w <= MAX_WINDOW &&
         ert_within(p->in_zero_point, -128, 127);
}

int ert_avg_pool2d_f32_check(const ert_step *s) {
  const ert_avg_pool2d_f32_params *p = (const void *)s->params;
  return ert_pool_ok(s, &p->g, 4);
}

/* One output pixel of all channels, summed up in scratch. */
static void window_s8(const ert_call *c, const ert_avg_pool2d_s8_params *p, ert_span rows, ert_span columns,
                      int8_t *out) {
  const int32_t n = p->g.channels, taps = p->g.kernel_h * p->g.kernel_w;
  const int32_t inside = (rows.end - rows.first) * (columns.end - columns.first);
  const int32_t count = p->count_padding ? taps : inside, half = count / 2;
  const int32_t padding = (count - inside) * p->in_zero_point;
  uint32_t *acc = c->scratch;
  ERT_MEMSET(acc, 0, n * 4);
  for (int32_t iy = rows.first; iy < rows.end; iy++) {
    const int8_t *row = ert_row(&c->in[0], iy);
    for (int32_t ix = columns.first; ix < columns.end; ix++) ert_sum_s8(acc, row + ix * n, n);
  }
  for (int32_t i = 0; i < n; i++) {
    const int32_t sum = (int32_t)acc[i] + padding;
    out[i] = (int8_t)ert_clamp((sum > 0 ? sum + half : sum - half) / count, p->min, p->max);
  }
}

void ert_avg_pool2d_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_avg_pool2d_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels)
      window_s8(c, p, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
  }
}

static void window_f32(const ert_call *c, const ert_avg_pool2d_f32_params *p, ert_span rows, ert_span columns,
                       float *out) {
  const int32_t n = p->g.channels, taps = p->g.kernel_h * p->g.kernel_w;
  const int32_t inside = (rows.end - rows.first) * (columns.end - columns.first);
  const float scale = 1.0f / (float)(p->count_padding ? taps : inside);
  ERT_MEMSET(out, 0, n * 4);
  for (int32_t iy = rows.first; iy < rows.end; iy++) {
    const float *row = ert_row(&c->in[0], iy);
    for (int32_t ix = columns.first; ix < columns.end; ix++) ert_sum_f32(out, row + ix * n, n);
  }
  for (int32_t i = 0; i < n; i++) out[i] = ert_clamp_f32(out[i] * scale, p->min, p->max);
}

void ert_avg_pool2d_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_avg_pool2d_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels)
      window_f32(c, p, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
  }
}

enum { MAX_WINDOW_S16 = 1 << 15 };

int ert_avg_pool2d_s16_check(const ert_step *s) {
  const ert_avg_pool2d_s16_params *p = (const void *)s->params;
  return ert_pool_ok(s, &p->g, 2) && p->g.kernel_h * p->g.kernel_w <= MAX_WINDOW_S16;
}

static void window_s16(const ert_call *c, const ert_avg_pool2d_s16_params *p, ert_span rows, ert_span columns,
                       int16_t *out) {
  const int32_t n = p->g.channels, taps = p->g.kernel_h * p->g.kernel_w;
  const int32_t count = p->count_padding ? taps : (rows.end - rows.first) * (columns.end - columns.first);
  const int32_t half = count / 2;
  uint32_t *acc = c->scratch;
  ERT_MEMSET(acc, 0, n * 4);
  for (int32_t iy = rows.first; iy < rows.end; iy++) {
    const int16_t *row = ert_row(&c->in[0], iy);
    for (int32_t ix = columns.first; ix < columns.end; ix++) ert_sum_s16(acc, row + ix * n, n);
  }
  for (int32_t i = 0; i < n; i++) {
    const int32_t sum = (int32_t)acc[i];
    out[i] = (int16_t)ert_clamp((sum > 0 ? sum + half : sum - half) / count, p->min, p->max);
  }
}

void ert_avg_pool2d_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_avg_pool2d_s16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels)
      window_s16(c, p, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
  }
}
