/* SPDX-License-Identifier: Apache-2.0 */
/* Running sums of each column: out[y, g, t, i] = sum of in[y, g, s, i] for s <= t (exclusive 1: s < t; reverse 1: s >= t
 * or s > t). Integers modulo 2^bits; int8 where the multiplier is not 0:
 *
 * clamp(zero_point + requantize(sum of (x - in_zero_point) * 2^19, multiplier, shift)), the sum modulo 2^32, an
 * exclusive or empty sum beginning at -in_zero_point * 2^19. This is TFLite Micro's formula. */
#ifndef ERT_CUMSUM_H
#define ERT_CUMSUM_H

#include "requantize.h"

typedef struct {
  int32_t groups, n, inner; /* a row is groups of n * inner items */
  int32_t dtype, exclusive, reverse;
  int32_t in_zero_point, multiplier, shift, zero_point;
} ert_cumsum_any_params;

int ert_cumsum_any_check(const ert_step *s);

#endif
