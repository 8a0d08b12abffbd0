/* SPDX-License-Identifier: Apache-2.0 */
/* The logarithm of softmax over each run of n items, w runs to a row; out may be in.
 *
 * log_softmax s8: d = max(in) - in[i]; sum = sum over the d below n_steps of (exp[d] / 2^12, rounded), in Q12.19;
 *   l = log(sum) in Q5.26 by TFLite's rational approximation; out[i] = -128 where d reaches n_steps or
 *   -d <= requantize(l - 2^31, multiplier, shift), else clamp(127 + ((difference[d] - l) / 2^22, rounded), -128, 127).
 *   exp and difference hold what TFLite's fixed-point steps give for -d input steps, in Q0.31 and Q5.26.
 * log_softmax f32: x[i] - ln(sum over j of e^x[j]), x = in - max(in); NaN anywhere gives NaN. */
#ifndef ERT_LOG_SOFTMAX_H
#define ERT_LOG_SOFTMAX_H

#include "kernel.h"

typedef struct {
  int32_t w, n;
  int32_t exp;        /* blob: int32[n_steps], exp[0] = 2^31 - 1, no item negative */
  int32_t difference; /* blob: int32[n_steps], from 0 downwards */
  int32_t n_steps;    /* 1 to 256 */
  int32_t multiplier, shift;
} ert_log_softmax_s8_params;

typedef struct {
  int32_t w, n;
} ert_log_softmax_f32_params;

int ert_log_softmax_s8_check(const ert_step *s);
int ert_log_softmax_f32_check(const ert_step *s);

#endif
