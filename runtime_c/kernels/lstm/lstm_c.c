/* SPDX-License-Identifier: Apache-2.0 */
#include "lstm/lstm.h"
#include "dot.h"
#include "state.h"

typedef ert_lstm_s8s8_params params;

static int shape_ok(const ert_step *s, int32_t size) {
  const params *p = (const void *)s->params;
  if (!ert_within(p->reverse, 0, 1) || p->steps != s->rows) return 0;
  if (s->n_in != 3 || p->batch < 1 || p->in_c < 1 || !ert_within(p->units, 1, ERT_MAX_CHANNELS)) return 0;
  const int32_t states = ert_product(p->batch, p->units), rows = ERT_LSTM_GATES * p->units;
  return ert_view_ok(s->in, ert_product(p->batch, p->in_c), size) && ert_view_ok(s->out, states, size) &&
         ert_state_ok(s, 1, states, size) && ert_state_ok(s, 2, states, 2) &&
         ert_blob_ok(s, p->w, ert_product(rows, p->in_c), 1) && ert_blob_ok(s, p->r, ert_product(rows, p->units), 1) &&
         ert_blob_ok(s, p->scales, 4 * ERT_LSTM_GATES, 4) && ert_blob_ok(s, p->sigmoid, ERT_SIGMOID_ENTRIES, 2) &&
         ert_within(p->cell_clip, 0, -INT16_MIN) && ert_within(p->tanh_multiplier, 0, 3 << 13) &&
         ert_within(p->tanh_shift, 0, 15);
}

int ert_lstm_s8s8_check(const ert_step *s) {
  const params *p = (const void *)s->params;
  return shape_ok(s, 1) && ert_blob_ok(s, p->bias, ERT_LSTM_GATES * p->units, 4) &&
         ert_blob_ok(s, p->state_bias, ERT_LSTM_GATES * p->units, 4);
}

int ert_lstm_s16s8_check(const ert_step *s) {
  const params *p = (const void *)s->params;
  return shape_ok(s, 2) && ert_blob_ok(s, p->bias, ERT_LSTM_GATES * p->units, 8);
}

/* Gate k of one item, from its sums in Q3.12. */
static void activate(const ert_call *c, int32_t k, int16_t *gate) {
  const params *p = (const void *)c->params;
  const uint16_t *table = ert_blob(c, p->sigmoid);
  for (int32_t o = 0; o < p->units; o++)
    gate[o] = k == ERT_LSTM_CELL ? ert_tanh16(table, 3 * gate[o]) : ert_sigmoid16(table, 3 * gate[o]);
}

static void gate_s8(const ert_call *c, int32_t k, const int8_t *x, const int8_t *h, int16_t *gate) {
  const params *p = (const void *)c->params;
  const ert_gate_scale *scale = (const ert_gate_scale *)ert_blob(c, p->scales) + k;
  const int32_t *bias = ert_blob(c, p->bias), *state_bias = ert_blob(c, p->state_bias);
  const int8_t *w = ert_blob(c, p->w), *r = ert_blob(c, p->r);
  for (int32_t o = 0; o < p->units; o++) {
    const int32_t row = k * p->units + o;
    const uint32_t a = ert_dot_s8(x, w + row * p->in_c, p->in_c) + (uint32_t)bias[row];
    const uint32_t b = ert_dot_s8(h, r + row * p->units, p->units) + (uint32_t)state_bias[row];
    gate[o] = (int16_t)ert_gate_sum(scale, a, b);
  }
}

static uint64_t dot_s16s8(const int16_t *x, const int8_t *w, int32_t n) {
  uint64_t sum = 0;
  for (int32_t k = 0; k < n; k++) sum += (uint64_t)(int64_t)(x[k] * w[k]);
  return sum;
}

static void gate_s16(const ert_call *c, int32_t k, const int16_t *x, const int16_t *h, int16_t *gate) {
  const params *p = (const void *)c->params;
  const ert_gate_scale *g = (const ert_gate_scale *)ert_blob(c, p->scales) + k;
  const int64_t *bias = ert_blob(c, p->bias);
  const int8_t *w = ert_blob(c, p->w), *r = ert_blob(c, p->r);
  for (int32_t o = 0; o < p->units; o++) {
    const int32_t row = k * p->units + o;
    const uint64_t a = dot_s16s8(x, w + row * p->in_c, p->in_c) + (uint64_t)bias[row];
    const uint64_t b = dot_s16s8(h, r + row * p->units, p->units);
    gate[o] = ert_saturate16(ert_lstm_requantize(a, g->multiplier, g->shift) +
                             ert_lstm_requantize(b, g->state_multiplier, g->state_shift));
  }
}

/* The time step of row y. */
static int32_t step_of(const params *p, int32_t y) { return p->reverse ? p->steps - 1 - y : y; }

static int32_t scaled(int32_t product, const ert_lstm_scale *s) {
  return ert_requantize(product, s->multiplier, s->shift);
}

/* The cell of one item; tanh of it replaces the cell gate. */
static void update_cell(const ert_call *c, int16_t *gates, int16_t *cell) {
  const params *p = (const void *)c->params;
  const uint16_t *table = ert_blob(c, p->sigmoid);
  const int16_t *input = gates, *forget = gates + p->units;
  int16_t *candidate = gates + ERT_LSTM_CELL * p->units;
  const int32_t half = p->tanh_shift > 0 ? 1 << (p->tanh_shift - 1) : 0;
  for (int32_t o = 0; o < p->units; o++) {
    const int32_t kept = ert_saturate16(scaled(forget[o] * cell[o], &p->forget));
    const int32_t whole = ert_saturate16(kept + ert_saturate16(scaled(input[o] * candidate[o], &p->input)));
    const int32_t sum = ert_clamp(whole, -p->cell_clip, p->cell_clip);
    cell[o] = (int16_t)sum;
    candidate[o] = ert_tanh16(table, (sum * p->tanh_multiplier + half) >> p->tanh_shift);
  }
}

/* What item o of the state becomes, before it is clamped to its type. */
static int32_t hidden(const params *p, const int16_t *gates, int32_t o) {
  const int16_t *tanh_c = gates + ERT_LSTM_CELL * p->units, *output = tanh_c + p->units;
  return (int32_t)((uint32_t)scaled(tanh_c[o] * output[o], &p->out) + (uint32_t)p->zero_point);
}

static void item_s8(const ert_call *c, const int8_t *x, int8_t *h, int16_t *cell, int8_t *out) {
  const params *p = (const void *)c->params;
  int16_t *gates = c->scratch;
  for (int32_t k = 0; k < ERT_LSTM_GATES; k++) {
    gate_s8(c, k, x, h, gates + k * p->units);
    activate(c, k, gates + k * p->units);
  }
  update_cell(c, gates, cell);
  for (int32_t o = 0; o < p->units; o++) out[o] = h[o] = (int8_t)ert_clamp(hidden(p, gates, o), INT8_MIN, INT8_MAX);
}

void ert_lstm_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const params *p = (const void *)c->params;
  int8_t *h = ert_state_row(&c->in[1], 0);
  int16_t *cell = ert_state_row(&c->in[2], 0);
  for (int32_t y = y0; y < y1; y++)
    for (int32_t b = 0; b < p->batch; b++)
      item_s8(c, (const int8_t *)ert_row(&c->in[0], step_of(p, y)) + b * p->in_c, h + b * p->units, cell + b * p->units,
              (int8_t *)ert_out_row(&c->out, step_of(p, y)) + b * p->units);
}

static void item_s16(const ert_call *c, const int16_t *x, int16_t *h, int16_t *cell, int16_t *out) {
  const params *p = (const void *)c->params;
  int16_t *gates = c->scratch;
  for (int32_t k = 0; k < ERT_LSTM_GATES; k++) {
    gate_s16(c, k, x, h, gates + k * p->units);
    activate(c, k, gates + k * p->units);
  }
  update_cell(c, gates, cell);
  for (int32_t o = 0; o < p->units; o++) out[o] = h[o] = ert_saturate16(hidden(p, gates, o));
}

void ert_lstm_s16s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const params *p = (const void *)c->params;
  int16_t *h = ert_state_row(&c->in[1], 0), *cell = ert_state_row(&c->in[2], 0);
  for (int32_t y = y0; y < y1; y++)
    for (int32_t b = 0; b < p->batch; b++)
      item_s16(c, (const int16_t *)ert_row(&c->in[0], step_of(p, y)) + b * p->in_c, h + b * p->units,
               cell + b * p->units, (int16_t *)ert_out_row(&c->out, step_of(p, y)) + b * p->units);
}
