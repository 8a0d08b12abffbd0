/* SPDX-License-Identifier: Apache-2.0 */
/* The layout "lanes" of conv2d and fully_connected: what turns the sums of four output channels into bytes lies together,
 * as vectors of four lanes read it. Channels are filled up to a multiple of four with weights and biases of 0; the
 * weights, in the order of the plain layout and with rows of fewer than 16 filled up (int16: not so), are followed by 16 bytes that may be read. The writer guarantees shifts of
 * -1 to -31, the only ones for which
 *
 *   h = (2 * (sum + bias) * multiplier + 2^31) >> 32
 *   out = clamp(((h + (h >> 31) + 2^(-shift - 1)) >> -shift) + zero_point, min, max)
 *
 * is requantize.h's rescale.
 *
 * int4 weights: rows of fewer than 32 are int8 ones. Longer rows are runs (conv2d: ert_conv2d_runs), each of which has 32
 * weights in 16 bytes, byte i weights i in its low nibble and 16 + i in its high one. What is left of a run has bytes of
 * its own, the high nibble of each. Biases are 16 times what they stand for, and sums with them 16 times below 2^31.
 *
 * int16 layers have sums of 32 bits. Wide ones, of requantize.h's rescale_s16, have multipliers shifted to the left by 17
 * plus their shift, which is -17 to -1: then (sum * multiplier + 2^31) >> 32 is ert_requantize_wide. */
#ifndef ERT_LANES_H
#define ERT_LANES_H

#include "requantize.h"

typedef struct {
  int32_t bias[4], multiplier[4];
  int8_t shift[4];
} ert_four_lanes;

typedef struct {
  int32_t scales; /* blob: ert_four_lanes[ceil(n / 4)] */
  int32_t zero_point, min, max;
} ert_lanes;

typedef struct {
  int32_t scales; /* blob: ert_four_lanes[ceil(n / 4)] */
  int32_t wide;
  int32_t min, max;
} ert_lanes_s16;

enum { ERT_LANES_SPARE = 16 };

static inline int32_t ert_lanes_count(int32_t n) { return n / 4 + (n % 4 != 0); }

/* Bytes from a row of n int8 weights of an int8 layer to the next: short ones fill a vector. */
static inline int32_t ert_lanes_s8_bytes(int32_t n) { return n < 16 ? 16 : n; }

/* Bytes of `runs` runs of n int4 weights, all of a row; INT32_MAX stands for too many. */
static inline int32_t ert_lanes_s4_bytes(int32_t runs, int32_t n) {
  if (ert_product(runs, n) < 32) return ert_lanes_s8_bytes(runs * n);
  return ert_product(runs, n / 32 * 16 + (n & 31));
}

static inline int ert_four_lanes_ok(const ert_step *s, int32_t scales, int32_t n) {
  const int32_t bytes = ert_product((int32_t)sizeof(ert_four_lanes), ert_lanes_count(n));
  return ert_blob_ok(s, scales, 4, 4) && ert_blob_ok(s, scales, bytes, 1);
}

/* The scales of n channels, and their weights in rows of `row_bytes`, at most INT32_MAX, which stands for too many. */
static inline int ert_lanes_ok(const ert_step *s, int32_t scales, int32_t weights, int32_t row_bytes, int32_t n) {
  const int32_t bytes = ert_product(row_bytes, ert_product(4, ert_lanes_count(n)));
  return bytes <= INT32_MAX - ERT_LANES_SPARE && ert_blob_ok(s, weights, bytes + ERT_LANES_SPARE, 1) &&
         ert_four_lanes_ok(s, scales, n);
}

#endif
