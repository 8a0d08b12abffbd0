/* SPDX-License-Identifier: Apache-2.0 */
/* int16: 8 pixels x 8 channels, 16 vectors of sums; 8 terms of K are a vector of each pixel and 8 vectors of weights, which
 * are widened one by one. */
#include "tiles_arm.h"

#if ERT_HAS_neon

#if defined(__aarch64__)
enum { S16_PIXELS = 8 };
#else
enum { S16_PIXELS = 4 }; /* half as many registers */
#endif
enum { S16_CHANNELS = 8, S16_DEPTH = 8, S16_BLOCK = S16_CHANNELS * S16_DEPTH, S16_CHAINS = 4 };

typedef struct {
  int32x4_t low[S16_PIXELS], high[S16_PIXELS]; /* channels 0-3 and 4-7; of a single pixel every fourth term */
} sums;

#if ERT_NEON_ORDERED
/* Lanes of 16 bits are those of the first sixteen registers. */
#define ADD_LOW(sum, w, x, lane) __asm__ volatile("smlal %0.4s, %1.4h, %2.h[" #lane "]" : "+w"(sum) : "w"(w), "x"(x))
#define ADD_HIGH(sum, w, x, lane) __asm__ volatile("smlal2 %0.4s, %1.8h, %2.h[" #lane "]" : "+w"(sum) : "w"(w), "x"(x))
#define WIDEN_LOW(y, v) __asm__ volatile("sxtl %0.8h, %1.8b" : "=w"(y) : "w"(v))
#define WIDEN_HIGH(y, v) __asm__ volatile("sxtl2 %0.8h, %1.16b" : "=w"(y) : "w"(v))
#else
#define LANE_OF(x, lane) ((lane) < 4 ? vget_low_s16(x) : vget_high_s16(x)), (lane)&3
#define ADD_LOW(sum, w, x, lane) sum = ADD_LANE(sum, vget_low_s16(w), LANE_OF(x, lane))
#define ADD_HIGH(sum, w, x, lane) sum = ADD_LANE(sum, vget_high_s16(w), LANE_OF(x, lane))
#define ADD_LANE(sum, w, ...) vmlal_lane_s16(sum, w, __VA_ARGS__)
#define WIDEN_LOW(y, v) y = vmovl_s8(vget_low_s8(v))
#define WIDEN_HIGH(y, v) y = vmovl_s8(vget_high_s8(v))
#endif

/* A term of every pixel; inputs are loaded after their last lane. */
#define TERM(lane, w)                                            \
  do {                                                           \
    ERT_UNROLLED                                                 \
    for (int i = 0; i < pixels; i++) {                           \
      const int to = pixels == 1 ? (lane) % S16_CHAINS : i;      \
      ADD_LOW(s->low[to], w, x[i], lane);                        \
      ADD_HIGH(s->high[to], w, x[i], lane);                      \
      if ((lane) == 7 && more) ERT_NEON_LOAD(x[i], from[i], at); \
    }                                                            \
  } while (0)

/* Eight terms, of which v has the weights of the first four; `more`: others follow, whose inputs are `at` bytes behind
 * where they begin. What is widened is so a term before it is needed. */
ERT_INLINE void add_eight(sums *s, int16x8_t *x, int8x16_t *v, const int16_t *const *from, ptrdiff_t at,
                          const int8_t *w, const int pixels, const int more) {
  int16x8_t even, odd;
  WIDEN_LOW(even, v[0]);
  WIDEN_HIGH(odd, v[0]);
  ERT_NEON_LOAD_PAIR(v[2], v[3], w, 32);
  TERM(0, even);
  WIDEN_LOW(even, v[1]);
  TERM(1, odd);
  WIDEN_HIGH(odd, v[1]);
  TERM(2, even);
  WIDEN_LOW(even, v[2]);
  TERM(3, odd);
  WIDEN_HIGH(odd, v[2]);
  if (more) ERT_NEON_LOAD_PAIR(v[0], v[1], w, S16_BLOCK);
  TERM(4, even);
  WIDEN_LOW(even, v[3]);
  TERM(5, odd);
  WIDEN_HIGH(odd, v[3]);
  TERM(6, even);
  TERM(7, odd);
}

/* The products of a run, which is not empty; where its weights end. */
ERT_INLINE const int8_t *add_run(sums *s, const int16_t *const *from, const int8_t *w, int32_t run, const int pixels) {
  int16x8_t x[S16_PIXELS];
  int8x16_t v[4];
  const ptrdiff_t end = 2 * (ptrdiff_t)run;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_NEON_LOAD(x[i], from[i], (ptrdiff_t)0);
  ERT_NEON_LOAD_PAIR(v[0], v[1], w, 0);
  for (ptrdiff_t at = 2 * S16_DEPTH; at < end; at += 2 * S16_DEPTH, w += S16_BLOCK)
    add_eight(s, x, v, from, at, w, pixels, 1);
  add_eight(s, x, v, from, 0, w, pixels, 0);
  return w + S16_BLOCK;
}

/* Biases; 0 for a part of sums that need 64 bits, and for the other chains of a single pixel. */
ERT_INLINE void begin(const ert_tile_args *t, sums *s, const int pixels) {
  const int32_t *bias = t->scales;
  const int32x4_t zero = vdupq_n_s32(0), low = bias ? vld1q_s32(bias) : zero, high = bias ? vld1q_s32(bias + 4) : zero;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s->low[i] = low, s->high[i] = high;
  ERT_UNROLLED
  for (int i = pixels; i < S16_CHAINS; i++) s->low[i] = s->high[i] = zero;
}

/* The chains of a single pixel. */
ERT_INLINE int32x4_t joined(const int32x4_t *v) { return vaddq_s32(vaddq_s32(v[0], v[1]), vaddq_s32(v[2], v[3])); }

ERT_INLINE void add_four(int64_t *to, int32x4_t sum) {
  vst1q_s64(to, vaddw_s32(vld1q_s64(to), vget_low_s32(sum)));
  vst1q_s64(to + 2, vaddw_s32(vld1q_s64(to + 2), vget_high_s32(sum)));
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels) {
  const int8_t *w = (const int8_t *)t->weights + (ptrdiff_t)t->before * S16_CHANNELS;
  sums s;
  begin(t, &s, pixels);
  for (int32_t r = 0; r < t->runs; r++) {
    const int16_t *from[S16_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = (const int16_t *)t->in[r * t->stride + i] + t->first;
    w = add_run(&s, from, w, t->run, pixels);
  }
  if (pixels == 1) s.low[0] = joined(s.low), s.high[0] = joined(s.high);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    if (t->scales) {
      vst1q_s16(t->out[i], ert_neon_outputs_s16(t, t->scales, s.low[i], s.high[i], S16_CHANNELS));
    } else {
      add_four(t->out[i], s.low[i]);
      add_four((int64_t *)t->out[i] + 4, s.high[i]);
    }
  }
}

#define TILE(n)                                                  \
  static void s16_neon##n(const ert_tile_args *t) {              \
    if (t->channels == S16_CHANNELS || !t->scales) tile(t, n);   \
    else ert_tile_some(t, s16_neon##n, &ert_tiling_s16_neon, n); \
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
static ert_tile_fn *const by_pixels[] = {s16_neon1, s16_neon2, s16_neon3, s16_neon4,
                                         s16_neon5, s16_neon6, s16_neon7, s16_neon8};
#else
static ert_tile_fn *const by_pixels[] = {s16_neon1, s16_neon2, s16_neon3, s16_neon4};
#endif

const ert_tiling ert_tiling_s16_neon = {by_pixels, S16_PIXELS, {S16_CHANNELS, S16_DEPTH, 2, 8, ERT_SCALES_S8}, NULL, 0,
                                        0,         0};

#endif
