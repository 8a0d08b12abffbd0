/* SPDX-License-Identifier: Apache-2.0 */
/* The integer rows of rnn_c.c on vectors. Scratch: sums of each gate with the input, then with the state, in words and
 * filled up to whole vectors; the state in bytes. */
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
  int32_t *a, *b; /* [gates][padded] */
  int32_t padded;
  int8_t *h8;
  int16_t *h;
} ert_v_rnn_item;

ERT_INLINE const ert_gate_scale *ert_v_rnn_scale(const ert_v_rnn_item *t, int32_t k) {
  return (const ert_gate_scale *)ert_blob(t->c, t->p->scales) + k;
}

/* The sums of gate k with the input, and with the state. */
ERT_INLINE void ert_v_rnn_input(const ert_v_rnn_item *t, int32_t k, const int8_t *x) {
  const ert_rnn_layer *l = &t->p->layer;
  const int32_t n = l->units, *bias = ert_blob(t->c, l->bias);
  const int8_t *w = (const int8_t *)ert_blob(t->c, l->w) + k * n * l->in_c;
  const ert_v_dots d = {x, w, bias + k * n, t->a + k * t->padded, l->in_c, n, 0};
  t->dots(&d);
}

ERT_INLINE void ert_v_rnn_state(const ert_v_rnn_item *t, int32_t k) {
  const ert_rnn_layer *l = &t->p->layer;
  const int32_t n = l->units, *bias = ert_blob(t->c, l->state_bias);
  const int8_t *r = (const int8_t *)ert_blob(t->c, l->r) + k * n * n;
  const ert_v_dots d = {t->h8, r, bias + k * n, t->b + k * t->padded, n, n, 0};
  t->dots(&d);
}

/* Gate k in place of its sums with the input. */
ERT_INLINE void ert_v_rnn_gate(const ert_v_rnn_item *t, int32_t k, int is_tanh) {
  int32_t *a = t->a + k * t->padded, *b = t->b + k * t->padded;
  if (is_tanh) ert_v_tanh_gate(ert_v_rnn_scale(t, k), t->table, a, b, t->p->layer.units);
  else ert_v_sigmoid_gate(ert_v_rnn_scale(t, k), t->table, a, b, t->p->layer.units);
}

ERT_INLINE ert_v_s32 ert_v_fraction(ert_v_s32 x, ert_v_s32 y) { return (x * y + (1 << 14)) >> 15; }

ERT_INLINE ert_v_s32 ert_v_narrowed(ert_v_s32 h) { return ert_v_clamp((h + (1 << 7)) >> 8, INT8_MIN, INT8_MAX); }

/* What the reset gate leaves of the state in bytes, or of the last gate's sums with it. */
ERT_INLINE void ert_v_reset_bytes(const ert_v_rnn_item *t) {
  const int32_t n = t->p->layer.units, *reset = t->a + t->padded;
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 h8 = ert_v_narrowed(ert_v_load_halves(t->h + o, n - o));
    const ert_v_s32 left = ert_v_clamp(ert_v_fraction(ert_v_words(reset + o), h8), INT8_MIN, INT8_MAX);
    ert_v_put_bytes(t->h8 + o, left, n - o);
  }
}

ERT_INLINE void ert_v_reset_sums(const ert_v_rnn_item *t) {
  const int32_t n = t->p->layer.units, *reset = t->a + t->padded;
  int32_t *last = t->b + 2 * t->padded;
  for (int32_t o = 0; o < n; o += ERT_LANES)
    ert_v_put_words(last + o, ert_v_saturate16(ert_v_fraction(ert_v_words(reset + o), ert_v_words(last + o))));
}

/* The last gate's sums with the state, in Q3.12. */
ERT_INLINE void ert_v_rnn_last(const ert_v_rnn_item *t) {
  const ert_gate_scale *g = ert_v_rnn_scale(t, 2);
  const int32_t n = t->p->layer.units, before = t->p->layer.kind == ERT_GRU_RESET_BEFORE;
  if (before) ert_v_reset_bytes(t);
  ert_v_rnn_state(t, 2);
  ert_v_rescale(t->a + 2 * t->padded, n, g->multiplier, g->shift);
  ert_v_rescale(t->b + 2 * t->padded, n, g->state_multiplier, g->state_shift);
  if (!before) ert_v_reset_sums(t);
}

/* Units o ... of the new state. */
ERT_INLINE ert_v_s32 ert_v_rnn_units(const ert_v_rnn_item *t, int32_t o, int32_t left) {
  if (t->p->layer.kind == ERT_RNN_TANH) return ert_v_words(t->a + o);
  const int32_t last = 2 * t->padded + o;
  const ert_v_s32 sum = ert_v_saturate16(ert_v_words(t->a + last) + ert_v_words(t->b + last));
  const ert_v_u32 z = (ert_v_u32)ert_v_words(t->a + o), next = (ert_v_u32)ert_v_tanh16(t->table, 3 * sum);
  const ert_v_u32 old = (ert_v_u32)ert_v_load_halves(t->h + o, left);
  return ert_v_saturate16((ert_v_s32)(((1u << 15) - z) * next + z * old + (1u << 14)) >> 15);
}

ERT_INLINE void ert_v_rnn_item_s8(const ert_v_rnn_item *t, const int8_t *x, int8_t *out) {
  const ert_rnn_layer *l = &t->p->layer;
  const int32_t n = l->units, gates = ert_rnn_gates(l->kind), together = gates == 1 ? 1 : 2;
  for (int32_t o = 0; o < n; o += ERT_LANES)
    ert_v_put_bytes(t->h8 + o, ert_v_narrowed(ert_v_load_halves(t->h + o, n - o)), n - o);
  for (int32_t k = 0; k < gates; k++) ert_v_rnn_input(t, k, x);
  for (int32_t k = 0; k < together; k++) {
    ert_v_rnn_state(t, k);
    ert_v_rnn_gate(t, k, gates == 1);
  }
  if (gates > together) ert_v_rnn_last(t);
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 h = ert_v_rnn_units(t, o, n - o);
    ert_v_put_halves(t->h + o, h, n - o);
    ert_v_put_bytes(out + o, ert_v_narrowed(h), n - o);
  }
}

ERT_APART void ert_v_rnn_s8_rows(const ert_call *c, ert_v_dots_fn *dots, int32_t y0, int32_t y1) {
  const ert_rnn_s8s8_params *p = (const void *)c->params;
  const ert_rnn_layer *l = &p->layer;
  ert_v_rnn_item t = {.c = c, .p = p, .dots = dots, .table = ert_blob(c, p->sigmoid), .a = c->scratch};
  t.padded = ert_whole_vectors(l->units);
  t.b = t.a + ert_rnn_gates(l->kind) * t.padded, t.h8 = (int8_t *)(t.b + ert_rnn_gates(l->kind) * t.padded);
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
