/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 8 pixels x 8 channels, 16 vectors of sums; for 16 terms of K 16 vectors of weights, one of each pixel and 64
 * products of four terms. */
#include "tiles_arm.h"

#if ERT_HAS_neondot && ERT_HAS_neon

ERT_BEGIN_neondot

enum { DOT_PIXELS = 8, DOT_CHANNELS = 8 };

typedef struct {
  int32x4_t low[DOT_PIXELS], high[DOT_PIXELS]; /* channels 0-3 and 4-7 */
} sums;

typedef struct {
  int8x16_t low, high;
} channels;

#if ERT_NEON_ORDERED
#define ADD(sum, w, x, lane) __asm__ volatile("sdot %0.4s, %1.16b, %2.4b[" #lane "]" : "+w"(sum) : "w"(w), "w"(x))
#else
#define ADD(sum, w, x, lane) sum = vdotq_laneq_s32(sum, w, x, lane)
#endif

/* Four terms of every pixel; the next weights, and inputs after their last lane, are loaded meanwhile. */
#define MULTIPLY(lane, now, next)                                                              \
  do {                                                                                         \
    if ((lane) < 3 || more) ERT_NEON_LOAD_PAIR((next).low, (next).high, w, 32 * ((lane) + 1)); \
    ERT_UNROLLED                                                                               \
    for (int i = 0; i < pixels; i++) {                                                         \
      ADD(s->low[i], (now).low, x[i], lane);                                                   \
      ADD(s->high[i], (now).high, x[i], lane);                                                 \
      if ((lane) == 3 && more) ERT_NEON_LOAD(x[i], from[i], at);                               \
    }                                                                                          \
  } while (0)

/* Sixteen terms; `more`: others follow, whose inputs are `at` bytes behind where they begin. */
ERT_INLINE void add_sixteen(sums *s, int8x16_t *x, channels *v, const int8_t *const *from, ptrdiff_t at,
                            const int8_t *w, const int pixels, const int more) {
  MULTIPLY(0, v[0], v[1]);
  MULTIPLY(1, v[1], v[0]);
  MULTIPLY(2, v[0], v[1]);
  MULTIPLY(3, v[1], v[0]);
}

/* The products of a run; where its weights end. */
ERT_INLINE const int8_t *add_run(sums *s, const int8_t *const *from, const int8_t *w, int32_t run, const int pixels) {
  const int32_t whole = run & ~15;
  if (whole > 0) {
    int8x16_t x[DOT_PIXELS];
    channels v[2];
    const ptrdiff_t end = (ptrdiff_t)whole * (ptrdiff_t)sizeof(int8_t);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) ERT_NEON_LOAD(x[i], from[i], (ptrdiff_t)0);
    ERT_NEON_LOAD_PAIR(v[0].low, v[0].high, w, 0);
    for (ptrdiff_t at = 16; at < end; at += 16, w += 16 * DOT_CHANNELS) add_sixteen(s, x, v, from, at, w, pixels, 1);
    add_sixteen(s, x, v, from, 0, w, pixels, 0);
    w += 16 * DOT_CHANNELS;
  }
  for (int32_t k = whole; k < run; k += 4, w += 4 * DOT_CHANNELS) {
    const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) {
      const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(ert_neon_word(from[i] + k)));
      s->low[i] = vdotq_s32(s->low[i], w0, x);
      s->high[i] = vdotq_s32(s->high[i], w1, x);
    }
  }
  return w;
}

ERT_INLINE void store(const ert_tile_args *t, const sums *s, int32_t pixels) {
  const int32_t *scales = t->scales;
  const int32x4_t m0 = vld1q_s32(scales + 8), m1 = vld1q_s32(scales + 12);
  const int32x4_t s0 = vnegq_s32(vld1q_s32(scales + 16)), s1 = vnegq_s32(vld1q_s32(scales + 20));
  void *const *const out = t->out;
  int16x8_t y[DOT_PIXELS + 1];
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
    const int8_t *from[DOT_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels);
  }
  store(t, &s, pixels);
}

#define TILE(n)                                                      \
  static void s8_neondot##n(const ert_tile_args *t) {                \
    if (t->channels == DOT_CHANNELS) tile(t, n);                     \
    else ert_tile_some(t, s8_neondot##n, &ert_tiling_s8_neondot, n); \
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

static ert_tile_fn *const by_pixels[] = {s8_neondot1, s8_neondot2, s8_neondot3, s8_neondot4,
                                         s8_neondot5, s8_neondot6, s8_neondot7, s8_neondot8};
const ert_tiling ert_tiling_s8_neondot = {by_pixels, DOT_PIXELS, {DOT_CHANNELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0};

#endif
