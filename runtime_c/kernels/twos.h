/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights of int16 layers in the order "twos": a word holds those of two channels for two items.
 *
 * Channels a and b = a + 1 have the bytes w[a][k], w[b][k], w[a][k + 1], w[b][k + 1]: SXTB16 takes one channel out, as the
 * halves that a word of the input has. A block is four channels: the words of its two pairs alternate through all k. k is
 * filled up to a multiple of 4, channels to blocks, with zeros.
 *
 * Scales lie as lanes.h has them, those of wide layers shifted as there. The writer guarantees sums with their bias below
 * 2^31, of layers that are not wide below 2^30 with right shifts of at least 1; then
 *
 *   wide: out = clamp((sum * multiplier + 2^31) >> 32)
 *   else: h = (2 * sum * multiplier + 2^31) >> 32, out = clamp((((h + (h >> 31)) >> (-shift - 1)) + 1) >> 1)
 *
 * is requantize.h's rescale_s16. */
#ifndef ERT_TWOS_H
#define ERT_TWOS_H

#include "lanes.h"
#include "pairs.h"

static inline int ert_twos_ok(const ert_step *s, int32_t weights, const ert_lanes_s16 *scales, int32_t n,
                              int32_t n_out) {
  return ert_within(scales->wide, 0, 1) && ert_blob_ok(s, weights, ert_pairs_words(n, n_out), 4) &&
         ert_four_lanes_ok(s, scales->scales, n_out);
}

/* The items of two windows, `bytes` of each: word by word of one and the other. */
void ert_interleave_two(uint32_t *slots, const int8_t *a, const int8_t *b, int32_t bytes);

/* One pixel from a window of n items. */
void ert_twos_one(const ert_call *c, const ert_lanes_s16 *scales, const uint32_t *w, const int16_t *x, int32_t n,
                  int32_t n_out, int16_t *out);

#endif
