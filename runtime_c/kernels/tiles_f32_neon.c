/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 8 pixels x 8 channels, 16 vectors of sums; for four terms of K 8 vectors of weights, one of each pixel and 64
 * products. */
#include "tiles_arm.h"

#if ERT_HAS_neon

#if defined(__aarch64__)
enum { F32_PIXELS = 8 };
#define ADD_ONE(sum, w, x) vfmaq_n_f32(sum, w, x)
#else
enum { F32_PIXELS = 4 }; /* half as many registers */
#define ADD_ONE(sum, w, x) vmlaq_n_f32(sum, w, x)
#endif
#if ERT_NEON_ORDERED
#define ADD(sum, w, x, lane) __asm__ volatile("fmla %0.4s, %1.4s, %2.s[" #lane "]" : "+w"(sum) : "w"(w), "w"(x))
#elif defined(__aarch64__)
#define ADD(sum, w, x, lane) sum = vfmaq_laneq_f32(sum, w, x, lane)
#else
#define ADD(sum, w, x, lane) sum = vmlaq_n_f32(sum, w, vgetq_lane_f32(x, lane))
#endif
enum { F32_CHANNELS = 8 };

typedef struct {
  float32x4_t low[F32_PIXELS], high[F32_PIXELS]; /* channels 0-3 and 4-7 */
} sums;

typedef struct {
  float32x4_t low, high;
} channels;

/* One term of every pixel; the next weights, and inputs after their last lane, are loaded meanwhile. */
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

/* Four terms; `more`: others follow, whose inputs are `at` bytes behind where they begin. */
ERT_INLINE void add_four(sums *s, float32x4_t *x, channels *v, const float *const *from, ptrdiff_t at, const float *w,
                         const int pixels, const int more) {
  MULTIPLY(0, v[0], v[1]);
  MULTIPLY(1, v[1], v[0]);
  MULTIPLY(2, v[0], v[1]);
  MULTIPLY(3, v[1], v[0]);
}

/* The products of a run; where its weights end. */
ERT_INLINE const float *add_run(sums *s, const float *const *from, const float *w, int32_t run, const int pixels) {
  const int32_t whole = run & ~3;
  if (whole > 0) {
    float32x4_t x[F32_PIXELS];
    channels v[2];
    const ptrdiff_t end = (ptrdiff_t)whole * (ptrdiff_t)sizeof(float);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) ERT_NEON_LOAD(x[i], from[i], (ptrdiff_t)0);
    ERT_NEON_LOAD_PAIR(v[0].low, v[0].high, w, 0);
    for (ptrdiff_t at = 16; at < end; at += 16, w += 4 * F32_CHANNELS) add_four(s, x, v, from, at, w, pixels, 1);
    add_four(s, x, v, from, 0, w, pixels, 0);
    w += 4 * F32_CHANNELS;
  }
  for (int32_t k = whole; k < run; k++, w += F32_CHANNELS) {
    const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) {
      s->low[i] = ADD_ONE(s->low[i], w0, from[i][k]);
      s->high[i] = ADD_ONE(s->high[i], w1, from[i][k]);
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
    const float *from[F32_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels);
  }
  store(t, &s, pixels);
}

#define TILE(n)                                                  \
  static void f32_neon##n(const ert_tile_args *t) {              \
    if (t->channels == F32_CHANNELS) tile(t, n);                 \
    else ert_tile_some(t, f32_neon##n, &ert_tiling_f32_neon, n); \
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
static ert_tile_fn *const by_pixels[] = {f32_neon1, f32_neon2, f32_neon3, f32_neon4,
                                         f32_neon5, f32_neon6, f32_neon7, f32_neon8};
#else
static ert_tile_fn *const by_pixels[] = {f32_neon1, f32_neon2, f32_neon3, f32_neon4};
#endif

const ert_tiling ert_tiling_f32_neon = {by_pixels, F32_PIXELS, {F32_CHANNELS, 1, 4, 32, ERT_SCALES_F32}, NULL, 0};

#endif
