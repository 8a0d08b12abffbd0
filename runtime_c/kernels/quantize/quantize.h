/* SPDX-License-Identifier: Apache-2.0 */
/* out[i] = clamp(zero_point + round(in[i] / scale), -128, 127), halves away from zero; NaN gives zero_point. */
#ifndef ERT_QUANTIZE_H
#define ERT_QUANTIZE_H

#include "kernel.h"

typedef struct {
  int32_t n; /* items per row */
  float scale;
  int32_t zero_point;
} ert_quantize_f32s8_params;

int ert_quantize_f32s8_check(const ert_step *s);

#endif
