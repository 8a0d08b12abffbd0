/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int8 items over pixels and their quotients, for the averages of MVE. */
#ifndef ERT_SUMS_MVE_H
#define ERT_SUMS_MVE_H

#include "mve.h"

#if ERT_HAS_mve

/* acc[i] += x[i] + x[step + i] + ... for n >= 0 pixels of `channels` items. Four instructions for four items. */
ERT_INLINE void ert_mve_sum(int32_t *acc, const int8_t *x, int32_t channels, int32_t n, int32_t step) {
  for (; channels > 0; channels -= 4, acc += 4, x += 4) {
    const mve_pred16_t here = vctp32q((uint32_t)channels);
    int32x4_t sum = vldrwq_z_s32(acc, here);
    const int8_t *at = x;
    if (channels >= 4)
      for (int32_t i = 0; i < n; i++, at += step) sum = vaddq_s32(sum, vldrbq_s32(at));
    else
      for (int32_t i = 0; i < n; i++, at += step) sum = vaddq_s32(sum, vldrbq_z_s32(at, here));
    vstrwq_p_s32(acc, sum, here);
  }
}

/* Quotients by `count` >= 1, rounded to nearest, halves away from zero: sums of int8 items of up to MOST_RECIPROCAL are
 * multiplied by 1 / count, rounded up to 31 bits; what that adds is less than 1 / count of the quotient. */
typedef struct {
  int32_t count, half, reciprocal; /* 0: divide */
} ert_mve_division;

enum { MOST_RECIPROCAL = 4000 };

ERT_INLINE ert_mve_division ert_mve_division_by(int32_t count) {
  const int near = count > 1 && count <= MOST_RECIPROCAL;
  return (ert_mve_division){count, count / 2, near ? (int32_t)(0x80000000u / (uint32_t)count) + 1 : 0};
}

ERT_INLINE int32x4_t ert_mve_divide(const ert_mve_division *d, int32x4_t sums) {
  if (d->reciprocal) {
    const int32x4_t q = vqdmulhq_n_s32(vaddq_n_s32(vabsq_s32(sums), d->half), d->reciprocal);
    return vnegq_m_s32(q, q, vcmpltq_n_s32(sums, 0));
  }
  int32_t items[4];
  vstrwq_s32(items, sums);
  for (int i = 0; i < 4; i++) {
    const uint32_t half = items[i] > 0 ? (uint32_t)d->half : 0u - (uint32_t)d->half;
    items[i] = (int32_t)((uint32_t)items[i] + half) / d->count;
  }
  return vldrwq_s32(items);
}

#endif
#endif
