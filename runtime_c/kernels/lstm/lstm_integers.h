/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of lstm_c.c on vectors. Scratch: the gates, and the sums of one of them with the state, each filled up to whole
 * vectors. */
#ifndef ERT_LSTM_INTEGERS_H
#define ERT_LSTM_INTEGERS_H

#include "integers.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* What every item of the batch takes from the parameters. */
typedef struct {
  const ert_call *c;
  const ert_lstm_s8s8_params *p;
  const uint16_t *table;
  int32_t *gates; /* [4][padded] */
  int32_t padded, tanh_half;
  ert_v_scale forget, input, out;
} ert_v_lstm_layer;

ERT_INLINE ert_v_lstm_layer ert_v_lstm_of(const ert_call *c) {
  const ert_lstm_s8s8_params *p = (const void *)c->params;
  ert_v_lstm_layer f = {.c = c, .p = p, .table = ert_blob(c, p->sigmoid), .gates = c->scratch};
  f.padded = ert_whole_vectors(p->units), f.tanh_half = p->tanh_shift > 0 ? 1 << (p->tanh_shift - 1) : 0;
  f.forget = ert_v_scale_of(p->forget.multiplier, p->forget.shift);
  f.input = ert_v_scale_of(p->input.multiplier, p->input.shift);
  f.out = ert_v_scale_of(p->out.multiplier, p->out.shift);
  return f;
}

/* Units o ... of which the gates are known: renews their cells, and returns what becomes of the state before it is
 * clamped. */
ERT_INLINE ert_v_s32 ert_v_lstm_units(const ert_v_lstm_layer *f, int16_t *cells, int32_t o, int32_t left) {
  const ert_lstm_s8s8_params *p = f->p;
  const int32_t *gates = f->gates + o;
  const ert_v_s32 in = ert_v_words(gates), keep = ert_v_words(gates + f->padded);
  const ert_v_s32 candidate = ert_v_words(gates + ERT_LSTM_CELL * f->padded), out = ert_v_words(gates + 3 * f->padded);
  const ert_v_s32 kept = ert_v_saturate16(ert_v_requantize(keep * ert_v_load_halves(cells + o, left), &f->forget));
  const ert_v_s32 new = ert_v_saturate16(ert_v_requantize(in * candidate, &f->input));
  const ert_v_s32 cell = ert_v_clamp(ert_v_saturate16(kept + new), -p->cell_clip, p->cell_clip);
  ert_v_put_halves(cells + o, cell, left);
  const ert_v_s32 tanh = ert_v_tanh16(f->table, (cell * p->tanh_multiplier + f->tanh_half) >> p->tanh_shift);
  return (ert_v_s32)((ert_v_u32)ert_v_requantize(tanh * out, &f->out) + (uint32_t)p->zero_point);
}

ERT_INLINE void ert_v_lstm_gates_s8(const ert_v_lstm_layer *f, ert_v_dots_fn *dots, const int8_t *x, const int8_t *h) {
  const ert_lstm_s8s8_params *p = f->p;
  const ert_gate_scale *g = ert_blob(f->c, p->scales);
  const int32_t *bias = ert_blob(f->c, p->bias), *state_bias = ert_blob(f->c, p->state_bias);
  const int8_t *w = ert_blob(f->c, p->w), *r = ert_blob(f->c, p->r);
  const int32_t n = p->units;
  int32_t *a = f->gates, *b = a + ERT_LSTM_GATES * f->padded;
  for (int32_t k = 0; k < ERT_LSTM_GATES; k++, a += f->padded, g++) {
    const ert_v_dots in = {x, w + k * n * p->in_c, bias + k * n, a, p->in_c, n, 0};
    const ert_v_dots state = {h, r + k * n * n, state_bias + k * n, b, n, n, 0};
    dots(&in);
    dots(&state);
    if (k == ERT_LSTM_CELL) ert_v_tanh_gate(g, f->table, a, b, n);
    else ert_v_sigmoid_gate(g, f->table, a, b, n);
  }
}

/* The time step of row y. */
ERT_INLINE int32_t ert_v_lstm_time(const ert_lstm_s8s8_params *p, int32_t y) {
  return p->reverse ? p->steps - 1 - y : y;
}

ERT_INLINE void ert_v_lstm_item_s8(const ert_v_lstm_layer *f, int16_t *cells, int8_t *h, int8_t *out) {
  const int32_t n = f->p->units;
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 next = ert_v_clamp(ert_v_lstm_units(f, cells, o, n - o), INT8_MIN, INT8_MAX);
    ert_v_put_bytes(h + o, next, n - o);
    ert_v_put_bytes(out + o, next, n - o);
  }
}

ERT_APART void ert_v_lstm_s8_rows(const ert_call *c, ert_v_dots_fn *dots, int32_t y0, int32_t y1) {
  const ert_v_lstm_layer f = ert_v_lstm_of(c);
  const ert_lstm_s8s8_params *p = f.p;
  int8_t *h = ert_state_row(&c->in[1], 0);
  int16_t *cells = ert_state_row(&c->in[2], 0);
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *x = ert_row(&c->in[0], ert_v_lstm_time(p, y));
    int8_t *out = ert_out_row(&c->out, ert_v_lstm_time(p, y));
    for (int32_t i = 0; i < p->batch; i++) {
      ert_v_lstm_gates_s8(&f, dots, x + i * p->in_c, h + i * p->units);
      ert_v_lstm_item_s8(&f, cells + i * p->units, h + i * p->units, out + i * p->units);
    }
  }
}

/* out[r] = sum over k of x[k] * w[r][k] for eight rows, n at least a chunk. Products are added up in 32 bits as long as
 * their sum has no more. */
ERT_INLINE void ert_v_eight_dots_s16(const int16_t *x, const int8_t *w, ptrdiff_t n, int64_t *out) {
  const ert_v_s32 none = {0};
  const ert_v_bytes mask = ert_v_last_bytes((int32_t)n);
  for (int r = 0; r < ERT_V_RUNS; r++) out[r] = 0;
  for (ptrdiff_t k = 0; k < n; k += ERT_V_NARROW) {
    const ptrdiff_t end = n - k < ERT_V_NARROW ? n : k + ERT_V_NARROW;
    ert_v_s32 sums[ERT_V_RUNS];
    int32_t totals[ERT_V_RUNS];
    ptrdiff_t i = k;
    ERT_UNROLLED
    for (int r = 0; r < ERT_V_RUNS; r++) sums[r] = none;
    for (; i + ERT_V_CHUNK <= end; i += ERT_V_CHUNK) {
      const ert_v_wide v = ert_v_wide_at(x + i);
      ERT_UNROLLED
      for (int r = 0; r < ERT_V_RUNS; r++)
        sums[r] = ert_v_add_products(sums[r], v, ert_v_widened(ert_v_load_bytes(w + r * n + i)));
    }
    if (i < end) {
      const ert_v_wide v = ert_v_wide_at(x + n - ERT_V_CHUNK);
      ERT_UNROLLED
      for (int r = 0; r < ERT_V_RUNS; r++)
        sums[r] = ert_v_add_products(sums[r], v, ert_v_widened(ert_v_load_bytes(w + r * n + n - ERT_V_CHUNK) & mask));
    }
    ert_v_store_totals(totals, sums[0], sums[1], sums[2], sums[3]);
    ert_v_store_totals(totals + 4, sums[4], sums[5], sums[6], sums[7]);
    for (int r = 0; r < ERT_V_RUNS; r++) out[r] += totals[r];
  }
}

/* The same for as many rows as there are, and for any n. */
ERT_INLINE void ert_v_dots_s16(const int16_t *x, const int8_t *w, int32_t n, int32_t rows, int64_t *out) {
  if (n >= ERT_V_CHUNK && rows == ERT_V_RUNS) {
    ert_v_eight_dots_s16(x, w, n, out);
    return;
  }
  for (int32_t r = 0; r < rows; r++) {
    out[r] = 0;
    for (int32_t k = 0; k < n; k++) out[r] += x[k] * w[r * n + k];
  }
}

/* Units o ... of gate k. */
ERT_APART void ert_v_lstm_sums_s16(const ert_v_lstm_layer *f, int32_t k, const int16_t *x, const int16_t *h, int32_t o,
                                   int32_t units) {
  const ert_lstm_s16s8_params *p = f->p;
  const ert_gate_scale g = ((const ert_gate_scale *)ert_blob(f->c, p->scales))[k];
  const int8_t *w = ert_blob(f->c, p->w), *r = ert_blob(f->c, p->r);
  const int32_t row = k * p->units + o;
  const int64_t *bias = (const int64_t *)ert_blob(f->c, p->bias) + row;
  int32_t *gate = f->gates + k * f->padded + o;
  int64_t a[ERT_V_RUNS], b[ERT_V_RUNS];
  ert_v_dots_s16(x, w + row * p->in_c, p->in_c, units, a);
  ert_v_dots_s16(h, r + row * p->units, p->units, units, b);
  for (int32_t i = 0; i < units; i++) {
    const int32_t in = ert_lstm_requantize((uint64_t)a[i] + (uint64_t)bias[i], g.multiplier, g.shift);
    gate[i] = ert_saturate16(in + ert_lstm_requantize((uint64_t)b[i], g.state_multiplier, g.state_shift));
  }
}

ERT_INLINE void ert_v_lstm_gates_s16(const ert_v_lstm_layer *f, const int16_t *x, const int16_t *h) {
  const int32_t n = f->p->units, units = n < ERT_V_RUNS ? n : ERT_V_RUNS, last = n - units;
  for (int32_t k = 0; k < ERT_LSTM_GATES; k++) {
    int32_t *gate = f->gates + k * f->padded;
    for (int32_t o = 0; o < n; o += units) ert_v_lstm_sums_s16(f, k, x, h, o < last ? o : last, units);
    for (int32_t o = 0; o < n; o += ERT_LANES) {
      const ert_v_s32 sum = ert_v_saturate16(ert_v_words(gate + o)) * 3;
      ert_v_put_words(gate + o, k == ERT_LSTM_CELL ? ert_v_tanh16(f->table, sum) : ert_v_sigmoid16(f->table, sum));
    }
  }
}

ERT_INLINE void ert_v_lstm_item_s16(const ert_v_lstm_layer *f, int16_t *cells, int16_t *h, int16_t *out) {
  const int32_t n = f->p->units;
  for (int32_t o = 0; o < n; o += ERT_LANES) {
    const ert_v_s32 next = ert_v_saturate16(ert_v_lstm_units(f, cells, o, n - o));
    ert_v_put_halves(h + o, next, n - o);
    ert_v_put_halves(out + o, next, n - o);
  }
}

ERT_APART void ert_v_lstm_s16_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_v_lstm_layer f = ert_v_lstm_of(c);
  const ert_lstm_s16s8_params *p = f.p;
  int16_t *h = ert_state_row(&c->in[1], 0), *cells = ert_state_row(&c->in[2], 0);
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *x = ert_row(&c->in[0], ert_v_lstm_time(p, y));
    int16_t *out = ert_out_row(&c->out, ert_v_lstm_time(p, y));
    for (int32_t i = 0; i < p->batch; i++) {
      ert_v_lstm_gates_s16(&f, x + i * p->in_c, h + i * p->units);
      ert_v_lstm_item_s16(&f, cells + i * p->units, h + i * p->units, out + i * p->units);
    }
  }
}

ERT_END_LANES

#endif

#endif
