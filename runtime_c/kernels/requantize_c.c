/* SPDX-License-Identifier: Apache-2.0 */
#include "requantize.h"

void ert_clamp_row(int8_t *out, int32_t n, int32_t low, int32_t high) {
  for (; n > 0 && (low > INT8_MIN || high < INT8_MAX); n--, out++) *out = (int8_t)ert_clamp(*out, low, high);
}

/* Armv6-M multiplies to 32 bits: four products of halves, none of whose sums overflows. */
#if ERT_THUMB1_ASM

#define UNUSED __attribute__((unused))

__attribute__((naked)) int32_t ert_requantize(UNUSED int32_t x, UNUSED int32_t multiplier, UNUSED int32_t shift) {
  __asm__(
      ".syntax unified\n"
      "push {r4, r5, lr}\n"
      "cmp r2, #0\n blt 1f\n lsls r0, r2\n"
      "1: uxth r3, r0\n asrs r0, r0, #16\n uxth r4, r1\n asrs r1, r1, #16\n"
      "movs r5, r3\n muls r5, r4\n lsrs r5, r5, #16\n"
      "muls r3, r1\n adds r3, r3, r5\n"               /* x low * y high + carry */
      "muls r4, r0\n uxth r5, r3\n adds r4, r4, r5\n" /* x high * y low + what is left of that */
      "muls r0, r1\n asrs r3, r3, #16\n adds r0, r0, r3\n asrs r3, r4, #16\n adds r0, r0, r3\n"
      "lsls r0, r0, #1\n uxth r4, r4\n movs r5, #1\n lsls r5, r5, #14\n adds r4, r4, r5\n lsrs r4, r4, #15\n"
      "adds r0, r0, r4\n"
      "cmp r2, #0\n bge 2f\n"
      "asrs r3, r0, #31\n adds r0, r0, r3\n mvns r2, r2\n asrs r0, r2\n adds r0, r0, #1\n asrs r0, r0, #1\n"
      "2: pop {r4, r5, pc}\n");
}

#endif
