/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 8 pixels x 8 channels, 16 vectors of sums; for 16 terms of K 8 vectors of weights, one of each pixel and 128
 * products of four terms. Vectors of int4 weights are two each, of 16 times their values. int16: 4 pixels, each of which is
 * two of int8, its high bytes and its low ones less 128. */
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

/* Sums of 32 bits of n vectors; those of high bytes are worth 256 times as much. */
ERT_INLINE int32x4_t both(int32x4_t high, int32x4_t low) { return vaddq_s32(vshlq_n_s32(high, 8), low); }

/* The same of 64 bits, added to what is there. */
ERT_INLINE void add_both(int64_t *to, int32x4_t high, int32x4_t low) {
  const int64x2_t a = vshll_n_s32(vget_low_s32(high), 8), b = vshll_n_s32(vget_high_s32(high), 8);
  vst1q_s64(to, vaddq_s64(vld1q_s64(to), vaddw_s32(a, vget_low_s32(low))));
  vst1q_s64(to + 2, vaddq_s64(vld1q_s64(to + 2), vaddw_s32(b, vget_high_s32(low))));
}

/* Pixels of int16, whose bytes are packed: `window` high ones, as many low ones. */
ERT_INLINE void tile_of_halves(const ert_tile_args *t, const int pixels) {
  const int32_t *bias = t->scales;
  const int8_t *x = (const int8_t *)t->in[0] + t->first, *from[DOT_PIXELS];
  const int32x4_t zero = vdupq_n_s32(0);
  sums s;
  begin(&s, zero, zero, 2 * pixels);
  ERT_UNROLLED
  for (int i = 0; i < 2 * pixels; i++) from[i] = x + (ptrdiff_t)i * t->window;
  ERT_UNROLLED
  for (int i = 1; i < 2 * pixels && bias; i += 2) s.low[i] = vld1q_s32(bias), s.high[i] = vld1q_s32(bias + 4);
  add_run(&s, from, (const int8_t *)t->weights + (ptrdiff_t)t->before * DOT_CHANNELS, t->run, 2 * pixels, 8);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    const int32x4_t low = both(s.low[2 * i], s.low[2 * i + 1]), high = both(s.high[2 * i], s.high[2 * i + 1]);
    if (bias) {
      vst1q_s16(t->out[i], ert_neon_outputs_s16(t, bias, low, high, DOT_CHANNELS));
    } else {
      add_both(t->out[i], s.low[2 * i], s.low[2 * i + 1]);
      add_both((int64_t *)t->out[i] + 4, s.high[2 * i], s.high[2 * i + 1]);
    }
  }
}

/* Sixteen items. */
ERT_INLINE void split(int8_t *high, int8_t *low, const int8_t *x) {
  const int8x16x2_t v = vld2q_s8(x);
  vst1q_s8(high, v.val[1]);
  vst1q_s8(low, veorq_s8(v.val[0], vdupq_n_s8(-128)));
}

/* n items: the last sixteen go over some that were split before. */
static void split_run(int8_t *high, int8_t *low, const int16_t *x, int32_t n) {
  int32_t k = 0;
  for (; k + 16 <= n; k += 16) split(high + k, low + k, (const int8_t *)(x + k));
  if (n >= 16 && k < n) split(high + n - 16, low + n - 16, (const int8_t *)(x + n - 16));
  for (; n < 16 && k < n; k++) high[k] = (int8_t)(x[k] >> 8), low[k] = (int8_t)((x[k] & 255) - 128);
}

static void pack_halves(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run) {
  const ptrdiff_t window = (ptrdiff_t)runs * run;
  for (int32_t i = 0; i < pixels; i++) {
    int8_t *high = (int8_t *)to + 2 * i * window;
    for (int32_t r = 0; r < runs; r++, high += run) split_run(high, high + window, in[r * stride + i], run);
  }
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

#define TILE_OF_HALVES(n)                                                \
  static void s16_neondot##n(const ert_tile_args *t) {                   \
    if (t->channels == DOT_CHANNELS || !t->scales) tile_of_halves(t, n); \
    else ert_tile_some(t, s16_neondot##n, &ert_tiling_s16_neondot, n);   \
  }
TILE_OF_HALVES(1)
TILE_OF_HALVES(2)
TILE_OF_HALVES(3)
TILE_OF_HALVES(4)

ERT_END_neondot

static ert_tile_fn *const by_pixels[] = {s8_neondot1, s8_neondot2, s8_neondot3, s8_neondot4,
                                         s8_neondot5, s8_neondot6, s8_neondot7, s8_neondot8};
static ert_tile_fn *const s4_by_pixels[] = {s4_neondot1, s4_neondot2, s4_neondot3, s4_neondot4,
                                            s4_neondot5, s4_neondot6, s4_neondot7, s4_neondot8};
const ert_tiling ert_tiling_s8_neondot = {by_pixels, DOT_PIXELS, {DOT_CHANNELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};
const ert_tiling ert_tiling_s4_neondot = {
    s4_by_pixels, DOT_PIXELS, {DOT_CHANNELS, 8, 1, 4, ERT_SCALES_S8}, NULL, 0, 0, 0};
static ert_tile_fn *const s16_by_pixels[] = {s16_neondot1, s16_neondot2, s16_neondot3, s16_neondot4};
const ert_tiling ert_tiling_s16_neondot = {
    s16_by_pixels, DOT_PIXELS / 2, {DOT_CHANNELS, 4, 2, 8, ERT_SCALES_S8}, pack_halves, 2, 0, 0};

#endif
