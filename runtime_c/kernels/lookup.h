/* SPDX-License-Identifier: Apache-2.0 */
/* A function of int16 as a table of 513 samples, 128 steps apart, and straight lines between them. */
#ifndef ERT_LOOKUP_H
#define ERT_LOOKUP_H

#include "kernel.h"

enum { ERT_LOOKUP_ITEMS = 513 };

/* With i = 256 + (x >> 7) and f = x mod 128: table[i] + ((table[i + 1] - table[i]) * f + 64 >> 7), modulo 2^16. */
static inline int16_t ert_lookup(const int16_t *table, int16_t x) {
  const int16_t *at = table + 256 + (x >> 7);
  const int16_t slope = (int16_t)(at[1] - at[0]);
  return (int16_t)(at[0] + ((slope * (x & 127) + 64) >> 7));
}

#endif
