/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise int8: up to 4 pixels x 16 channels. Two taps are added up in 16 bits where weights are above -128, then
 * widened; the taps of a pixel lie anywhere, those of its channels behind each other. */
#include "tiles_arm.h"

#if ERT_HAS_neon

enum { TAPS_CHANNELS = 16 };
#if defined(__aarch64__)
enum { TAPS_PIXELS = 4 };
#else
enum { TAPS_PIXELS = 2 }; /* half as many registers */
#endif

typedef struct {
  int32x4_t of[4]; /* channels 0-3, 4-7, ... */
} sums;

ERT_INLINE const int8_t *at(const ert_tile_args *t, int32_t tap, int32_t pixel) {
  return (const int8_t *)t->in[tap * t->stride + pixel] + t->offset;
}

/* Products of eight channels added to their sums. */
ERT_INLINE void widen(int32x4_t *s, int16x8_t products) {
  s[0] = vaddw_s16(s[0], vget_low_s16(products));
  s[1] = vaddw_s16(s[1], vget_high_s16(products));
}

ERT_INLINE void add_tap(int32x4_t *s, int8x16_t w, int8x16_t x) {
  widen(s, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
  widen(s + 2, vmull_s8(vget_high_s8(w), vget_high_s8(x)));
}

/* Two taps of sixteen channels. `wide`: any weights. */
ERT_INLINE void add_taps(int32x4_t *s, int8x16_t w0, int8x16_t w1, int8x16_t x0, int8x16_t x1, const int wide) {
  if (wide) {
    add_tap(s, w0, x0);
    add_tap(s, w1, x1);
    return;
  }
  const int16x8_t low = vmull_s8(vget_low_s8(w0), vget_low_s8(x0));
  const int16x8_t high = vmull_s8(vget_high_s8(w0), vget_high_s8(x0));
  widen(s, vmlal_s8(low, vget_low_s8(w1), vget_low_s8(x1)));
  widen(s + 2, vmlal_s8(high, vget_high_s8(w1), vget_high_s8(x1)));
}

ERT_INLINE int8x16_t finish(const ert_tile_args *t, const int32x4_t *s) {
  const int32_t *scales = t->scales;
  int16x4_t y[4];
  ERT_UNROLLED
  for (int o = 0; o < 4; o++) {
    const int32x4_t multiplier = vld1q_s32(scales + TAPS_CHANNELS + 4 * o);
    const int32x4_t left = vnegq_s32(vld1q_s32(scales + 2 * TAPS_CHANNELS + 4 * o));
    y[o] = vqmovn_s32(ert_neon_rescale(s[o], multiplier, left));
  }
  return ert_neon_finish(t, vcombine_s16(y[0], y[1]), vcombine_s16(y[2], y[3]));
}

/* All of a panel's channels. */
ERT_INLINE void whole(const ert_tile_args *t, const int pixels, const int wide) {
  const int32_t *bias = t->scales;
  const int8_t *w = t->weights;
  sums s[TAPS_PIXELS];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_UNROLLED
  for (int o = 0; o < 4; o++) s[i].of[o] = vld1q_s32(bias + 4 * o);
  int32_t r = 0;
  for (; r + 2 <= t->runs; r += 2, w += 2 * TAPS_CHANNELS) {
    const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + TAPS_CHANNELS);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) add_taps(s[i].of, w0, w1, vld1q_s8(at(t, r, i)), vld1q_s8(at(t, r + 1, i)), wide);
  }
  if (r < t->runs) {
    const int8x16_t w0 = vld1q_s8(w);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) add_tap(s[i].of, w0, vld1q_s8(at(t, r, i)));
  }
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) vst1q_s8(t->out[i], finish(t, s[i].of));
}

/* Sixteen bytes of which n are there, which is fewer. */
static int8x16_t load_some(const int8_t *p, int32_t n) {
  int8_t all[TAPS_CHANNELS] = {0};
  if (n == 8) return vcombine_s8(vld1_s8(p), vdup_n_s8(0));
  for (int32_t o = 0; o < n; o++) all[o] = p[o];
  return vld1q_s8(all);
}

/* Some of a panel's channels: the last ones of the layer. */
static void some(const ert_tile_args *t, int32_t pixel) {
  const int32_t *bias = t->scales;
  const int8_t *w = t->weights;
  int32x4_t s[4];
  for (int o = 0; o < 4; o++) s[o] = vld1q_s32(bias + 4 * o);
  for (int32_t r = 0; r < t->runs; r++, w += TAPS_CHANNELS)
    add_tap(s, vld1q_s8(w), load_some(at(t, r, pixel), t->channels));
  int8_t all[TAPS_CHANNELS], *out = t->out[pixel];
  vst1q_s8(all, finish(t, s));
  for (int32_t o = 0; o < t->channels; o++) out[o] = all[o];
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int wide) {
  if (t->channels == TAPS_CHANNELS) whole(t, pixels, wide);
  else
    for (int32_t i = 0; i < pixels; i++) some(t, i);
}

#define TILE(n)                                                            \
  static void depthwise_neon##n(const ert_tile_args *t) { tile(t, n, 0); } \
  static void depthwise_wide_neon##n(const ert_tile_args *t) { tile(t, n, 1); }
TILE(1)
TILE(2)
#if defined(__aarch64__)
TILE(3)
TILE(4)
static ert_tile_fn *const by_pixels[] = {depthwise_neon1, depthwise_neon2, depthwise_neon3, depthwise_neon4};
static ert_tile_fn *const wide_by_pixels[] = {depthwise_wide_neon1, depthwise_wide_neon2, depthwise_wide_neon3,
                                              depthwise_wide_neon4};
#else
static ert_tile_fn *const by_pixels[] = {depthwise_neon1, depthwise_neon2};
static ert_tile_fn *const wide_by_pixels[] = {depthwise_wide_neon1, depthwise_wide_neon2};
#endif

const ert_tiling ert_depthwise_s8_neon = {by_pixels, TAPS_PIXELS, {TAPS_CHANNELS, 1, 1, 8, ERT_SCALES_S8}, NULL, 0, 0,
                                          0};
const ert_tiling ert_depthwise_s8_wide_neon = {
    wide_by_pixels, TAPS_PIXELS, {TAPS_CHANNELS, 1, 1, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
