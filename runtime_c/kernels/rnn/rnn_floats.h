/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of rnn_c.c on vectors. Products with the input do not wait for the state: they are computed for a block of
 * time steps, or of items of the batch, at once. */
#ifndef ERT_RNN_FLOATS_H
#define ERT_RNN_FLOATS_H

#include "products_floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

typedef struct {
  const ert_call *c;
  const ert_rnn_layer *l;
  const float *w, *r, *bias, *state_bias, *peepholes;
  float clip;
  int32_t sums;         /* of an item: gates * units */
  float *a, *b, *reset; /* scratch: sums with inputs of a block, with the states of one step; s(r) * h */
} ert_v_rnn;

/* What a unit has of an item. */
typedef struct {
  const float *a, *b;
  float *reset, *h, *cell, *out;
} ert_v_item;

/* Units o ...: a whole vector of them, or the `left` last ones. */
ERT_INLINE ert_v ert_v_units(const float *p, int32_t left) {
  return left >= ERT_LANES ? ert_v_load(p) : ert_v_load_some(p, left, 0.0f);
}

ERT_INLINE void ert_v_put_units(float *p, ert_v v, int32_t left) {
  if (left >= ERT_LANES) ert_v_store(p, v);
  else ert_v_store_some(p, v, left);
}

/* The sum of gate k with the input. */
ERT_INLINE ert_v ert_v_input_sum(const ert_v_rnn *f, const ert_v_item *t, int32_t k, int32_t o, int32_t left) {
  const int32_t at = k * f->l->units + o;
  return ert_v_units(t->a + at, left) + ert_v_units(f->bias + at, left);
}

ERT_INLINE ert_v ert_v_state_sum(const ert_v_rnn *f, const ert_v_item *t, int32_t k, int32_t o, int32_t left) {
  const int32_t at = k * f->l->units + o;
  return ert_v_units(t->b + at, left) + ert_v_units(f->state_bias + at, left);
}

ERT_INLINE ert_v ert_v_gate(const ert_v_rnn *f, const ert_v_item *t, int32_t k, int32_t o, int32_t left) {
  return ert_v_input_sum(f, t, k, o, left) + ert_v_state_sum(f, t, k, o, left);
}

/* What gate k sees of the cell. */
ERT_INLINE ert_v ert_v_seen(const ert_v_rnn *f, int32_t k, int32_t o, int32_t left, ert_v cell) {
  return f->peepholes ? ert_v_units(f->peepholes + k * f->l->units + o, left) * cell : (ert_v){0};
}

ERT_INLINE ert_v ert_v_lstm_unit(const ert_v_rnn *f, const ert_v_item *t, int32_t o, int32_t left) {
  const ert_v old = ert_v_units(t->cell + o, left);
  const ert_v in = ert_v_logistic(ert_v_gate(f, t, 0, o, left) + ert_v_seen(f, 0, o, left, old));
  const ert_v kept = ert_v_logistic(ert_v_gate(f, t, 1, o, left) + ert_v_seen(f, 1, o, left, old));
  ert_v cell = kept * old + in * ert_v_tanh_of(ert_v_gate(f, t, 2, o, left));
  if (f->clip > 0) cell = ert_v_clip(cell, ert_v_all(-f->clip), ert_v_all(f->clip));
  ert_v_put_units(t->cell + o, cell, left);
  return ert_v_logistic(ert_v_gate(f, t, 3, o, left) + ert_v_seen(f, 2, o, left, cell)) * ert_v_tanh_of(cell);
}

ERT_INLINE ert_v ert_v_gru(const ert_v_rnn *f, const ert_v_item *t, int32_t o, int32_t left) {
  const ert_v z = ert_v_logistic(ert_v_gate(f, t, 0, o, left)), h = ert_v_units(t->h + o, left);
  ert_v last = ert_v_state_sum(f, t, 2, o, left);
  if (f->l->kind == ERT_GRU_RESET_AFTER) last *= ert_v_logistic(ert_v_gate(f, t, 1, o, left));
  return (1.0f - z) * ert_v_tanh_of(ert_v_input_sum(f, t, 2, o, left) + last) + z * h;
}

ERT_INLINE ert_v ert_v_next(const ert_v_rnn *f, const ert_v_item *t, int32_t o, int32_t left) {
  if (f->l->kind == ERT_LSTM) return ert_v_lstm_unit(f, t, o, left);
  if (f->l->kind < ERT_RNN_TANH) return ert_v_gru(f, t, o, left);
  const ert_v sum = ert_v_gate(f, t, 0, o, left);
  return f->l->kind == ERT_RNN_TANH ? ert_v_tanh_of(sum) : ert_v_choose(sum < 0, (ert_v){0}, sum);
}

ERT_INLINE void ert_v_renew(const ert_v_rnn *f, const ert_v_item *t, int32_t o, int32_t left) {
  const ert_v h = ert_v_next(f, t, o, left);
  ert_v_put_units(t->h + o, h, left);
  ert_v_put_units(t->out + o, h, left);
}

ERT_INLINE void ert_v_reset(const ert_v_rnn *f, const ert_v_item *t, int32_t o, int32_t left) {
  const ert_v r = ert_v_logistic(ert_v_gate(f, t, 1, o, left));
  ert_v_put_units(t->reset + o, r * ert_v_units(t->h + o, left), left);
}

/* Products of rows [first, first + rows) of r with the states, or with what the reset gate leaves of them. */
ERT_INLINE void ert_v_state_products(const ert_v_rnn *f, int32_t first, int32_t rows, const float *const *h,
                                     int32_t items) {
  const int32_t n = f->l->units;
  const ert_v_product p = {f->r + (ptrdiff_t)first * n, n, rows, h, f->b + first, f->sums};
  ert_v_multiply(&p, items);
}

ERT_INLINE void ert_v_reset_states(const ert_v_rnn *f, const ert_v_item *t, int32_t items) {
  const int32_t n = f->l->units;
  const float *left[ERT_RNN_BLOCK];
  for (int32_t i = 0; i < items; i++) {
    int32_t o = 0;
    for (; o + ERT_LANES <= n; o += ERT_LANES) ert_v_reset(f, t + i, o, ERT_LANES);
    if (o < n) ert_v_reset(f, t + i, o, n - o);
    left[i] = t[i].reset;
  }
  ert_v_state_products(f, 2 * n, n, left, items);
}

/* One time step of some items. */
ERT_APART void ert_v_rnn_step(const ert_v_rnn *f, const ert_v_item *t, int32_t items) {
  const int32_t n = f->l->units, before = f->l->kind == ERT_GRU_RESET_BEFORE;
  const float *h[ERT_RNN_BLOCK];
  for (int32_t i = 0; i < items; i++) h[i] = t[i].h;
  ert_v_state_products(f, 0, before ? 2 * n : f->sums, h, items);
  if (before) ert_v_reset_states(f, t, items);
  for (int32_t i = 0; i < items; i++) {
    int32_t o = 0;
    for (; o + ERT_LANES <= n; o += ERT_LANES) ert_v_renew(f, t + i, o, ERT_LANES);
    if (o < n) ert_v_renew(f, t + i, o, n - o);
  }
}

/* The time step of row y. */
ERT_INLINE int32_t ert_v_rnn_time(const ert_rnn_layer *l, int32_t y) { return l->reverse ? l->steps - 1 - y : y; }

ERT_INLINE void ert_v_input_products(const ert_v_rnn *f, int32_t y, int32_t steps, int32_t first, int32_t items) {
  const ert_rnn_layer *l = f->l;
  const float *x[ERT_RNN_BLOCK];
  for (int32_t s = 0; s < steps; s++) {
    const float *row = ert_row(&f->c->in[0], ert_v_rnn_time(l, y + s));
    for (int32_t i = 0; i < items; i++) x[s * items + i] = row + (ptrdiff_t)(first + i) * l->in_c;
  }
  const ert_v_product p = {f->w, l->in_c, f->sums, x, f->a, f->sums};
  ert_v_multiply(&p, steps * items);
}

/* Rows y ... of items `first` ... of the batch. */
ERT_APART void ert_v_rnn_block(const ert_v_rnn *f, int32_t y, int32_t steps, int32_t first, int32_t items) {
  const ert_rnn_layer *l = f->l;
  const int32_t n = l->units;
  float *h = ert_state_row(&f->c->in[1], 0), *cell = l->kind == ERT_LSTM ? ert_state_row(&f->c->in[2], 0) : h;
  ert_v_item t[ERT_RNN_BLOCK];
  ert_v_input_products(f, y, steps, first, items);
  for (int32_t s = 0; s < steps; s++) {
    float *out = ert_out_row(&f->c->out, ert_v_rnn_time(l, y + s));
    for (int32_t i = 0; i < items; i++) {
      const ptrdiff_t at = (ptrdiff_t)(first + i) * n;
      t[i] = (ert_v_item){
          f->a + (s * items + i) * f->sums, f->b + i * f->sums, f->reset + i * n, h + at, cell + at, out + at};
    }
    ert_v_rnn_step(f, t, items);
  }
}

ERT_INLINE void ert_v_recurrent_rows(const ert_v_rnn *f, int32_t y0, int32_t y1) {
  const int32_t batch = f->l->batch, most = batch < ERT_RNN_BLOCK ? batch : ERT_RNN_BLOCK;
  for (int32_t y = y0, steps; y < y1; y += steps) {
    steps = y1 - y < ERT_RNN_BLOCK / most ? y1 - y : ERT_RNN_BLOCK / most;
    for (int32_t i = 0; i < batch; i += most) ert_v_rnn_block(f, y, steps, i, batch - i < most ? batch - i : most);
  }
}

ERT_INLINE void ert_v_rnn_of(const ert_call *c, const float *peepholes, int32_t y0, int32_t y1) {
  const ert_rnn_f32_params *p = (const void *)c->params;
  const ert_rnn_layer *l = &p->layer;
  ert_v_rnn f = {.c = c, .l = l, .peepholes = peepholes, .clip = p->cell_clip};
  f.w = ert_blob(c, l->w), f.r = ert_blob(c, l->r);
  f.bias = ert_blob(c, l->bias), f.state_bias = ert_blob(c, l->state_bias);
  f.sums = ert_rnn_gates(l->kind) * l->units;
  f.a = c->scratch, f.b = f.a + ERT_RNN_BLOCK * f.sums, f.reset = f.b + ert_rnn_items(l) * f.sums;
  ert_v_recurrent_rows(&f, y0, y1);
}

ERT_APART void ert_v_rnn_rows(const ert_call *c, int32_t y0, int32_t y1) { ert_v_rnn_of(c, NULL, y0, y1); }

ERT_APART void ert_v_peephole_lstm_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_peephole_lstm_f32_params *p = (const void *)c->params;
  ert_v_rnn_of(c, ert_blob(c, p->peepholes), y0, y1);
}

ERT_END_LANES

#endif

#endif
