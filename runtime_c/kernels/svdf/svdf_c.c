/* SPDX-License-Identifier: Apache-2.0 */
#include "svdf/svdf.h"
#include "dot.h"
#include "state.h"

static int layer_ok(const ert_step *s, int32_t in_size, int32_t state_size) {
  const ert_svdf_layer *l = (const void *)s->params;
  if (s->n_in != 2 || l->in_c < 1 || l->units < 1 || l->rank < 1 || l->memory < 1) return 0;
  const int32_t filters = ert_product(l->units, l->rank), cells = ert_product(filters, l->memory);
  return ert_view_ok(s->in, l->in_c, in_size) && ert_view_ok(s->out, l->units, in_size) &&
         ert_state_ok(s, 1, cells, state_size) &&
         ert_blob_ok(s, l->w_feature, ert_product(filters, l->in_c), in_size) &&
         ert_blob_ok(s, l->w_time, cells, state_size) && ert_blob_ok(s, l->bias, l->units, 4);
}

static int integer_ok(const ert_step *s, int32_t state_size) {
  const ert_svdf_s8s8_params *p = (const void *)s->params;
  return layer_ok(s, 1, state_size) && ert_blob_ok(s, p->feature_bias, p->layer.units * p->layer.rank, 4);
}

int ert_svdf_s8s8_check(const ert_step *s) { return integer_ok(s, 1); }
int ert_svdf_s8s16_check(const ert_step *s) { return integer_ok(s, 2); }
int ert_svdf_f32_check(const ert_step *s) { return layer_ok(s, 4, 4); }

/* The state one step older, as one run: what a filter takes over from the next one is overwritten by its feature. */
static void shift(uint8_t *state, const ert_svdf_layer *l, int32_t size) {
  const int32_t bytes = l->units * l->rank * l->memory * size;
  ERT_MEMMOVE(state, state + size, bytes - size);
}

static int32_t feature(const ert_call *c, const int8_t *in, int32_t f, int32_t low, int32_t high) {
  const ert_svdf_s8s8_params *p = (const void *)c->params;
  const int8_t *w = (const int8_t *)ert_blob(c, p->layer.w_feature) + f * p->layer.in_c;
  const int32_t *bias = ert_blob(c, p->feature_bias);
  const uint32_t sum = ert_dot_s8(in, w, p->layer.in_c) + (uint32_t)bias[f];
  const int32_t scaled = ert_requantize((int32_t)sum, p->feature_multiplier, p->feature_shift);
  return (int32_t)((uint32_t)ert_clamp(scaled, low, high) + (uint32_t)p->state_zero_point);
}

static int8_t finish(const ert_call *c, int32_t u, uint32_t sum) {
  const ert_svdf_s8s8_params *p = (const void *)c->params;
  const int32_t *bias = ert_blob(c, p->layer.bias);
  const int32_t scaled = ert_requantize((int32_t)(sum + (uint32_t)bias[u]), p->multiplier, p->shift);
  return (int8_t)ert_clamp((int32_t)((uint32_t)scaled + (uint32_t)p->zero_point), INT8_MIN, INT8_MAX);
}

void ert_svdf_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_svdf_layer *l = (const void *)c->params;
  const int32_t each = l->rank * l->memory, filters = l->units * l->rank;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y), *w = ert_blob(c, l->w_time);
    int8_t *state = ert_state_row(&c->in[1], y), *out = ert_out_row(&c->out, y);
    shift((uint8_t *)state, l, 1);
    for (int32_t f = 0; f < filters; f++)
      state[f * l->memory + l->memory - 1] = (int8_t)feature(c, in, f, INT8_MIN, INT8_MAX);
    for (int32_t u = 0; u < l->units; u++) out[u] = finish(c, u, ert_dot_s8(state + u * each, w + u * each, each));
  }
}

/* Sums wrap: products of a damaged file may be as large as 2^31. */
static uint32_t dot_s16(const int16_t *a, const int16_t *b, int32_t n) {
  uint32_t sum = 0;
  for (int32_t k = 0; k < n; k++) sum += (uint32_t)(a[k] * b[k]);
  return sum;
}

void ert_svdf_s8s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_svdf_layer *l = (const void *)c->params;
  const int32_t each = l->rank * l->memory, filters = l->units * l->rank;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    const int16_t *w = ert_blob(c, l->w_time);
    int16_t *state = ert_state_row(&c->in[1], y);
    int8_t *out = ert_out_row(&c->out, y);
    shift((uint8_t *)state, l, 2);
    for (int32_t f = 0; f < filters; f++)
      state[f * l->memory + l->memory - 1] = (int16_t)feature(c, in, f, INT16_MIN, INT16_MAX);
    for (int32_t u = 0; u < l->units; u++) out[u] = finish(c, u, dot_s16(state + u * each, w + u * each, each));
  }
}

static float dot_f32(const float *a, const float *b, int32_t n, float sum) {
  for (int32_t k = 0; k < n; k++) sum += a[k] * b[k];
  return sum;
}

static float clamp_f32(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

void ert_svdf_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_svdf_f32_params *p = (const void *)c->params;
  const ert_svdf_layer *l = &p->layer;
  const int32_t each = l->rank * l->memory, filters = l->units * l->rank;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y), *w = ert_blob(c, l->w_feature), *bias = ert_blob(c, l->bias);
    float *state = ert_state_row(&c->in[1], y), *out = ert_out_row(&c->out, y);
    shift((uint8_t *)state, l, 4);
    for (int32_t f = 0; f < filters; f++)
      state[f * l->memory + l->memory - 1] = dot_f32(in, w + f * l->in_c, l->in_c, 0.0f);
    w = ert_blob(c, l->w_time);
    for (int32_t u = 0; u < l->units; u++)
      out[u] = clamp_f32(dot_f32(state + u * each, w + u * each, each, bias[u]), p->min, p->max);
  }
}
