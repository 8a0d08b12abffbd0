/* SPDX-License-Identifier: Apache-2.0 */
/* `one` at the first largest of each run of n items, `zero` elsewhere, w runs to a row; a NaN gives way to any number.
 * out may be in. */
#ifndef ERT_HARDMAX_H
#define ERT_HARDMAX_H

#include "kernel.h"

typedef struct {
  int32_t w, n;
  int32_t one, zero; /* stored bytes */
} ert_hardmax_s8_params;

typedef struct {
  int32_t w, n;
} ert_hardmax_f32_params;

int ert_hardmax_s8_check(const ert_step *s);
int ert_hardmax_f32_check(const ert_step *s);

#endif
