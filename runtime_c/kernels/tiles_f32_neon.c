/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 8 pixels x 8 channels, 16 vectors of sums; for four terms of K 8 vectors of weights, one of each pixel and 64
 * products. */
#include "tiles_arm.h"

#if ERT_HAS_neon

#if defined(__aarch64__)
enum { PIXELS = 8 };
#define ADD(sum, w, x, lane) vfmaq_laneq_f32(sum, w, x, lane)
#define ADD_ONE(sum, w, x) vfmaq_n_f32(sum, w, x)
#else
enum { PIXELS = 4 }; /* half as many registers */
#define ADD(sum, w, x, lane) vmlaq_n_f32(sum, w, vgetq_lane_f32(x, lane))
#define ADD_ONE(sum, w, x) vmlaq_n_f32(sum, w, x)
#endif
enum { CHANNELS = 8 };

typedef struct {
  float32x4_t low[PIXELS], high[PIXELS]; /* channels 0-3 and 4-7 */
} sums;

#define MULTIPLY(lane)                                          \
  do {                                                          \
    const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4); \
    w += CHANNELS;                                              \
    ERT_UNROLLED                                                \
    for (int i = 0; i < pixels; i++) {                          \
      s->low[i] = ADD(s->low[i], w0, x[i], lane);               \
      s->high[i] = ADD(s->high[i], w1, x[i], lane);             \
    }                                                           \
  } while (0)

/* The products of a run; where its weights end. */
ERT_INLINE const float *add_run(sums *s, const float **from, const float *w, int32_t run, const int pixels) {
  for (uint32_t n = (uint32_t)run / 4; n != 0; n--) {
    float32x4_t x[PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) x[i] = vld1q_f32(from[i]), from[i] += 4;
    MULTIPLY(0);
    MULTIPLY(1);
    MULTIPLY(2);
    MULTIPLY(3);
  }
  for (uint32_t n = (uint32_t)run % 4; n != 0; n--, w += CHANNELS) {
    const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) {
      const float x = *from[i]++;
      s->low[i] = ADD_ONE(s->low[i], w0, x);
      s->high[i] = ADD_ONE(s->high[i], w1, x);
    }
  }
  return w;
}

ERT_INLINE void store(const ert_tile_args *t, sums *s, const int pixels) {
  const float32x4_t low = vdupq_n_f32(t->low), high = vdupq_n_f32(t->high);
  void *const *const out = t->out;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    float *to = out[i];
    vst1q_f32(to, vmaxq_f32(vminq_f32(s->low[i], high), low));
    vst1q_f32(to + 4, vmaxq_f32(vminq_f32(s->high[i], high), low));
  }
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels) {
  const float *w = t->weights, *bias = t->scales;
  sums s;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s.low[i] = vld1q_f32(bias), s.high[i] = vld1q_f32(bias + 4);
  for (int32_t r = 0; r < t->runs; r++) {
    const float *from[PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels);
  }
  store(t, &s, pixels);
}

#define TILE(n)                                              \
  static void tile##n(const ert_tile_args *t) {              \
    if (t->channels == CHANNELS) tile(t, n);                 \
    else ert_tile_some(t, tile##n, &ert_tiling_f32_neon, n); \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
#if defined(__aarch64__)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4, tile5, tile6, tile7, tile8};
#else
static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4};
#endif

const ert_tiling ert_tiling_f32_neon = {by_pixels, PIXELS, CHANNELS, 1, 4};

#endif
