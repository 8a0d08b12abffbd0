/* SPDX-License-Identifier: Apache-2.0 */
/* int8 weights in the order "pairs": two output channels share each half of a word.
 *
 * Channels a and b = a + 1 are a pair; w[a][k] + 256 * w[b][k] is a half. A word holds the halves of k and k + 2; after
 * the word of (0, 2) comes that of (1, 3), as SXTB16 takes the items of an int8 vector apart. Words of two pairs
 * alternate through all k; then come the next four channels; one or two channels that are left are a single pair.
 * k is filled up to a multiple of 4 and channels to a multiple of 2 with zeros.
 *
 * A product sum with the words as they are is A + 256 * B, with their low bytes (one SXTB16) A: two channels for one load
 * and one instruction of unpacking per four products. The writer guarantees |B| < 2^23, halves that fit 16 bits, sums
 * with their bias below 2^30, and right shifts of at least 1. `bias` holds twice the bias, `shift` one less than the
 * right shift: then
 *
 *   h = (2 * (sum + bias) * multiplier + 2^31) >> 32
 *   out = clamp(((h + (h >> 31)) >> shift) + 1 + 2 * zero_point) >> 1)
 *
 * is requantize.h's rescale. */
#ifndef ERT_PAIRS_H
#define ERT_PAIRS_H

#include "requantize.h"

typedef struct {
  const uint32_t *w;
  ert_scales s;
  int32_t n, n_out;
} ert_pairs;

/* Bytes of the weights of n_out channels of n items; INT32_MAX where that is too many. */
static inline int32_t ert_pairs_bytes(int32_t n, int32_t n_out) {
  return n > INT32_MAX - 3 || n_out == INT32_MAX ? INT32_MAX : ert_product((n + 3) & ~3, (n_out + 1) & ~1);
}

/* Items of a window, each as a half, to two slots that alternate word by word. */
void ert_widen_slot(uint32_t *slot, const int8_t *x, int32_t n);

/* Two pixels of n_out channels from two slots of widened windows; first[i] is written after second[i]. */
void ert_pairs_two(const ert_pairs *p, const uint32_t *slots, int8_t *first, int8_t *second);

/* One pixel from a window of n items. */
void ert_pairs_one(const ert_pairs *p, const int8_t *x, int8_t *out);

#endif
