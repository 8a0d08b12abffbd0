/* SPDX-License-Identifier: Apache-2.0 */
/* s8:  out[y, k] = table[in[y, k] + 128]
 * s16: with i = 256 + (x >> 7) and f = x mod 128 for each item x of in,
 *      out[y, k] = table[i] + (((table[i + 1] - table[i]) * f + 64) >> 7), difference and sum modulo 2^16
 * out may be in. */
#ifndef ERT_LUT_H
#define ERT_LUT_H

#include "kernel.h"

typedef struct {
  int32_t n;     /* items in a row */
  int32_t table; /* blob: int8[256] */
} ert_lut_s8_params;

typedef struct {
  int32_t n;     /* items in a row */
  int32_t table; /* blob: int16[513] */
} ert_lut_s16_params;

int ert_lut_s8_check(const ert_step *s);
int ert_lut_s16_check(const ert_step *s);

#endif
