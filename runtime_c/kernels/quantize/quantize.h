/* SPDX-License-Identifier: Apache-2.0 */
/* f32s8, f32s16: out[i] = clamp(zero_point + round(in[i] / scale), low, high), halves away from zero; NaN gives
 *                zero_point; low and high are the ends of the output's type.
 * s8s16, s16s8, s16s16: clamp(zero_point + requantize(in[i] - in_zero_point, multiplier, shift), low, high) */
#ifndef ERT_QUANTIZE_H
#define ERT_QUANTIZE_H

#include "kernel.h"

typedef struct {
  int32_t n; /* items per row */
  float scale;
  int32_t zero_point;
} ert_quantize_f32s8_params;

typedef ert_quantize_f32s8_params ert_quantize_f32s16_params;

typedef struct {
  int32_t n; /* items per row */
  int32_t in_zero_point, multiplier, shift, zero_point;
} ert_quantize_s16s16_params;

typedef ert_quantize_s16s16_params ert_quantize_s8s16_params;
typedef ert_quantize_s16s16_params ert_quantize_s16s8_params;

int ert_quantize_f32s8_check(const ert_step *s);
int ert_quantize_f32s16_check(const ert_step *s);
int ert_quantize_s8s16_check(const ert_step *s);
int ert_quantize_s16s8_check(const ert_step *s);
int ert_quantize_s16s16_check(const ert_step *s);

#endif
