/* SPDX-License-Identifier: Apache-2.0 */
/* Local response normalisation over channels: out[k] = in[k] * (bias + alpha * sum of in[j]^2)^-beta for the channels j
 * from k - before to k + after that there are; rows of w pixels of c channels. */
#ifndef ERT_LRN_H
#define ERT_LRN_H

#include "kernel.h"

typedef struct {
  int32_t w, c;
  int32_t before, after; /* 0 to 2^24 */
  float bias, alpha, beta;
} ert_lrn_f32_params;

int ert_lrn_f32_check(const ert_step *s);

#endif
