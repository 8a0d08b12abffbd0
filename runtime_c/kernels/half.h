/* SPDX-License-Identifier: Apache-2.0 */
/* float16 weights on cores without instructions for them. */
#ifndef ERT_HALF_H
#define ERT_HALF_H

#include "kernel.h"

/* The float with the value of an IEEE 754 half, exact for every one of them. */
static inline float ert_half(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  uint32_t bits = (magnitude << 13) + (112u << 23); /* rebias the exponent from 15 to 127 */
  if (magnitude >= 0x7c00u) bits += 112u << 23;     /* infinity, NaN */
  if (magnitude < 0x0400u) {                        /* subnormal or zero */
    uint32_t fraction = magnitude, exponent = 113;
    for (; fraction && fraction < 0x0400u; exponent--) fraction <<= 1;
    bits = fraction ? (exponent << 23) + ((fraction & 0x03ffu) << 13) : 0;
  }
  bits |= sign;
  float x;
  ERT_MEMMOVE(&x, &bits, sizeof x);
  return x;
}

#endif
