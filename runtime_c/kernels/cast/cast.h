/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, k] = in[y, k] as dtype `to`:
 *
 * integer or bool to integer  the low bits
 * float to integer            rounded towards 0, saturated; NaN gives 0
 * anything to bool            x != 0
 * integer or bool to float    the nearest, ties to even
 *
 * out may be in where both items have one size. */
#ifndef ERT_CAST_H
#define ERT_CAST_H

#include "kernel.h"

typedef struct {
  int32_t n; /* items in a row */
  int32_t from, to;
} ert_cast_any_params;

int ert_cast_any_check(const ert_step *s);

#endif
