/* SPDX-License-Identifier: Apache-2.0 */
/* out[i] = scale * (in[i] - zero_point) */
#ifndef ERT_DEQUANTIZE_H
#define ERT_DEQUANTIZE_H

#include "kernel.h"

typedef struct {
  int32_t n; /* items per row */
  float scale;
  int32_t zero_point;
} ert_dequantize_s8f32_params;

typedef ert_dequantize_s8f32_params ert_dequantize_s16f32_params;

int ert_dequantize_s8f32_check(const ert_step *s);
int ert_dequantize_s16f32_check(const ert_step *s);

#endif
