/* SPDX-License-Identifier: Apache-2.0 */
/* The integer rows of rnn_c.c on vectors. Scratch: sums of each gate with the input, then with the state, in words and
 * padded to whole vectors; the state in bytes. */
#ifndef ERT_RNN_INTEGERS_H
#define ERT_RNN_INTEGERS_H

#include "integers.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

typedef struct {
  const ert_call *c;
  const ert_rnn_s8s8_params *p;
  ert_v_dots_fn *dots;
  const uint16_t *table;
  int32_t *a, *b; /* [gates][padded units] */
  int8_t *h8;
  int16_t *h;
} ert_v_rnn_item;

/* The sums of gate k with the input. */
ERT_INLINE void ert_v_rnn_input(const ert_v_rnn_item *t, int32_t k, const int8_t *x) {
  const ert_rnn_layer *l = &t->p->layer;
  const ert_gate_scale *g = (const ert_gate_scale *)ert_blob(t->c, t->p->scales) + k;
  const int32_t n = l->units;
  const int8_t *w = (const int8_t *)ert_blob(t->c, l->w) + k * n * l->in_c;
  const ert_v_dots d = {
      x, w, (const int32_t *)ert_blob(t->c, l->bias) + k * n, t->a + k * ert_whole_vectors(n), l->in_c, n, 0};
  t->dots(&d);
  ert_v_scale(d.out, n, g->multiplier, g->shift);
}

ERT_INLINE void ert_v_rnn_state(const ert_v_rnn_item *t, int32_t k) {
  const ert_rnn_layer *l = &t->p->layer;
  const ert_gate_scale *g = (const ert_gate_scale *)ert_blob(t->c, t->p->scales) + k;
  const int32_t n = l->units;
  const int8_t *r = (const int8_t *)ert_blob(t->c, l->r) + k * n * n;
  const ert_v_dots d = {
      t->h8, r, (const int32_t *)ert_blob(t->c, l->state_bias) + k * n, t->b + k * ert_whole_vectors(n), n, n, 0};
  t->dots(&d);
  ert_v_scale(d.out, n, g->state_multiplier, g->state_shift);
}

/* Units o ... of gate k: three times the sum of both. */
ERT_INLINE ert_v_s32 ert_v_rnn_sum(const ert_v_rnn_item *t, int32_t k, int32_t o) {
  const int32_t at = k * ert_whole_vectors(t->p->layer.units) + o;
  return ert_v_saturate16(ert_v_words(t->a + at) + ert_v_words(t->b + at)) * 3;
}

ERT_INLINE ert_v_s32 ert_v_fraction(ert_v_s32 x, ert_v_s32 y) { return (x * y + (1 << 14)) >> 15; }

ERT_INLINE ert_v_s32 ert_v_narrowed(ert_v_s32 h) { return ert_v_clamp((h + (1 << 7)) >> 8, INT8_MIN, INT8_MAX); }

/* What the reset gate leaves of the state, or of the last gate's sums with it. */
ERT_INLINE void ert_v_rnn_reset(const ert_v_rnn_item *t, int32_t before) {
  const int32_t n = t->p->layer.units;
  int32_t *last = t->b + 2 * ert_whole_vectors(n);
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 r = ert_v_sigmoid16(t->table, ert_v_rnn_sum(t, 1, o));
    if (before) {
      const ert_v_s32 h8 = ert_v_narrowed(ert_v_load_halves(t->h + o, n - o));
      ert_v_put_bytes(t->h8 + o, ert_v_clamp(ert_v_fraction(r, h8), INT8_MIN, INT8_MAX), n - o);
    } else {
      ert_v_put_words(last + o, ert_v_saturate16(ert_v_fraction(r, ert_v_words(last + o))));
    }
  }
  if (before) ert_v_rnn_state(t, 2);
}

/* Units o ... of the new state. */
ERT_INLINE ert_v_s32 ert_v_rnn_units(const ert_v_rnn_item *t, int32_t o, int32_t left) {
  if (t->p->layer.kind == ERT_RNN_TANH) return ert_v_tanh16(t->table, ert_v_rnn_sum(t, 0, o));
  const ert_v_u32 z = (ert_v_u32)ert_v_sigmoid16(t->table, ert_v_rnn_sum(t, 0, o));
  const ert_v_u32 next = (ert_v_u32)ert_v_tanh16(t->table, ert_v_rnn_sum(t, 2, o));
  const ert_v_u32 old = (ert_v_u32)ert_v_load_halves(t->h + o, left);
  return ert_v_saturate16((ert_v_s32)(((1u << 15) - z) * next + z * old + (1u << 14)) >> 15);
}

ERT_INLINE void ert_v_rnn_item_s8(const ert_v_rnn_item *t, const int8_t *x, int8_t *out) {
  const ert_rnn_layer *l = &t->p->layer;
  const int32_t n = l->units, gates = ert_rnn_gates(l->kind), before = l->kind == ERT_GRU_RESET_BEFORE;
  for (int32_t o = 0; o < n; o += ERT_LANES)
    ert_v_put_bytes(t->h8 + o, ert_v_narrowed(ert_v_load_halves(t->h + o, n - o)), n - o);
  for (int32_t k = 0; k < gates; k++) {
    ert_v_rnn_input(t, k, x);
    if (!before || k < 2) ert_v_rnn_state(t, k);
  }
  if (gates > 1) ert_v_rnn_reset(t, before);
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 h = ert_v_rnn_units(t, o, n - o);
    ert_v_put_halves(t->h + o, h, n - o);
    ert_v_put_bytes(out + o, ert_v_narrowed(h), n - o);
  }
}

ERT_APART void ert_v_rnn_s8_rows(const ert_call *c, ert_v_dots_fn *dots, int32_t y0, int32_t y1) {
  const ert_rnn_s8s8_params *p = (const void *)c->params;
  const ert_rnn_layer *l = &p->layer;
  const int32_t words = ert_rnn_gates(l->kind) * ert_whole_vectors(l->units);
  ert_v_rnn_item t = {c, p, dots, ert_blob(c, p->sigmoid), c->scratch, NULL, NULL, NULL};
  t.b = t.a + words, t.h8 = (int8_t *)(t.b + words);
  int16_t *h = ert_state_row(&c->in[1], 0);
  for (int32_t y = y0; y < y1; y++) {
    const int32_t time = l->reverse ? l->steps - 1 - y : y;
    const int8_t *x = ert_row(&c->in[0], time);
    int8_t *out = ert_out_row(&c->out, time);
    for (int32_t i = 0; i < l->batch; i++) {
      t.h = h + i * l->units;
      ert_v_rnn_item_s8(&t, x + i * l->in_c, out + i * l->units);
    }
  }
}

ERT_END_LANES

#endif

#endif
