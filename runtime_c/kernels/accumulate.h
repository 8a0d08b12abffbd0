/* SPDX-License-Identifier: Apache-2.0 */
/* Element-wise sums and maxima over vectors: the inner loops of avg_pool2d, max_pool2d and reduce. */
#ifndef ERT_ACCUMULATE_H
#define ERT_ACCUMULATE_H

#include "kernel.h"

/* acc[i] += x[i], modulo 2^32 */
void ert_sum_s8(uint32_t *acc, const int8_t *x, int32_t n);
void ert_sum_s16(uint32_t *acc, const int16_t *x, int32_t n);
void ert_sum_f32(float *acc, const float *x, int32_t n);

/* acc[i] = max(acc[i], x[i]); a NaN on either side gives NaN */
void ert_max_s8(int8_t *acc, const int8_t *x, int32_t n);
void ert_max_s16(int16_t *acc, const int16_t *x, int32_t n);
void ert_max_f32(float *acc, const float *x, int32_t n);

static inline float ert_clamp_f32(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

#endif
