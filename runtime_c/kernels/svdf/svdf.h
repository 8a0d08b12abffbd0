/* SPDX-License-Identifier: Apache-2.0 */
/* A layer of filters with a memory: each filter's newest feature joins its last ones.
 *
 * state[b, f, t] = state[b, f, t + 1] for t < memory - 1; state[b, f, memory - 1] = feature[b, f]
 * feature[b, f] = sum over i of in[b, i] * w_feature[f, i]
 * out[b, u] = act(bias[u] + sum over r < rank, t of state[b, u * rank + r, t] * w_time[u * rank + r, t])
 *
 * The state is the second input and changed in place.
 * s8s8, s8s16 (the type of state and w_time):
 *     feature = clamp(requantize(feature_bias[f] + sum, feature_multiplier, feature_shift), type's range)
 *               + state_zero_point, modulo the type; feature_bias = - in_zero_point * (sum of w_feature[f])
 *     out = clamp(zero_point + requantize(sum, multiplier, shift), -128, 127); the bias has
 *           - state_zero_point * (sum of w_time) folded in. Sums are modulo 2^32. */
#ifndef ERT_SVDF_H
#define ERT_SVDF_H

#include "requantize.h"

typedef struct {
  int32_t in_c, units, rank, memory;
  int32_t w_feature; /* blob: type of in[units * rank][in_c] */
  int32_t w_time;    /* blob: type of state[units * rank][memory] */
  int32_t bias;      /* blob: int32 or float[units] */
} ert_svdf_layer;

typedef struct {
  ert_svdf_layer layer;
  int32_t feature_bias; /* blob: int32[units * rank] */
  int32_t feature_multiplier, feature_shift, state_zero_point;
  int32_t multiplier, shift, zero_point;
} ert_svdf_s8s8_params;

typedef ert_svdf_s8s8_params ert_svdf_s8s16_params;

typedef struct {
  ert_svdf_layer layer;
  float min, max;
} ert_svdf_f32_params;

static inline int32_t ert_svdf_vector_scratch(const ert_svdf_layer *l) {
  return ert_product(4, ert_whole_vectors(ert_product(l->units, l->rank)));
}

int ert_svdf_s8s8_check(const ert_step *s);
int ert_svdf_s8s16_check(const ert_step *s);
int ert_svdf_f32_check(const ert_step *s);

#endif
