/* SPDX-License-Identifier: Apache-2.0 */
/* Recurrent layers. Row y is a time step of `batch` items: step y, or steps - 1 - y where reverse is 1, of input and
 * output alike. h, the second input, has batch * units items and is changed in place; so is c, the third, of an LSTM.
 *
 * a[k] = bias[k] + w[k] x, b[k] = state_bias[k] + r[k] h for each gate k
 *
 * LSTM             k = i, f, g, o: c = clip(s(f) * c + s(i) * tanh(g)), h = s(o) * tanh(c), with each gate a[k] + b[k]
 * GRU_RESET_BEFORE k = z, r, n: h = (1 - s(z)) * tanh(n) + s(z) * h, where b[n] is of s(r) * h
 * GRU_RESET_AFTER  the same with n = a[n] + s(r) * b[n]
 * RNN_TANH         h = tanh(a + b)
 * RNN_RELU         h = max(a + b, 0)
 * peephole_lstm    an LSTM whose cell is seen by its gates: before c is renewed, p[0] * c is added to i and p[1] * c
 *                  to f, after it p[2] * c to o.
 * out = h; s is the logistic function; cell_clip 0: no clip.
 *
 * f32:  tanh and s as in unary.h.
 * s8s8: no LSTM (lstm.h has that) and no RNN_RELU. a and b are Q3.12 as in lstm.h, s and tanh those of gates.h, h is
 *       Q0.15 in int16; products with it take h8 = clamp((h + 2^7) >> 8, -128, 127), and out = h8 (scale 1/128).
 *       s(r) * h is (s(r) * h8 + 2^14) >> 15, s(r) * b[n] is (s(r) * b[n] + 2^14) >> 15, both saturated, and
 *       h = sat(((2^15 - s(z)) * tanh(n) + s(z) * h + 2^14) >> 15). */
#ifndef ERT_RNN_H
#define ERT_RNN_H

#include "gates.h"

enum { ERT_LSTM = 0, ERT_GRU_RESET_BEFORE = 1, ERT_GRU_RESET_AFTER = 2, ERT_RNN_TANH = 3, ERT_RNN_RELU = 4 };

typedef struct {
  int32_t kind, reverse, steps;
  int32_t batch, in_c, units;
  int32_t w;          /* blob: float or int8[gates][units][in_c] */
  int32_t r;          /* blob: float or int8[gates][units][units] */
  int32_t bias;       /* blob: float or int32[gates][units], s8s8: input zero point folded in */
  int32_t state_bias; /* blob: float or int32[gates][units] */
} ert_rnn_layer;

typedef struct {
  ert_rnn_layer layer;
  float cell_clip;
} ert_rnn_f32_params;

typedef struct {
  ert_rnn_layer layer;
  float cell_clip;
  int32_t peepholes; /* blob: float[3][units] */
} ert_peephole_lstm_f32_params;

typedef struct {
  ert_rnn_layer layer;
  int32_t scales;  /* blob: int32[gates][4], as in lstm.h */
  int32_t sigmoid; /* blob: uint16[256] */
} ert_rnn_s8s8_params;

static inline int32_t ert_rnn_gates(int32_t kind) { return kind == ERT_LSTM ? 4 : kind >= ERT_RNN_TANH ? 1 : 3; }

/* Kernels on vectors multiply a block of inputs with w at once, those of as many time steps as are whole; their states, as
 * many as a step has in a block, with r. */
enum { ERT_RNN_BLOCK = 12 };

static inline int32_t ert_rnn_items(const ert_rnn_layer *l) {
  return l->batch < ERT_RNN_BLOCK ? l->batch : ERT_RNN_BLOCK;
}

static inline int32_t ert_rnn_vector_scratch(const ert_rnn_layer *l) {
  const int32_t items = ert_rnn_items(l);
  return 4 * ((ERT_RNN_BLOCK + items) * ert_rnn_gates(l->kind) + items) * l->units;
}

/* Sums of integers with the input and with the state, and the state in bytes. */
static inline int32_t ert_rnn_integer_scratch(const ert_rnn_layer *l) {
  return (4 * 2 * ert_rnn_gates(l->kind) + 1) * ert_whole_vectors(l->units);
}

int ert_rnn_f32_check(const ert_step *s);
int ert_peephole_lstm_f32_check(const ert_step *s);
int ert_rnn_s8s8_check(const ert_step *s);

#endif
