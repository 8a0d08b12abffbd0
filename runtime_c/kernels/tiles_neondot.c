/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 8 pixels x 8 channels, 16 vectors of sums; for 16 terms of K 8 vectors of weights, one of each pixel and 128
 * products of four terms. Vectors of int4 weights are two each, of 16 times their values. */
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

/* Four terms of every pixel; inputs are loaded after their last lane. */
#define PRODUCTS(lane, w)                                        \
  do {                                                           \
    ERT_UNROLLED                                                 \
    for (int i = 0; i < pixels; i++) {                           \
      ADD(s->low[i], (w).low, x[i], lane);                       \
      ADD(s->high[i], (w).high, x[i], lane);                     \
      if ((lane) == 3 && more) ERT_NEON_LOAD(x[i], from[i], at); \
    }                                                            \
  } while (0)

/* Meanwhile the next weights are loaded. */
#define MULTIPLY(lane, now, next)                                                              \
  do {                                                                                         \
    if ((lane) < 3 || more) ERT_NEON_LOAD_PAIR((next).low, (next).high, w, 32 * ((lane) + 1)); \
    PRODUCTS(lane, now);                                                                       \
  } while (0)

#if ERT_NEON_ORDERED
#define LOW_HALVES(y, v) __asm__ volatile("shl %0.16b, %1.16b, #4" : "=w"(y) : "w"(v))
#define HIGH_HALVES(v) __asm__ volatile("and %0.16b, %0.16b, %1.16b" : "+w"(v) : "w"(high_halves))
#else
#define LOW_HALVES(y, v) y = vshlq_n_s8(v, 4)
#define HIGH_HALVES(v) v = vandq_s8(v, high_halves)
#endif

/* Eight terms of int4 weights: of `own` the low halves are in v[0] already; those of `next` follow them there. */
#define MULTIPLY_HALVES(even, odd, own, next, follows)                            \
  do {                                                                            \
    HIGH_HALVES((own).low);                                                       \
    HIGH_HALVES((own).high);                                                      \
    if (follows) ERT_NEON_LOAD_PAIR((next).low, (next).high, w, 16 * (odd) + 16); \
    PRODUCTS(even, v[0]);                                                         \
    PRODUCTS(odd, own);                                                           \
    if (follows) LOW_HALVES(v[0].low, (next).low);                                \
    if (follows) LOW_HALVES(v[0].high, (next).high);                              \
  } while (0)

/* Sixteen terms; `more`: others follow, whose inputs are `at` bytes behind where they begin. */
ERT_INLINE void add_sixteen(sums *s, int8x16_t *x, channels *v, const int8_t *const *from, ptrdiff_t at,
                            const int8_t *w, const int pixels, const int bits, const int more) {
  if (bits == 4) {
    const int8x16_t high_halves = vdupq_n_s8(-16);
    MULTIPLY_HALVES(0, 1, v[1], v[2], 1);
    MULTIPLY_HALVES(2, 3, v[2], v[1], more);
  } else {
    MULTIPLY(0, v[0], v[1]);
    MULTIPLY(1, v[1], v[0]);
    MULTIPLY(2, v[0], v[1]);
    MULTIPLY(3, v[1], v[0]);
  }
}

/* The products of whole sixteens, at least one of them. */
ERT_INLINE void add_sixteens(sums *s, const int8_t *const *from, const int8_t *w, int32_t whole, const int pixels,
                             const int bits) {
  int8x16_t x[DOT_PIXELS];
  channels v[3];
  const ptrdiff_t end = (ptrdiff_t)whole * (ptrdiff_t)sizeof(int8_t), step = 2 * DOT_CHANNELS * bits;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_NEON_LOAD(x[i], from[i], (ptrdiff_t)0);
  if (bits == 4) {
    ERT_NEON_LOAD_PAIR(v[1].low, v[1].high, w, 0);
    LOW_HALVES(v[0].low, v[1].low);
    LOW_HALVES(v[0].high, v[1].high);
  } else {
    ERT_NEON_LOAD_PAIR(v[0].low, v[0].high, w, 0);
  }
  for (ptrdiff_t at = 16; at < end; at += 16, w += step) add_sixteen(s, x, v, from, at, w, pixels, bits, 1);
  add_sixteen(s, x, v, from, 0, w, pixels, bits, 0);
}

/* Eight terms of a single pixel and int4 weights. */
#define ADD_EIGHT(v, x, even, odd)      \
  do {                                  \
    LOW_HALVES(low.low, (v).low);       \
    LOW_HALVES(low.high, (v).high);     \
    HIGH_HALVES((v).low);               \
    HIGH_HALVES((v).high);              \
    ADD(s->low[0], low.low, x, even);   \
    ADD(s->high[0], low.high, x, even); \
    ADD(s->low[0], (v).low, x, odd);    \
    ADD(s->high[0], (v).high, x, odd);  \
  } while (0)

/* The products of a single pixel with int4 weights, 32 at a time: all of these are loaded before the first is used. */
ERT_INLINE void add_row(sums *s, const int8_t *x, const int8_t *w, int32_t whole) {
  const int8x16_t high_halves = vdupq_n_s8(-16);
  for (const int8_t *end = x + whole; x < end; x += 32, w += 16 * DOT_CHANNELS) {
    int8x16_t x0, x1;
    channels v[4], low;
    ERT_NEON_LOAD_PAIR(x0, x1, x, 0);
    ERT_NEON_LOAD_PAIR(v[0].low, v[0].high, w, 0);
    ERT_NEON_LOAD_PAIR(v[1].low, v[1].high, w, 32);
    ERT_NEON_LOAD_PAIR(v[2].low, v[2].high, w, 64);
    ERT_NEON_LOAD_PAIR(v[3].low, v[3].high, w, 96);
    ADD_EIGHT(v[0], x0, 0, 1);
    ADD_EIGHT(v[1], x0, 2, 3);
    ADD_EIGHT(v[2], x1, 0, 1);
    ADD_EIGHT(v[3], x1, 2, 3);
  }
}

/* Four terms of every pixel, `at` bytes behind where they begin. */
ERT_INLINE void add_four(sums *s, const int8_t *const *from, int32_t at, int8x16_t w0, int8x16_t w1, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(ert_neon_word(from[i] + at)));
    s->low[i] = vdotq_s32(s->low[i], w0, x);
    s->high[i] = vdotq_s32(s->high[i], w1, x);
  }
}

/* The products of a run; where its weights end. */
ERT_INLINE const int8_t *add_run(sums *s, const int8_t *const *from, const int8_t *w, int32_t run, const int pixels,
                                 const int bits) {
  const int alone = bits == 4 && pixels == 1;
  const int32_t whole = run & (alone ? ~31 : ~15);
  if (alone) add_row(s, from[0], w, whole);
  else if (whole > 0) add_sixteens(s, from, w, whole, pixels, bits);
  w += (ptrdiff_t)whole * DOT_CHANNELS * bits / 8;
  for (int32_t k = whole; bits == 4 && k < run; k += 8, w += 4 * DOT_CHANNELS) {
    const int8x16_t w0 = vld1q_s8(w), w1 = vld1q_s8(w + 16), high = vdupq_n_s8(-16);
    add_four(s, from, k, vshlq_n_s8(w0, 4), vshlq_n_s8(w1, 4), pixels);
    add_four(s, from, k + 4, vandq_s8(w0, high), vandq_s8(w1, high), pixels);
  }
  for (int32_t k = whole; bits == 8 && k < run; k += 4, w += 4 * DOT_CHANNELS)
    add_four(s, from, k, vld1q_s8(w), vld1q_s8(w + 16), pixels);
  return w;
}

ERT_INLINE void begin(sums *s, int32x4_t low, int32x4_t high, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s->low[i] = low, s->high[i] = high;
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int bits) {
  const int32_t *bias = t->scales;
  const int8_t *w = t->weights;
  sums s;
  begin(&s, vld1q_s32(bias), vld1q_s32(bias + 4), pixels);
  for (int32_t r = 0; r < t->runs; r++) {
    const int8_t *from[DOT_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels, bits);
  }
  ert_neon_store_eight(t, s.low, s.high, pixels, bits);
}

/* The sums of a group, times its channels' factors. */
ERT_INLINE void add_group(sums *total, const sums *s, const uint8_t *factors, const int pixels) {
  int32x4_t low, high;
  ert_neon_factors(factors, &low, &high);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    total->low[i] = vmlaq_s32(total->low[i], s->low[i], low);
    total->high[i] = vmlaq_s32(total->high[i], s->high[i], high);
  }
}

/* int4 weights with factors: those of a group are multiplied and added up on their own. */
ERT_INLINE void tile_of_groups(const ert_tile_args *t, const int pixels) {
  const int32_t *bias = t->scales;
  const int8_t *w = t->weights;
  const uint8_t *factors = t->factors;
  sums total, s;
  begin(&total, vld1q_s32(bias), vld1q_s32(bias + 4), pixels);
  for (int32_t r = 0; r < t->runs; r++) {
    const int8_t *from[DOT_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    for (int32_t k = 0; k < t->run; k += t->group, factors += DOT_CHANNELS) {
      begin(&s, vdupq_n_s32(0), vdupq_n_s32(0), pixels);
      w = add_run(&s, from, w, t->group, pixels, 4);
      add_group(&total, &s, factors, pixels);
      ERT_UNROLLED
      for (int i = 0; i < pixels; i++) from[i] += t->group;
    }
  }
  ert_neon_store_eight(t, total.low, total.high, pixels, 4);
}

#define TILE(n)                                                                                 \
  static void s8_neondot##n(const ert_tile_args *t) {                                           \
    if (t->channels == DOT_CHANNELS) tile(t, n, 8);                                             \
    else ert_tile_some(t, s8_neondot##n, &ert_tiling_s8_neondot, n);                            \
  }                                                                                             \
  static void s4_neondot##n(const ert_tile_args *t) {                                           \
    if (t->channels < DOT_CHANNELS) ert_tile_some(t, s4_neondot##n, &ert_tiling_s4_neondot, n); \
    else if (t->factors) tile_of_groups(t, n);                                                  \
    else tile(t, n, 4);                                                                         \
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
static ert_tile_fn *const s4_by_pixels[] = {s4_neondot1, s4_neondot2, s4_neondot3, s4_neondot4,
                                            s4_neondot5, s4_neondot6, s4_neondot7, s4_neondot8};
const ert_tiling ert_tiling_s8_neondot = {by_pixels, DOT_PIXELS, {DOT_CHANNELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0};
const ert_tiling ert_tiling_s4_neondot = {s4_by_pixels, DOT_PIXELS, {DOT_CHANNELS, 8, 1, 4, ERT_SCALES_S8}, NULL, 0};

#endif
