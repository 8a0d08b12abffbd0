/* SPDX-License-Identifier: Apache-2.0 */
/* A quantised LSTM, TFLite Micro's arithmetic. Row y is a time step of `batch` items: step y, or steps - 1 - y where
 * reverse is 1, of input and output alike; h and c, the second and third input, have batch * units items and are changed
 * in place.
 *
 * gate[k] = f(sat(requantize(bias[k] + w[k] x, scale[k])) + sat(requantize(state_bias[k] + r[k] h, state scale[k])))
 *     k = input, forget, cell, output; Q3.12 to Q0.15; f is gates.h's tanh for the cell, else its sigmoid;
 *     sat(..) saturates to int16, as does every sum below
 * c = clamp(requantize(forget gate * c, forget) + requantize(input gate * cell gate, input), -cell_clip, cell_clip)
 * h = out = clamp(zero_point + requantize(tanh(c) * output gate, out), type's range)
 *
 * tanh(c) takes (c * tanh_multiplier + half) >> tanh_shift, half = 2^(tanh_shift - 1).
 * s8s8:  biases have - zero point * (sum of the weights) folded in; sums are modulo 2^32.
 * s16s8: zero points are 0, the bias is int64, and requantize of the two products rounds once:
 *        (x * multiplier + 2^(shift - 1)) >> shift, with a multiplier of 16 bits. */
#ifndef ERT_LSTM_H
#define ERT_LSTM_H

#include "gates.h"

enum { ERT_LSTM_GATES = 4, ERT_LSTM_CELL = 2 };

typedef struct {
  int32_t multiplier, shift;
} ert_lstm_scale;

typedef struct {
  int32_t reverse, steps;
  int32_t batch, in_c, units;
  int32_t w;          /* blob: int8[4][units][in_c] */
  int32_t r;          /* blob: int8[4][units][units] */
  int32_t bias;       /* blob: int32[4][units] (s16s8: int64) */
  int32_t state_bias; /* blob: int32[4][units] (s16s8: none) */
  int32_t scales;     /* blob: int32[4][4] */
  int32_t sigmoid;    /* blob: uint16[256] */
  ert_lstm_scale forget, input, out;
  int32_t zero_point, cell_clip;
  int32_t tanh_multiplier, tanh_shift;
} ert_lstm_s8s8_params;

typedef ert_lstm_s8s8_params ert_lstm_s16s8_params;

/* One rounding of a sum of 64 bits; what overflows int32 wraps, as in TFLite Micro. */
static inline int32_t ert_lstm_requantize(uint64_t x, int32_t multiplier, int32_t shift) {
  const uint64_t half = (uint64_t)1 << (((uint32_t)shift - 1u) & 63); /* any word of a file may be a shift */
  return ert_saturate16((int32_t)((int64_t)(x * (uint64_t)(int64_t)multiplier + half) >> (shift & 63)));
}

/* Kernels on vectors: sums of the gates with the input, those of one gate with the state. */
static inline int32_t ert_lstm_vector_scratch(const ert_lstm_s8s8_params *p) {
  return 4 * (ERT_LSTM_GATES + 1) * ert_whole_vectors(p->units);
}

int ert_lstm_s8s8_check(const ert_step *s);
int ert_lstm_s16s8_check(const ert_step *s);

#endif
