/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 8 pixels x 8 channels, 16 vectors of sums; for 16 terms of K 16 vectors of weights, one of each pixel and 64
 * products of four terms. */
#include "tiles_arm.h"

#if ERT_HAS_neondot && ERT_HAS_neon

ERT_BEGIN_neondot

enum { PIXELS = 8, CHANNELS = 8 };

typedef struct {
  int32x4_t low[PIXELS], high[PIXELS]; /* channels 0-3 and 4-7 */
} sums;

/* Four terms of K: lane `lane` of every pixel's vector. */
#define MULTIPLY(lane)                                          \
  do {                                                          \
    const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);    \
    w += 4 * CHANNELS;                                          \
    ERT_UNROLLED                                                \
    for (int i = 0; i < pixels; i++) {                          \
      s->low[i] = vdotq_laneq_s32(s->low[i], w0, x[i], lane);   \
      s->high[i] = vdotq_laneq_s32(s->high[i], w1, x[i], lane); \
    }                                                           \
  } while (0)

/* The products of a run; where its weights end. */
ERT_INLINE const int8_t *add_run(sums *s, const int8_t **from, const int8_t *w, int32_t run, const int pixels) {
  int8x16_t x[PIXELS];
  for (uint32_t n = (uint32_t)run / 16; n != 0; n--) {
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) x[i] = vld1q_s8(from[i]), from[i] += 16;
    MULTIPLY(0);
    MULTIPLY(1);
    MULTIPLY(2);
    MULTIPLY(3);
  }
  for (uint32_t n = (uint32_t)run % 16 / 4; n != 0; n--) {
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) x[i] = vreinterpretq_s8_s32(vdupq_n_s32(ert_neon_word(from[i]))), from[i] += 4;
    MULTIPLY(0);
  }
  return w;
}

ERT_INLINE void store(const ert_tile_args *t, const sums *s, int32_t pixels) {
  const int32_t *scales = t->scales;
  const int32x4_t m0 = vld1q_s32(scales + 8), m1 = vld1q_s32(scales + 12);
  const int32x4_t s0 = vnegq_s32(vld1q_s32(scales + 16)), s1 = vnegq_s32(vld1q_s32(scales + 20));
  void *const *const out = t->out;
  int16x8_t y[PIXELS + 1];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++)
    y[i] =
        vcombine_s16(vqmovn_s32(ert_neon_rescale(s->low[i], m0, s0)), vqmovn_s32(ert_neon_rescale(s->high[i], m1, s1)));
  y[pixels] = y[0];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i += 2) {
    const int8x16_t both = ert_neon_finish(t, y[i], y[i + 1]);
    vst1_s8(out[i], vget_low_s8(both));
    if (i + 1 < pixels) vst1_s8(out[i + 1], vget_high_s8(both));
  }
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels) {
  const int32_t *bias = t->scales;
  const int8_t *w = t->weights;
  sums s;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s.low[i] = vld1q_s32(bias), s.high[i] = vld1q_s32(bias + 4);
  for (int32_t r = 0; r < t->runs; r++) {
    const int8_t *from[PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels);
  }
  store(t, &s, pixels);
}

#define TILE(n)                                                \
  static void tile##n(const ert_tile_args *t) {                \
    if (t->channels == CHANNELS) tile(t, n);                   \
    else ert_tile_some(t, tile##n, &ert_tiling_s8_neondot, n); \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

ERT_END_neondot

static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4, tile5, tile6, tile7, tile8};
const ert_tiling ert_tiling_s8_neondot = {by_pixels, PIXELS, CHANNELS, 4, 1};

#endif
