/* SPDX-License-Identifier: Apache-2.0 */
/* Each row holds outer * groups * inner items; the n = outer * inner items [.., q, ..] of group q are normalised on
 * their own and scaled by what belongs to their channel c = q * inner + i (where per_channel is 0: to all of them):
 *
 * out = (x - mean) / sqrt(variance + epsilon) * scale[c] + shift[c]; not centred: mean 0, variance the mean of x^2.
 *
 * Layer norm has one group of one long inner axis, instance norm a group per channel. out may be in.
 *
 * f32:  the sums are taken over x less a first mean, in blocks, so that they keep their digits.
 * s8: with d = x - in_zero_point, s = sum of d (not centred: 0), v = n * (sum of d^2) - s^2, exactly in 64 bits,
 *
 *       w = v * 2^fraction + epsilon             epsilon: 2^fraction * n^2 * the real epsilon / (scale of x)^2, rounded
 *       r = 2^30 / sqrt(u / 2^32)                u: the highest bits of w, in [2^30, 2^32), w = u * 2^e with e even
 *       z = (n * d - s) * r / 2^h                rounded half up, h = max(1, 26 + e / 2 - fraction / 2): Q20
 *       out = clamp(zero_point + (gain[c] * z + offset[c] * 2^(shift - 10)) / 2^shift, -128, 127), rounded half up
 *
 *       r comes from four Newton steps r -= r * (r^2 * u - 1) / 2, r0 = 2308544921 - u * 1331439861 / 2^32, each
 *       product cut to 32 bits: within 2^-28 of the quotient. Where w is 0, r is 0. Before its last rounding out is
 *       within 2^-8 of the real formula, as far as gain and offset hold it.
 * s16: the same with d = x and z in Q24, to -32768 ... 32767; within 2^-7 where a gain is less than 2^16 output steps. */
#ifndef ERT_NORMALIZE_H
#define ERT_NORMALIZE_H

#include "requantize.h"

typedef struct {
  int32_t outer, groups, inner, centred, per_channel;
} ert_normalize_shape;

typedef struct {
  int32_t fraction, epsilon_high, epsilon_low; /* epsilon: a high and a low word */
} ert_normalize_root;

typedef struct {
  ert_normalize_shape shape;
  int32_t in_zero_point;
  ert_normalize_root root;
  int32_t gain;   /* blob: int32[channels] or int32[1]: scale / output scale in Q(shift - 20) */
  int32_t offset; /* blob: int32[channels] or int32[1]: shift / output scale in Q10 */
  int32_t shift, zero_point;
} ert_normalize_s8_params;

typedef struct {
  ert_normalize_shape shape;
  ert_normalize_root root;
  int32_t gain;   /* blob: int32[channels] or int32[1]: scale / output scale in Q(shift - 24) */
  int32_t offset; /* blob: int32[channels] or int32[1]: shift / output scale in Q10 */
  int32_t shift;
} ert_normalize_s16_params;

typedef struct {
  ert_normalize_shape shape;
  int32_t scale; /* blob: float[channels] or float[1] */
  int32_t shift; /* blob: float[channels] or float[1] */
  float epsilon;
} ert_normalize_f32_params;

/* (n * d - s) * factor / 2^right is the normalised item with so many places. */
typedef struct {
  int64_t factor, half, s;
  int32_t right, n;
} ert_normalizer;

/* Of a group of int8 items, with the sums of d and d^2. */
ert_normalizer ert_normalizer_s8(const ert_normalize_s8_params *p, int64_t sum, uint64_t squares);

/* 1 / sqrt(x) within 2 ulp. */
float ert_inverse_root(float x);

int ert_normalize_s8_check(const ert_step *s);
int ert_normalize_s16_check(const ert_step *s);
int ert_normalize_f32_check(const ert_step *s);

#endif
