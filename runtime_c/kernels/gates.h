/* SPDX-License-Identifier: Apache-2.0 */
/* Integer gates of recurrent layers, as TFLite Micro computes them: Q3.12 in, Q0.15 out.
 *
 * table[i] is 2^16 / (1 + e^(-i / 24)), rounded as TFLite rounds it; the writer puts it in the weights.
 * sigmoid(x): linear between the two entries around 3 |x| / 2^9; tanh(x) = 2 sigmoid(2 x) - 1. */
#ifndef ERT_GATES_H
#define ERT_GATES_H

#include "requantize.h"

enum { ERT_SIGMOID_ENTRIES = 256 };

static inline int16_t ert_saturate16(int32_t x) { return (int16_t)ert_clamp(x, INT16_MIN, INT16_MAX); }

/* x is three times a Q3.12 number. */
int16_t ert_sigmoid16(const uint16_t *table, int32_t x);
int16_t ert_tanh16(const uint16_t *table, int32_t x);

/* How a gate's two sums become Q3.12: multiplier and shift of the input's, then of the state's. */
typedef struct {
  int32_t multiplier, shift, state_multiplier, state_shift;
} ert_gate_scale;

/* The sum of both products, each rescaled and saturated by itself. */
static inline int32_t ert_gate_sum(const ert_gate_scale *g, uint32_t input, uint32_t state) {
  const int32_t a = ert_saturate16(ert_requantize((int32_t)input, g->multiplier, g->shift));
  const int32_t b = ert_saturate16(ert_requantize((int32_t)state, g->state_multiplier, g->state_shift));
  return ert_saturate16(a + b);
}

#endif
