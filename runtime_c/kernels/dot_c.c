/* SPDX-License-Identifier: Apache-2.0 */
#include "dot.h"

void ert_pixel_s8(const ert_scales *s, const int8_t *x, const int8_t *w, int32_t n, int32_t n_out, int8_t *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    uint32_t acc[4];
    ert_dot4_s8(x, w, n, acc);
    for (int32_t j = 0; j < 4; j++) out[o + j] = ert_finish_s8(s, o + j, acc[j]);
  }
  for (; o < n_out; o++, w += n) out[o] = ert_finish_s8(s, o, ert_dot_s8(x, w, n));
}

static float clamp_f32(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

void ert_pixel_f32(const float *x, const float *w, const float *bias, int32_t n, int32_t n_out, float min, float max,
                   float *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    const float *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
    float a0 = bias[o], a1 = bias[o + 1], a2 = bias[o + 2], a3 = bias[o + 3];
    for (int32_t k = 0; k < n; k++) {
      const float v = x[k];
      a0 += v * w[k], a1 += v * w1[k], a2 += v * w2[k], a3 += v * w3[k];
    }
    out[o] = clamp_f32(a0, min, max), out[o + 1] = clamp_f32(a1, min, max);
    out[o + 2] = clamp_f32(a2, min, max), out[o + 3] = clamp_f32(a3, min, max);
  }
  for (; o < n_out; o++, w += n) {
    float acc = bias[o];
    for (int32_t k = 0; k < n; k++) acc += x[k] * w[k];
    out[o] = clamp_f32(acc, min, max);
  }
}
