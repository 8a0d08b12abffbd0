/* SPDX-License-Identifier: Apache-2.0 */
#include "resize/resize_filter.h"
#include "requantize.h"

static int filter_ok(const ert_step *s, int32_t size) {
  const ert_resize_filter_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->in_h, 1, ERT_MAX_EXTENT) && ert_within(p->in_w, 1, ERT_MAX_EXTENT) &&
         ert_within(p->out_w, 1, ERT_MAX_EXTENT) && ert_within(p->c, 1, ERT_MAX_CHANNELS) &&
         ert_within(s->rows, 1, ERT_MAX_EXTENT) && ert_within(p->row_taps, 1, ERT_MAX_EXTENT) &&
         ert_within(p->column_taps, 1, ERT_MAX_EXTENT) && ert_view_ok(s->in, ert_product(p->in_w, p->c), size) &&
         ert_view_ok(s->out, ert_product(p->out_w, p->c), size) && ert_blob_ok(s, p->rows, s->rows, 4) &&
         ert_blob_ok(s, p->columns, p->out_w, 4) && ert_blob_ok(s, p->row_weights, s->rows * p->row_taps, 4) &&
         ert_blob_ok(s, p->column_weights, p->out_w * p->column_taps, 4);
}

int ert_resize_filter_s8_check(const ert_step *s) { return filter_ok(s, 1); }
int ert_resize_filter_f32_check(const ert_step *s) { return filter_ok(s, 4); }

/* first + i may lie far outside where the file says so. */
static int32_t at_edge(int32_t first, int32_t i, int32_t extent) {
  return ert_clamp(ert_clamp(first, -ERT_MAX_EXTENT, ERT_MAX_EXTENT) + i, 0, extent - 1);
}

static int32_t item_s8(const ert_call *c, int32_t y, int32_t x, int32_t k) {
  const ert_resize_filter_params *p = (const void *)c->params;
  const int32_t *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  const int32_t *down = (const int32_t *)ert_blob(c, p->row_weights) + y * p->row_taps;
  const int32_t *across = (const int32_t *)ert_blob(c, p->column_weights) + x * p->column_taps;
  uint32_t total = 0;
  for (int32_t i = 0; i < p->row_taps; i++) {
    const int8_t *row = ert_row(&c->in[0], at_edge(rows[y], i, p->in_h));
    uint32_t sum = 0;
    for (int32_t j = 0; j < p->column_taps; j++)
      sum += (uint32_t)across[j] * (uint32_t)row[at_edge(columns[x], j, p->in_w) * p->c + k];
    total += (uint32_t)down[i] * sum;
  }
  return (int32_t)total;
}

static float item_f32(const ert_call *c, int32_t y, int32_t x, int32_t k) {
  const ert_resize_filter_params *p = (const void *)c->params;
  const int32_t *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  const float *down = (const float *)ert_blob(c, p->row_weights) + y * p->row_taps;
  const float *across = (const float *)ert_blob(c, p->column_weights) + x * p->column_taps;
  float total = 0.0f;
  for (int32_t i = 0; i < p->row_taps; i++) {
    const float *row = ert_row(&c->in[0], at_edge(rows[y], i, p->in_h));
    float sum = 0.0f;
    for (int32_t j = 0; j < p->column_taps; j++) sum += across[j] * row[at_edge(columns[x], j, p->in_w) * p->c + k];
    total += down[i] * sum;
  }
  return total;
}

void ert_resize_filter_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_resize_filter_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->out_w; x++)
      for (int32_t k = 0; k < p->c; k++) {
        const int64_t sum = item_s8(c, y, x, k), half = 1 << 19;
        *out++ = (int8_t)ert_clamp((int32_t)(sum < 0 ? -((half - sum) >> 20) : (half + sum) >> 20), -128, 127);
      }
  }
}

void ert_resize_filter_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_resize_filter_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->out_w; x++)
      for (int32_t k = 0; k < p->c; k++) *out++ = item_f32(c, y, x, k);
  }
}
