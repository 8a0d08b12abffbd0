/* SPDX-License-Identifier: Apache-2.0 */
/* What Armv7-M has for the rescaling of sums, and the same in plain C. */
#ifndef ERT_THUMB2_H
#define ERT_THUMB2_H

#include "dsp.h"

/* Whether this build writes kernels as Thumb-2 instructions, not as plain C. */
#if defined(__GNUC__) && defined(__thumb2__)
#define ERT_THUMB2_ASM 1
#else
#define ERT_THUMB2_ASM 0
#endif

/* (2 * x * y + 2^31) >> 32 for |x| < 2^30 */
ERT_INLINE int32_t ert_doubled_high_product(int32_t x, int32_t y) {
  const uint64_t p = (uint64_t)((int64_t)(int32_t)((uint32_t)x * 2) * y);
  return (int32_t)((uint32_t)(p >> 32) + ((uint32_t)p >> 31));
}

/* panels.h's formula; `twice` is 1 + 2 * zero_point. */
ERT_INLINE int32_t ert_fast_s8(int32_t acc, int32_t multiplier, int32_t shift, int32_t twice) {
#if ERT_THUMB2_ASM
  int32_t low;
  __asm__(
      "lsl %0, %0, #1\n\tsmull %1, %0, %0, %2\n\tadd %0, %0, %1, lsr #31\n\tadd %0, %0, %0, asr #31\n\t"
      "asr %0, %0, %3\n\tadd %0, %0, %4\n\tssat %0, #8, %0, asr #1"
      : "+r"(acc), "=&r"(low)
      : "r"(multiplier), "r"(shift), "r"(twice)
      : "cc");
  return acc;
#else
  const int32_t high = ert_doubled_high_product(acc, multiplier);
  const int32_t shifted = (int32_t)((uint32_t)high - (high < 0)) >> (shift & 31);
  return ert_half_byte((int32_t)((uint32_t)shifted + (uint32_t)twice));
#endif
}

/* n bytes between places that do not overlap, and n times one byte: quick for the few that a window's row has. */
void ert_copy_bytes(uint8_t *to, const uint8_t *from, int32_t n);
void ert_fill_bytes(uint8_t *to, int32_t byte, int32_t n);

/* Whether n bytes at a lie on m bytes at b. An output may grow over rows of the input that later rows do not need: a
 * pixel that waits for a partner in the next row must not wait for one that is written where its own window lies. */
ERT_INLINE int ert_lies_on(const void *a, int32_t n, const void *b, int32_t m) {
  const uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
  return x < y + (uint32_t)m && y < x + (uint32_t)n;
}

#endif
