/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, k] = table[in[y, k] + 128]; out may be in. */
#ifndef ERT_LUT_H
#define ERT_LUT_H

#include "kernel.h"

typedef struct {
  int32_t n;     /* items in a row */
  int32_t table; /* blob: int8[256] */
} ert_lut_s8_params;

int ert_lut_s8_check(const ert_step *s);

#endif
