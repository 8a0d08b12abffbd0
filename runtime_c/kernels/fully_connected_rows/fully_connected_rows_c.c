/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected_rows/fully_connected_rows.h"
#include "dot.h"

static int views_ok(const ert_step *s, int32_t rows, int32_t in_c, int32_t out_c, int32_t size) {
  return s->n_in == 1 && rows >= 1 && s->rows == rows && s->out[1] == 1 && in_c >= 1 &&
         ert_within(out_c, 1, ERT_MAX_CHANNELS) && ert_view_ok(s->in, in_c, size) && ert_view_ok(s->out, out_c, size);
}

static int shape_ok(const ert_step *s, int32_t rows, int32_t in_c, int32_t out_c, int32_t weights, int32_t size) {
  return views_ok(s, rows, in_c, out_c, size) &&
         ert_blob_ok(s, weights, ert_product(rows, ert_product(in_c, out_c)), size);
}

int ert_fully_connected_rows_s8s8_check(const ert_step *s) {
  const ert_fully_connected_rows_s8s8_params *p = (const void *)s->params;
  return shape_ok(s, p->rows, p->in_c, p->out_c, p->weights, 1) && ert_rescale_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_rows_s8s8_pairs_check(const ert_step *s) {
  const ert_fully_connected_rows_s8s8_pairs_params *p = (const void *)s->params;
  return views_ok(s, p->rows, p->in_c, p->out_c, 1) &&
         ert_blob_ok(s, p->weights, ert_product(p->rows, ert_pairs_words(p->in_c, p->out_c)), 4) &&
         ert_rescale_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_rows_f32_check(const ert_step *s) {
  const ert_fully_connected_rows_f32_params *p = (const void *)s->params;
  return shape_ok(s, p->rows, p->in_c, p->out_c, p->weights, 4) && ert_blob_ok(s, p->bias, p->out_c, 4);
}

int ert_fully_connected_rows_s8s4_check(const ert_step *s) {
  const ert_fully_connected_rows_s8s4_params *p = (const void *)s->params;
  return views_ok(s, p->rows, p->in_c, p->out_c, 1) &&
         ert_nibbles_ok(s, p->weights, p->in_c, ert_product(p->rows, p->out_c)) &&
         ert_rescale_ok(s, &p->rescale, p->out_c);
}

static void add_row_s8(const int8_t *x, const int8_t *w, int32_t n, int32_t n_out, uint32_t *acc) {
  uint32_t sums[4];
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    ert_dot4_s8(x, w, n, sums);
    for (int32_t j = 0; j < 4; j++) acc[o + j] += sums[j];
  }
  for (; o < n_out; o++, w += n) acc[o] += ert_dot_s8(x, w, n);
}

/* The output, after the last row. */
static void finish_s8(const ert_call *c, const ert_rescale *rescale, int32_t n_out) {
  const ert_scales scales = ert_scales_of(c, rescale);
  const uint32_t *acc = c->scratch;
  int8_t *out = ert_out_row(&c->out, 0);
  for (int32_t o = 0; o < n_out; o++) out[o] = ert_finish_s8(&scales, o, acc[o]);
}

void ert_fully_connected_rows_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_rows_s8s8_params *p = (const void *)c->params;
  const int8_t *w = ert_blob(c, p->weights);
  uint32_t *acc = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *row = ert_row(&c->in[0], y);
    if (y == 0) ERT_MEMSET(acc, 0, 4 * p->out_c);
    add_row_s8(row, w + y * p->out_c * p->in_c, p->in_c, p->out_c, acc);
  }
  if (y1 == p->rows) finish_s8(c, &p->rescale, p->out_c);
}

void ert_fully_connected_rows_s8s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_rows_s8s4_params *p = (const void *)c->params;
  const int32_t n = p->in_c, bytes = ert_nibble_bytes(n);
  const uint8_t *w = ert_blob(c, p->weights);
  uint32_t *acc = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    const ert_rows_s4 rows = {w + y * p->out_c * bytes, NULL, n, bytes, n, 1};
    if (y == 0) ERT_MEMSET(acc, 0, 4 * p->out_c);
    ert_add_s8s4(ert_row(&c->in[0], y), &rows, p->out_c, acc);
  }
  if (y1 == p->rows) finish_s8(c, &p->rescale, p->out_c);
}

static float dot_f32(const float *x, const float *w, int32_t n) {
  float sum = 0.0f;
  for (int32_t k = 0; k < n; k++) sum += x[k] * w[k];
  return sum;
}

void ert_fully_connected_rows_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_rows_f32_params *p = (const void *)c->params;
  const float *w = ert_blob(c, p->weights), *bias = ert_blob(c, p->bias);
  float *acc = c->scratch, *out = ert_out_row(&c->out, 0);
  for (int32_t y = y0; y < y1; y++)
    for (int32_t o = 0; o < p->out_c; o++) {
      const float sum = dot_f32(ert_row(&c->in[0], y), w + (y * p->out_c + o) * p->in_c, p->in_c);
      acc[o] = y == 0 ? sum : acc[o] + sum;
    }
  if (y1 < p->rows) return;
  for (int32_t o = 0; o < p->out_c; o++) {
    const float x = acc[o] + bias[o];
    out[o] = x < p->min ? p->min : x > p->max ? p->max : x;
  }
}
