/* SPDX-License-Identifier: Apache-2.0 */
#include "accumulate.h"

void ert_sum_s8(uint32_t *acc, const int8_t *x, int32_t n) {
  for (int32_t i = 0; i < n; i++) {
    const int32_t v = x[i];
    acc[i] += (uint32_t)v;
  }
}

void ert_sum_f32(float *acc, const float *x, int32_t n) {
  for (int32_t i = 0; i < n; i++) acc[i] += x[i];
}

void ert_max_s8(int8_t *acc, const int8_t *x, int32_t n) {
  for (int32_t i = 0; i < n; i++) acc[i] = x[i] > acc[i] ? x[i] : acc[i];
}

void ert_max_f32(float *acc, const float *x, int32_t n) {
  for (int32_t i = 0; i < n; i++) acc[i] = x[i] > acc[i] || x[i] != x[i] ? x[i] : acc[i];
}

void ert_sum_s16(uint32_t *acc, const int16_t *x, int32_t n) {
  for (int32_t i = 0; i < n; i++) {
    const int32_t v = x[i];
    acc[i] += (uint32_t)v;
  }
}

void ert_max_s16(int16_t *acc, const int16_t *x, int32_t n) {
  for (int32_t i = 0; i < n; i++) acc[i] = x[i] > acc[i] ? x[i] : acc[i];
}
