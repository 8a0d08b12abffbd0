/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights in the order "pairs": two output channels share each half of a word.
 *
 * Channels a and b = a + 1 are a pair; w[a][k] + 256 * w[b][k] is a half. A word holds the halves of k and k + 2; after
 * the word of (0, 2) comes that of (1, 3), as SXTB16 takes the items of an int8 vector apart. A block is four channels:
 * the words of its two pairs alternate through all k. k is filled up to a multiple of 4, channels to blocks, with zeros.
 *
 * A product sum with the words as they are is A + 256 * B, with their low bytes (one SXTB16) A: two channels for one load
 * and one instruction of unpacking per four products. The writer guarantees |B| < 2^23, halves that fit 16 bits, sums
 * with their bias below 2^30, and right shifts of at least 1. Biases are stored twice as large, shifts less 1: then
 *
 *   h = (2 * (sum + bias) * multiplier + 2^31) >> 32
 *   out = clamp((((h + (h >> 31)) >> shift) + 1 + 2 * zero_point) >> 1)
 *
 * is requantize.h's rescale. */
#ifndef ERT_PAIRS_H
#define ERT_PAIRS_H

#include "requantize.h"

enum { ERT_PAIRS_BLOCK = 4, ERT_PAIRS_FACTORS = 9 }; /* channels of a block, words that rescale them */

typedef struct {
  int32_t weights; /* blob: int8 pairs[blocks][n in fours][4][4] */
  int32_t factors; /* blob: {int8 shift[4]; {int32 bias, multiplier}[4]}[blocks] */
  int32_t zero_point;
  int32_t min, max;
} ert_pairs_rescale;

/* Blocks of n_out channels. */
static inline int32_t ert_pairs_blocks(int32_t n_out) {
  return n_out / ERT_PAIRS_BLOCK + (n_out % ERT_PAIRS_BLOCK > 0);
}

/* Words of the weights of n_out channels of n items; INT32_MAX where that is too many. */
static inline int32_t ert_pairs_words(int32_t n, int32_t n_out) {
  const int32_t block = n > INT32_MAX - 3 ? INT32_MAX : (n + 3) & ~3;
  return ert_product(block, ert_pairs_blocks(n_out));
}

static inline int ert_pairs_rescale_ok(const ert_step *s, const ert_pairs_rescale *r, int32_t n, int32_t n_out) {
  return ert_blob_ok(s, r->weights, ert_pairs_words(n, n_out), 4) &&
         ert_blob_ok(s, r->factors, ert_product(ERT_PAIRS_FACTORS, ert_pairs_blocks(n_out)), 4);
}

/* n items of two windows as halves: word by word of one and the other. */
void ert_widen_two(uint32_t *slots, const int8_t *a, const int8_t *b, int32_t n);

/* One pixel from a window of n items; bias and shift as above, each in a blob of its own. */
void ert_pairs_one(const ert_scales *s, const uint32_t *w, const int8_t *x, int32_t n, int32_t n_out, int8_t *out);

/* Twice the sums of n_out channels, filled up to blocks, added to those of `doubled`; and outputs of them. */
void ert_pairs_add(const uint32_t *w, const int8_t *x, int32_t n, int32_t n_out, uint32_t *doubled);
void ert_pairs_finish(const ert_scales *s, const uint32_t *doubled, int32_t n_out, int8_t *out);

#endif
