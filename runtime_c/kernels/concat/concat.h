/* SPDX-License-Identifier: Apache-2.0 */
/* Up to ERT_MAX_INPUTS inputs one after another, as bytes.
 *
 * by_rows 1: the rows of the first input (part[0] of them), then those of the second, ...
 * by_rows 0: each output row is `repeats` times part[0] bytes of the first input, part[1] of the second, ... */
#ifndef ERT_CONCAT_H
#define ERT_CONCAT_H

#include "kernel.h"

typedef struct {
  int32_t by_rows, repeats;
  int32_t part[ERT_MAX_INPUTS];
} ert_concat_b1_params;

int ert_concat_b1_check(const ert_step *s);

#endif
