/* SPDX-License-Identifier: Apache-2.0 */
#include "dot.h"

typedef struct {
  const int32_t *bias, *multiplier;
  const int8_t *shift;
} tables;

static int8_t finish(const ert_rescale *r, const tables *t, int32_t o, uint32_t acc) {
  const int32_t i = o * r->step;
  const int32_t x = ert_requantize((int32_t)(acc + (uint32_t)t->bias[o]), t->multiplier[i], t->shift[i]);
  return (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)r->zero_point), r->min, r->max);
}

void ert_pixel_s8(const ert_call *c, const ert_rescale *r, const int8_t *x, const int8_t *w, int32_t n, int32_t n_out,
                  int8_t *out) {
  const tables t = {ert_blob(c, r->bias), ert_blob(c, r->multiplier), ert_blob(c, r->shift)};
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    uint32_t acc[4];
    ert_dot4_s8(x, w, n, acc);
    for (int32_t j = 0; j < 4; j++) out[o + j] = finish(r, &t, o + j, acc[j]);
  }
  for (; o < n_out; o++, w += n) out[o] = finish(r, &t, o, ert_dot_s8(x, w, n));
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
