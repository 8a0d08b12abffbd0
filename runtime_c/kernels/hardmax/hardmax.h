/* SPDX-License-Identifier: Apache-2.0 */
/* `one` at the first largest of each row of n items, `zero` elsewhere; a NaN is never the largest. out may be in. */
#ifndef ERT_HARDMAX_H
#define ERT_HARDMAX_H

#include "kernel.h"

typedef struct {
  int32_t n;
  int32_t one, zero; /* stored bytes */
} ert_hardmax_s8_params;

typedef struct {
  int32_t n;
} ert_hardmax_f32_params;

int ert_hardmax_s8_check(const ert_step *s);
int ert_hardmax_f32_check(const ert_step *s);

#endif
