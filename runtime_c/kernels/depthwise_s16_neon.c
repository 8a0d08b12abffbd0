/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise int16: up to 4 pixels x 16 channels. The weights of a tap are widened once for all of them. */
#include "tiles_arm.h"

#if ERT_HAS_neon

enum { TAPS16_CHANNELS = 16 };
#if defined(__aarch64__)
enum { TAPS16_PIXELS = 4 };
#else
enum { TAPS16_PIXELS = 2 }; /* half as many registers */
#endif

typedef struct {
  int32x4_t of[4]; /* channels 0-3, 4-7, ... */
} sums;

ERT_INLINE const int16_t *at(const ert_tile_args *t, int32_t tap, int32_t pixel) {
  return (const int16_t *)(const void *)((const uint8_t *)t->in[tap * t->stride + pixel] + t->offset);
}

ERT_INLINE void add_eight(int32x4_t *s, int16x8_t w, int16x8_t x) {
  s[0] = vmlal_s16(s[0], vget_low_s16(w), vget_low_s16(x));
  s[1] = vmlal_s16(s[1], vget_high_s16(w), vget_high_s16(x));
}

ERT_INLINE void add_tap(int32x4_t *s, int16x8_t w0, int16x8_t w1, const int16_t *x) {
  add_eight(s, w0, vld1q_s16(x));
  add_eight(s + 2, w1, vld1q_s16(x + 8));
}

ERT_INLINE void begin(const ert_tile_args *t, sums *s) {
  const int32_t *bias = t->scales;
  ERT_UNROLLED
  for (int o = 0; o < 4; o++) s->of[o] = vld1q_s32(bias + 4 * o);
}

ERT_INLINE int16x8_t finish(const ert_tile_args *t, const int32x4_t *s, const int first) {
  const int32_t *scales = (const int32_t *)t->scales + first;
  return ert_neon_outputs_s16(t, scales, s[first / 4], s[first / 4 + 1], TAPS16_CHANNELS);
}

/* All of a panel's channels. */
ERT_INLINE void whole(const ert_tile_args *t, const int pixels) {
  const int8_t *w = t->weights;
  sums s[TAPS16_PIXELS];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) begin(t, s + i);
  for (int32_t r = 0; r < t->runs; r++, w += TAPS16_CHANNELS) {
    const int8x16_t v = vld1q_s8(w);
    const int16x8_t w0 = vmovl_s8(vget_low_s8(v)), w1 = vmovl_s8(vget_high_s8(v));
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) add_tap(s[i].of, w0, w1, at(t, r, i));
  }
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    vst1q_s16(t->out[i], finish(t, s[i].of, 0));
    vst1q_s16((int16_t *)t->out[i] + 8, finish(t, s[i].of, 8));
  }
}

/* Some of a panel's channels: the last ones of the layer. */
static void some(const ert_tile_args *t, int32_t pixel) {
  const int8_t *w = t->weights;
  int16_t all[TAPS16_CHANNELS] = {0}, *out = t->out[pixel];
  sums s;
  begin(t, &s);
  for (int32_t r = 0; r < t->runs; r++, w += TAPS16_CHANNELS) {
    const int8x16_t v = vld1q_s8(w);
    for (int32_t o = 0; o < t->channels; o++) all[o] = at(t, r, pixel)[o];
    add_tap(s.of, vmovl_s8(vget_low_s8(v)), vmovl_s8(vget_high_s8(v)), all);
  }
  vst1q_s16(all, finish(t, s.of, 0));
  vst1q_s16(all + 8, finish(t, s.of, 8));
  for (int32_t o = 0; o < t->channels; o++) out[o] = all[o];
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels) {
  if (t->channels == TAPS16_CHANNELS) whole(t, pixels);
  else
    for (int32_t i = 0; i < pixels; i++) some(t, i);
}

#define TILE(n) \
  static void depthwise_s16_neon##n(const ert_tile_args *t) { tile(t, n); }
TILE(1)
TILE(2)
#if defined(__aarch64__)
TILE(3)
TILE(4)
static ert_tile_fn *const by_pixels[] = {depthwise_s16_neon1, depthwise_s16_neon2, depthwise_s16_neon3,
                                         depthwise_s16_neon4};
#else
static ert_tile_fn *const by_pixels[] = {depthwise_s16_neon1, depthwise_s16_neon2};
#endif

const ert_tiling ert_depthwise_s16_neon = {
    by_pixels, TAPS16_PIXELS, {TAPS16_CHANNELS, 1, 2, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
