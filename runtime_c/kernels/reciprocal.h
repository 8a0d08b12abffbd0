/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-point division, with the roundings of TFLite's integer kernels. */
#ifndef ERT_RECIPROCAL_H
#define ERT_RECIPROCAL_H

#include "isa.h"
#include "kernel.h"

/* a * b / 2^31, rounded half up */
static inline int32_t ert_high_product(int32_t a, int32_t b) { return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31); }

/* x * 2^n, saturated; n from 0 to 30 */
static inline int32_t ert_saturate_left(int32_t x, int32_t n) {
  const int32_t limit = INT32_MAX >> n;
  return x > limit ? INT32_MAX : x < -limit - 1 ? INT32_MIN : (int32_t)((uint32_t)x << n);
}

/* 2^62 / x for x in [2^31, 2^32), the quotient in (2^30, 2^31): Newton's iteration from 48/17 - 32/17 d in Q2.29,
 * d = x / 2^32. */
static inline int32_t ert_reciprocal(uint32_t x) {
  const int32_t d = (int32_t)(x >> 1);
  int32_t q = 1515870810 + ert_high_product(d, -1010580540);
  for (int32_t i = 0; i < 3; i++) q += ert_saturate_left(ert_high_product(q, (1 << 29) - ert_high_product(d, q)), 2);
  return ert_saturate_left(q, 1);
}

/* For x > 0. */
static inline int32_t ert_leading_zeros(uint32_t x) {
#if ERT_HAS_VECTORS && defined(__GNUC__)
  return __builtin_clz(x); /* an instruction there; elsewhere it may be a call of the compiler's library */
#else
  int32_t n = 0;
  for (; x < 0x80000000u; x <<= 1) n++;
  return n;
#endif
}

#endif
