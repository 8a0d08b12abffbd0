/* SPDX-License-Identifier: Apache-2.0 */
/* Four dot products of one input vector with four weight rows, the inner loop of the portable
 * conv2d and fully_connected. */
#ifndef ERT_DOT_H
#define ERT_DOT_H

#include "half.h"
#include "requantize.h"

/* acc[j] = sum over k of x[k] * w[j * n + k] for j in 0..3, modulo 2^32; n is at least 1. */
#if ERT_THUMB1_ASM
void ert_dot4_s8(const int8_t *x, const int8_t *w, int32_t n, uint32_t *acc);
#else
static inline void ert_dot4_s8(const int8_t *restrict x, const int8_t *restrict w, int32_t n, uint32_t *restrict acc) {
  const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
  uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  ERT_UNROLL
  for (int32_t k = 0; k < n; k++) {
    const int32_t v = x[k];
    a0 += (uint32_t)(v * w[k]);
    a1 += (uint32_t)(v * w1[k]);
    a2 += (uint32_t)(v * w2[k]);
    a3 += (uint32_t)(v * w3[k]);
  }
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}
#endif

static inline uint32_t ert_dot_s8(const int8_t *restrict x, const int8_t *restrict w, int32_t n) {
  uint32_t acc = 0;
  for (int32_t k = 0; k < n; k++) acc += (uint32_t)(x[k] * w[k]);
  return acc;
}

/* One output pixel of n_out channels from a window of n values. */
void ert_pixel_s8(const ert_scales *s, const int8_t *x, const int8_t *w, int32_t n, int32_t n_out, int8_t *out);

void ert_pixel_s16s8(const ert_scales_s16 *s, const int16_t *x, const int8_t *w, int32_t n, int32_t n_out,
                     int16_t *out);

/* What a float layer has beside its weights; scale belongs to int8 weights and steps by 0 or 1 per channel. */
typedef struct {
  const float *bias, *scale;
  int32_t step;
  float min, max;
} ert_float_finish;

/* out[o] = clamp(bias[o] + scale[o * step] * (sum over k of x[k] * w[o * n + k]), min, max), f16: scale 1 */
void ert_pixel_f32s8(const ert_float_finish *f, const float *x, const int8_t *w, int32_t n, int32_t n_out, float *out);
void ert_pixel_f32f16(const ert_float_finish *f, const float *x, const uint16_t *w, int32_t n, int32_t n_out,
                      float *out);

/* out[o] = clamp(bias[o] + sum over k of x[k] * w[o * n + k], min, max) */
void ert_pixel_f32(const float *x, const float *w, const float *bias, int32_t n, int32_t n_out, float min, float max,
                   float *out);

#endif
