/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise floats: up to 4 pixels x 16 channels. */
#include "tiles_arm.h"

#if ERT_HAS_neon

enum { CHANNELS = 16 };
#if defined(__aarch64__)
enum { PIXELS = 4 };
#define ADD(sum, w, x) vfmaq_f32(sum, w, x)
#else
enum { PIXELS = 2 }; /* half as many registers */
#define ADD(sum, w, x) vmlaq_f32(sum, w, x)
#endif

typedef struct {
  float32x4_t of[4]; /* channels 0-3, 4-7, ... */
} sums;

ERT_INLINE const float *at(const ert_tile_args *t, int32_t tap, int32_t pixel) {
  return (const float *)(const void *)((const uint8_t *)t->in[tap * t->stride + pixel] + t->offset);
}

ERT_INLINE float32x4_t clamp(const ert_tile_args *t, float32x4_t x) {
  return vmaxq_f32(vminq_f32(x, vdupq_n_f32(t->high)), vdupq_n_f32(t->low));
}

/* All of a panel's channels. */
ERT_INLINE void whole(const ert_tile_args *t, const int pixels) {
  const float *w = t->weights, *bias = t->scales;
  sums s[PIXELS];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_UNROLLED
  for (int o = 0; o < 4; o++) s[i].of[o] = vld1q_f32(bias + 4 * o);
  for (int32_t r = 0; r < t->runs; r++, w += CHANNELS) {
    float32x4_t v[4];
    ERT_UNROLLED
    for (int o = 0; o < 4; o++) v[o] = vld1q_f32(w + 4 * o);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) {
      const float *x = at(t, r, i);
      ERT_UNROLLED
      for (int o = 0; o < 4; o++) s[i].of[o] = ADD(s[i].of[o], v[o], vld1q_f32(x + 4 * o));
    }
  }
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    float *out = t->out[i];
    ERT_UNROLLED
    for (int o = 0; o < 4; o++) vst1q_f32(out + 4 * o, clamp(t, s[i].of[o]));
  }
}

/* Channels o to o + n of the panel, 1 <= n <= 4. */
static void some(const ert_tile_args *t, int32_t pixel, int32_t o, int32_t n) {
  const float *w = t->weights, *bias = t->scales;
  float32x4_t sum = vld1q_f32(bias + o);
  for (int32_t r = 0; r < t->runs; r++) {
    const float *x = at(t, r, pixel) + o;
    float all[4] = {0};
    for (int32_t k = 0; k < n; k++) all[k] = x[k];
    sum = ADD(sum, vld1q_f32(w + r * CHANNELS + o), n == 4 ? vld1q_f32(x) : vld1q_f32(all));
  }
  float all[4], *out = (float *)t->out[pixel] + o;
  vst1q_f32(all, clamp(t, sum));
  for (int32_t k = 0; k < n; k++) out[k] = all[k];
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels) {
  if (t->channels == CHANNELS) {
    whole(t, pixels);
    return;
  }
  for (int32_t i = 0; i < pixels; i++)
    for (int32_t o = 0; o < t->channels; o += 4) some(t, i, o, t->channels - o < 4 ? t->channels - o : 4);
}

static void tile1(const ert_tile_args *t) { tile(t, 1); }
static void tile2(const ert_tile_args *t) { tile(t, 2); }
#if defined(__aarch64__)
static void tile3(const ert_tile_args *t) { tile(t, 3); }
static void tile4(const ert_tile_args *t) { tile(t, 4); }
static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4};
#else
static ert_tile_fn *const by_pixels[] = {tile1, tile2};
#endif

const ert_tiling ert_depthwise_f32_neon = {by_pixels, PIXELS, CHANNELS, 1, 4};

#endif
