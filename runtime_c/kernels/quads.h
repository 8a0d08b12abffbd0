/* SPDX-License-Identifier: Apache-2.0 */
/* int4 weights in the order "quads": four output channels share each half of a word.
 *
 * Channels a to d are a block; (a + 8) + 16 * (b + 8) + 256 * (c + 8) + 4096 * d is a half of weights k. A word holds the
 * halves of k and k + 2; after the word of (0, 2) comes that of (1, 3). k and channels are filled up with zeros to
 * multiples of 4.
 *
 * Product sums with the words as they are and with three masks of them (bytes, even nibbles, the lowest nibbles) give all
 * four: eight products for one load and three instructions of unpacking. The 8s are subtracted beforehand: sums begin
 * with -8 * (sum of x) in each digit. The writer guarantees |sum| < 2^19 for each channel and, as in pairs.h, sums with
 * their bias below 2^30 and right shifts of at least 1. */
#ifndef ERT_QUADS_H
#define ERT_QUADS_H

#include "pairs.h"

typedef ert_pairs_rescale ert_quads_rescale; /* weights: int4 quads[blocks][n in fours][2][2][4] */

static inline int ert_quads_rescale_ok(const ert_step *s, const ert_quads_rescale *r, int32_t n, int32_t n_out) {
  const int32_t words = ert_pairs_words(n, n_out);
  return ert_blob_ok(s, r->weights, words == INT32_MAX ? words : words / 2, 4) &&
         ert_blob_ok(s, r->factors, ert_product(ERT_PAIRS_FACTORS, ert_pairs_blocks(n_out)), 4);
}

/* As ert_pairs_one. */
void ert_quads_one(const ert_scales *s, const uint32_t *w, const int8_t *x, int32_t n, int32_t n_out, int8_t *out);

#endif
