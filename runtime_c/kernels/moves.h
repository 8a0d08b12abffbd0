/* SPDX-License-Identifier: Apache-2.0 */
/* Moves of a few bytes that do not overlap: on cores with vectors a call costs more than they do. */
#ifndef ERT_MOVES_H
#define ERT_MOVES_H

#include "isa.h"
#include "kernel.h"

ERT_INLINE void ert_move_few(uint8_t *to, const uint8_t *from, int32_t n) {
#if ERT_HAS_VECTORS
  if (n > 128) {
    ERT_MEMMOVE(to, from, n);
  } else if (n >= 16) {
    for (int32_t i = 0; i < n - 16; i += 16) ERT_MEMMOVE(to + i, from + i, 16);
    ERT_MEMMOVE(to + n - 16, from + n - 16, 16);
  } else if (n >= 8) {
    ERT_MEMMOVE(to, from, 8);
    ERT_MEMMOVE(to + n - 8, from + n - 8, 8);
  } else if (n >= 4) {
    ERT_MEMMOVE(to, from, 4);
    ERT_MEMMOVE(to + n - 4, from + n - 4, 4);
  } else {
    for (int32_t i = 0; i < n; i++) to[i] = from[i];
  }
#else
  ERT_MEMMOVE(to, from, n);
#endif
}

#endif
