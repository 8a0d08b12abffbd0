/* SPDX-License-Identifier: Apache-2.0 */
/* Roots, logarithms and powers without libm. */
#ifndef ERT_POWER_H
#define ERT_POWER_H

#include "kernel.h"

/* The float32 with these bits, and the bits of one. */
static inline float ert_float_of(uint32_t bits) {
  float x;
  ERT_MEMMOVE(&x, &bits, sizeof x);
  return x;
}

static inline uint32_t ert_bits_of(float x) {
  uint32_t bits;
  ERT_MEMMOVE(&bits, &x, sizeof bits);
  return bits;
}

/* sqrt(x) within 1 ulp; NaN below 0. */
float ert_sqrt(float x);

/* ln x within 1 ulp; -infinity at 0, NaN below it. */
float ert_log(float x);

/* x^y within 1 ulp, with the special values of C's pow. */
float ert_pow(float x, float y);

#endif
