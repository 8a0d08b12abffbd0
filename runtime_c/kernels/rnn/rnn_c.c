/* SPDX-License-Identifier: Apache-2.0 */
#include "rnn/rnn.h"
#include "dot.h"
#include "exp.h"
#include "state.h"

/* The largest that keeps scratch within int32. */
enum { MAX_UNITS = 1 << 22 };

static int layer_ok(const ert_step *s, int32_t size, int32_t state_size) {
  const ert_rnn_layer *l = (const void *)s->params;
  if (!ert_within(l->kind, ERT_LSTM, ERT_RNN_RELU) || !ert_within(l->reverse, 0, 1) || l->steps != s->rows) return 0;
  if (l->batch < 1 || l->in_c < 1 || !ert_within(l->units, 1, MAX_UNITS)) return 0;
  const int32_t states = ert_product(l->batch, l->units), rows = ert_rnn_gates(l->kind) * l->units;
  return s->n_in == (l->kind == ERT_LSTM ? 3 : 2) && ert_view_ok(s->in, ert_product(l->batch, l->in_c), size) &&
         ert_view_ok(s->out, states, size) && ert_state_ok(s, 1, states, state_size) &&
         (l->kind != ERT_LSTM || ert_state_ok(s, 2, states, state_size)) &&
         ert_blob_ok(s, l->w, ert_product(rows, l->in_c), size) &&
         ert_blob_ok(s, l->r, ert_product(rows, l->units), size) && ert_blob_ok(s, l->bias, rows, 4) &&
         ert_blob_ok(s, l->state_bias, rows, 4);
}

int ert_rnn_f32_check(const ert_step *s) { return layer_ok(s, 4, 4); }

int ert_peephole_lstm_f32_check(const ert_step *s) {
  const ert_peephole_lstm_f32_params *p = (const void *)s->params;
  return layer_ok(s, 4, 4) && p->layer.kind == ERT_LSTM && ert_blob_ok(s, p->peepholes, 3 * p->layer.units, 4);
}

int ert_rnn_s8s8_check(const ert_step *s) {
  const ert_rnn_s8s8_params *p = (const void *)s->params;
  return layer_ok(s, 1, 2) && ert_within(p->layer.kind, ERT_GRU_RESET_BEFORE, ERT_RNN_TANH) &&
         ert_blob_ok(s, p->scales, 4 * ert_rnn_gates(p->layer.kind), 4) &&
         ert_blob_ok(s, p->sigmoid, ERT_SIGMOID_ENTRIES, 2);
}

/* Where one item lies. */
typedef struct {
  const void *x;
  void *h, *cell, *out;
} item;

typedef void item_fn(const ert_call *c, const item *at);

static uint8_t *moved(void *p, int32_t bytes) { return p ? (uint8_t *)p + bytes : NULL; }

static void walk(const ert_call *c, int32_t y0, int32_t y1, int32_t size, int32_t state_size, item_fn *run) {
  const ert_rnn_layer *l = (const void *)c->params;
  uint8_t *h = ert_state_row(&c->in[1], 0);
  void *cell = l->kind == ERT_LSTM ? ert_state_row(&c->in[2], 0) : NULL;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t t = l->reverse ? l->steps - 1 - y : y;
    const uint8_t *x = ert_row(&c->in[0], t);
    uint8_t *out = ert_out_row(&c->out, t);
    for (int32_t b = 0; b < l->batch; b++) {
      const int32_t state = b * l->units * state_size;
      const item at = {x + b * l->in_c * size, h + state, moved(cell, state), out + b * l->units * size};
      run(c, &at);
    }
  }
}

/* The largest float: sums saturate. */
static const float largest = 3.40282347e38f;

/* out = bias + w x for `rows` rows from `first` on */
static void affine_f32(const ert_call *c, int32_t w, int32_t bias, int32_t first, int32_t rows, const float *x,
                       int32_t n, float *out) {
  const float *weights = ert_blob(c, w), *start = ert_blob(c, bias);
  ert_pixel_f32(x, weights + first * n, start + first, n, rows, -largest, largest, out + first);
}

/* Of unit o, whose gates' sums lie n apart. */
static float next_cell(const float *a, const float *b, int32_t n, int32_t o, float cell, float clip) {
  const float i = ert_logistic(a[o] + b[o]), f = ert_logistic(a[n + o] + b[n + o]);
  const float sum = f * cell + i * ert_tanh(a[2 * n + o] + b[2 * n + o]);
  if (clip > 0) return sum < -clip ? -clip : sum > clip ? clip : sum;
  return sum;
}

static void lstm_f32(const ert_rnn_f32_params *p, const float *a, const float *b, float *h, float *cell) {
  const int32_t n = p->layer.units;
  for (int32_t o = 0; o < n; o++) {
    cell[o] = next_cell(a, b, n, o, cell[o], p->cell_clip);
    h[o] = ert_logistic(a[3 * n + o] + b[3 * n + o]) * ert_tanh(cell[o]);
  }
}

static void gru_f32(const ert_call *c, const float *a, float *b, float *reset, float *h) {
  const ert_rnn_layer *l = (const void *)c->params;
  const int32_t n = l->units, before = l->kind == ERT_GRU_RESET_BEFORE;
  for (int32_t o = 0; o < n; o++) {
    const float r = ert_logistic(a[n + o] + b[n + o]);
    if (before) reset[o] = r * h[o];
    else b[2 * n + o] *= r;
  }
  if (before) affine_f32(c, l->r, l->state_bias, 2 * n, n, reset, n, b);
  for (int32_t o = 0; o < n; o++) {
    const float z = ert_logistic(a[o] + b[o]), next = ert_tanh(a[2 * n + o] + b[2 * n + o]);
    h[o] = (1.0f - z) * next + z * h[o];
  }
}

static void plain_f32(const ert_rnn_layer *l, const float *a, const float *b, float *h) {
  for (int32_t o = 0; o < l->units; o++) {
    const float sum = a[o] + b[o];
    h[o] = l->kind == ERT_RNN_TANH ? ert_tanh(sum) : sum < 0 ? 0.0f : sum;
  }
}

/* The sums of every gate, with the input and with the state. */
static void gates_f32(const ert_call *c, const item *at, float *a, float *b) {
  const ert_rnn_layer *l = (const void *)c->params;
  const int32_t rows = ert_rnn_gates(l->kind) * l->units;
  affine_f32(c, l->w, l->bias, 0, rows, at->x, l->in_c, a);
  affine_f32(c, l->r, l->state_bias, 0, rows, at->h, l->units, b);
}

static void item_f32(const ert_call *c, const item *at) {
  const ert_rnn_layer *l = (const void *)c->params;
  const int32_t rows = ert_rnn_gates(l->kind) * l->units;
  float *a = c->scratch, *b = a + rows, *reset = b + rows;
  gates_f32(c, at, a, b);
  if (l->kind == ERT_LSTM) lstm_f32((const void *)l, a, b, at->h, at->cell);
  else if (l->kind >= ERT_RNN_TANH) plain_f32(l, a, b, at->h);
  else gru_f32(c, a, b, reset, at->h);
  ERT_MEMMOVE(at->out, at->h, 4 * l->units);
}

static void item_peephole(const ert_call *c, const item *at) {
  const ert_peephole_lstm_f32_params *p = (const void *)c->params;
  const float *peepholes = ert_blob(c, p->peepholes);
  const int32_t n = p->layer.units;
  float *a = c->scratch, *b = a + 4 * n, *h = at->h, *cell = at->cell;
  gates_f32(c, at, a, b);
  for (int32_t o = 0; o < n; o++) {
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): checked layers with peepholes are LSTMs
    a[o] += peepholes[o] * cell[o];
    a[n + o] += peepholes[n + o] * cell[o];
    cell[o] = next_cell(a, b, n, o, cell[o], p->cell_clip);
    h[o] = ert_logistic(a[3 * n + o] + peepholes[2 * n + o] * cell[o] + b[3 * n + o]) * ert_tanh(cell[o]);
  }
  ERT_MEMMOVE(at->out, at->h, 4 * n);
}

void ert_peephole_lstm_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 4, 4, item_peephole); }

void ert_rnn_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 4, 4, item_f32); }

/* Sums of `rows` rows from `first` on in Q3.12, by the scale of their gate; those of the state have the second half of
 * each scale. */
static void affine_s8(const ert_call *c, int32_t first, int32_t rows, int state, const int8_t *x, int16_t *out) {
  const ert_rnn_s8s8_params *p = (const void *)c->params;
  const ert_rnn_layer *l = &p->layer;
  const int32_t n = state ? l->units : l->in_c;
  const int8_t *w = ert_blob(c, state ? l->r : l->w);
  const int32_t *bias = ert_blob(c, state ? l->state_bias : l->bias);
  const ert_gate_scale *scales = ert_blob(c, p->scales);
  for (int32_t o = first; o < first + rows; o++) {
    const ert_gate_scale *g = scales + o / l->units;
    const int32_t sum = (int32_t)(ert_dot_s8(x, w + o * n, n) + (uint32_t)bias[o]);
    const int32_t multiplier = state ? g->state_multiplier : g->multiplier, shift = state ? g->state_shift : g->shift;
    out[o] = ert_saturate16(ert_requantize(sum, multiplier, shift));
  }
}

static int8_t narrowed(int16_t h) { return (int8_t)ert_clamp((h + (1 << 7)) >> 8, INT8_MIN, INT8_MAX); }

/* (x * y + 2^14) >> 15 */
static int32_t fraction(int32_t x, int32_t y) { return (x * y + (1 << 14)) >> 15; }

/* 3 * (a + b), the sum saturated: what gates.h takes. */
static int32_t tripled(int16_t a, int16_t b) { return 3 * ert_saturate16(a + b); }

static void gru_s8(const ert_call *c, const int16_t *a, int16_t *b, int8_t *h8, int16_t *h) {
  const ert_rnn_s8s8_params *p = (const void *)c->params;
  const uint16_t *table = ert_blob(c, p->sigmoid);
  const int32_t n = p->layer.units, before = p->layer.kind == ERT_GRU_RESET_BEFORE;
  for (int32_t o = 0; o < n; o++) {
    const int32_t r = ert_sigmoid16(table, tripled(a[n + o], b[n + o]));
    if (before) h8[o] = (int8_t)ert_clamp(fraction(r, h8[o]), INT8_MIN, INT8_MAX);
    else b[2 * n + o] = ert_saturate16(fraction(r, b[2 * n + o]));
  }
  if (before) affine_s8(c, 2 * n, n, 1, h8, b);
  for (int32_t o = 0; o < n; o++) {
    const int32_t z = ert_sigmoid16(table, tripled(a[o], b[o]));
    const int32_t next = ert_tanh16(table, tripled(a[2 * n + o], b[2 * n + o]));
    h[o] = ert_saturate16((int32_t)(((int64_t)((1 << 15) - z) * next + (int64_t)z * h[o] + (1 << 14)) >> 15));
  }
}

static void item_s8(const ert_call *c, const item *at) {
  const ert_rnn_s8s8_params *p = (const void *)c->params;
  const int32_t n = p->layer.units, rows = ert_rnn_gates(p->layer.kind) * n;
  int16_t *a = c->scratch, *b = a + rows, *h = at->h;
  int8_t *h8 = (int8_t *)(b + rows), *out = at->out;
  for (int32_t o = 0; o < n; o++) h8[o] = narrowed(h[o]);
  affine_s8(c, 0, rows, 0, at->x, a);
  affine_s8(c, 0, rows, 1, h8, b);
  if (p->layer.kind == ERT_RNN_TANH)
    for (int32_t o = 0; o < n; o++) h[o] = ert_tanh16(ert_blob(c, p->sigmoid), tripled(a[o], b[o]));
  else gru_s8(c, a, b, h8, h);
  for (int32_t o = 0; o < n; o++) out[o] = narrowed(h[o]);
}

void ert_rnn_s8s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { walk(c, y0, y1, 1, 2, item_s8); }
