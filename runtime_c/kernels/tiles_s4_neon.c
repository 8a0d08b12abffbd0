/* SPDX-License-Identifier: Apache-2.0 */
/* int8 inputs and int4 weights: 4 pixels x 4 channels. A product has 11 bits and a sign, so that 30 of them are added up
 * in 16 bits, two for 16 terms of K: only then do they become sums of 32 bits, a lane for each channel. */
#include "tiles_s8_neon.h"

#if ERT_HAS_neon

enum { S4_PIXELS = ERT_NEON_PIXELS, S4_CHANNELS = ERT_NEON_CHANNELS, S4_DEPTH = 16, S4_MOST = 15 * S4_DEPTH };
enum { S4_GROUP = 2 }; /* pixels that are multiplied together: no product waits for the one before */

typedef struct {
  int16x8_t of[S4_PIXELS][S4_CHANNELS];
} narrow_sums;

/* Weights of 16 terms, vectors of two channels: the low halves of bytes are the first eight, the high ones the others. */
typedef struct {
  int8x16_t low[2], high[2];
} nibbles;

/* The inputs of some pixels, and the same with their halves swapped: products are of lower halves, or of upper ones. */
typedef struct {
  int8x16_t of[S4_GROUP], swapped[S4_GROUP];
} inputs;

#if ERT_NEON_ORDERED
ERT_INLINE void add_lower(int16x8_t *y, int8x16_t w, int8x16_t x) {
  __asm__ volatile("smlal %0.8h, %1.8b, %2.8b" : "+w"(*y) : "w"(w), "w"(x));
}

ERT_INLINE void add_upper(int16x8_t *y, int8x16_t w, int8x16_t x) {
  __asm__ volatile("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(*y) : "w"(w), "w"(x));
}

ERT_INLINE void shift_left(int8x16_t *y, int8x16_t v) {
  __asm__ volatile("shl %0.16b, %1.16b, #4" : "=w"(*y) : "w"(v));
}

ERT_INLINE void shift_right(int8x16_t *y, int8x16_t v) {
  __asm__ volatile("sshr %0.16b, %1.16b, #4" : "=w"(*y) : "w"(v));
}

ERT_INLINE void swap(int8x16_t *y, int8x16_t v) {
  __asm__ volatile("ext %0.16b, %1.16b, %1.16b, #8" : "=w"(*y) : "w"(v));
}
#else
ERT_INLINE void add_lower(int16x8_t *y, int8x16_t w, int8x16_t x) { *y = vmlal_s8(*y, vget_low_s8(w), vget_low_s8(x)); }

ERT_INLINE void add_upper(int16x8_t *y, int8x16_t w, int8x16_t x) {
  *y = vmlal_s8(*y, vget_high_s8(w), vget_high_s8(x));
}

ERT_INLINE void shift_left(int8x16_t *y, int8x16_t v) { *y = vshlq_n_s8(v, 4); }

ERT_INLINE void shift_right(int8x16_t *y, int8x16_t v) { *y = vshrq_n_s8(v, 4); }

ERT_INLINE void swap(int8x16_t *y, int8x16_t v) { *y = vextq_s8(v, v, 8); }
#endif

#define EACH_CHANNEL(statement)             \
  do {                                      \
    ERT_UNROLLED                            \
    for (int o = 0; o < S4_CHANNELS; o++) { \
      statement;                            \
    }                                       \
  } while (0)

ERT_INLINE void take_halves(nibbles *n, const int8x16_t *v) {
  shift_left(&n->low[0], v[0]);
  shift_left(&n->low[1], v[1]);
  shift_right(&n->high[0], v[0]);
  shift_right(&n->high[1], v[1]);
  shift_right(&n->low[0], n->low[0]);
  shift_right(&n->low[1], n->low[1]);
}

/* Eight terms of a pixel: those of channels 0 and 2 are the lower half of x, those of 1 and 3 the upper half of y. */
ERT_INLINE void add_eight(int16x8_t *s, const int8x16_t *w, int8x16_t x, int8x16_t y) {
  add_lower(&s[0], w[0], x);
  add_upper(&s[1], w[0], y);
  add_lower(&s[2], w[1], x);
  add_upper(&s[3], w[1], y);
}

ERT_INLINE int32_t at_most(int32_t n, int32_t most) { return n < most ? n : most; }

ERT_INLINE void load_inputs(inputs *x, const int8_t *const *from, ptrdiff_t at, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < at_most(pixels, S4_GROUP); i++) ERT_NEON_LOAD(x->of[i], from[i], at);
}

/* Sixteen terms of every pixel, `at` bytes behind where they begin, whose weights and first inputs are there; `more`:
 * others follow, with weights at w. */
ERT_INLINE void add_block(narrow_sums *s, nibbles *n, inputs *x, const int8_t *const *from, ptrdiff_t at,
                          const uint8_t *w, const int pixels, const int more) {
  int8x16_t v[2];
  ERT_UNROLLED
  for (int first = 0; first < pixels; first += S4_GROUP) {
    const int some = at_most(pixels - first, S4_GROUP), left = pixels - first - some;
    if (more && left == 0) ERT_NEON_LOAD_PAIR(v[0], v[1], w, 0);
    ERT_UNROLLED
    for (int i = 0; i < some; i++) swap(&x->swapped[i], x->of[i]);
    ERT_UNROLLED
    for (int i = 0; i < some; i++) add_eight(s->of[first + i], n->low, x->of[i], x->swapped[i]);
    ERT_UNROLLED
    for (int i = 0; i < some; i++) add_eight(s->of[first + i], n->high, x->swapped[i], x->of[i]);
    if (left > 0) load_inputs(x, from + first + some, at, left);
    else if (more) load_inputs(x, from, at + S4_DEPTH, pixels);
  }
  if (more) take_halves(n, v);
}

/* Terms [at, end) of every pixel, whole blocks and at least one; where their weights end. */
ERT_INLINE const uint8_t *add_terms(narrow_sums *s, const int8_t *const *from, const uint8_t *w, ptrdiff_t at,
                                    ptrdiff_t end, const int pixels) {
  enum { BYTES = S4_CHANNELS * S4_DEPTH / 2 };
  int8x16_t v[2];
  inputs x;
  nibbles n;
  load_inputs(&x, from, at, pixels);
  ERT_NEON_LOAD_PAIR(v[0], v[1], w, 0);
  take_halves(&n, v);
  for (; at < end - S4_DEPTH; at += S4_DEPTH, w += BYTES) add_block(s, &n, &x, from, at, w + BYTES, pixels, 1);
  add_block(s, &n, &x, from, at, w, pixels, 0);
  return w + BYTES;
}

ERT_INLINE void clear(narrow_sums *s, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) EACH_CHANNEL(s->of[i][o] = vdupq_n_s16(0));
}

/* The sums of a pixel's channels. */
ERT_INLINE int32x4_t across(const int16x8_t *s) {
  int32x4_t wide[S4_CHANNELS];
  EACH_CHANNEL(wide[o] = vpaddlq_s16(s[o]));
  return ert_neon_across(wide);
}

/* Sums of 16 bits are added to those of 32, and begin again. */
ERT_INLINE void widen(int32x4_t *total, narrow_sums *s, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) total[i] = vaddq_s32(total[i], across(s->of[i]));
  clear(s, pixels);
}

/* The same for a group, with the factors of its channels. */
ERT_INLINE void widen_group(int32x4_t *total, narrow_sums *s, const uint8_t *factors, const int pixels) {
  const int32_t four[4] = {factors[0], factors[1], factors[2], factors[3]};
  const int32x4_t f = vld1q_s32(four);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) total[i] = vmlaq_s32(total[i], across(s->of[i]), f);
  clear(s, pixels);
}

ERT_INLINE void begin_run(const int8_t **from, const ert_tile_args *t, int32_t r, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
}

ERT_INLINE const uint8_t *add_run(int32x4_t *total, narrow_sums *s, int32_t *held, const int8_t *const *from,
                                  const uint8_t *w, int32_t run, const int pixels) {
  for (int32_t k = 0, n; k < run; k += n, *held += n) {
    n = at_most(run - k, S4_MOST);
    if (*held + n > S4_MOST) {
      widen(total, s, pixels);
      *held = 0;
    }
    w = add_terms(s, from, w, k, k + n, pixels);
  }
  return w;
}

ERT_INLINE const uint8_t *add_groups(int32x4_t *total, narrow_sums *s, const uint8_t **factors, int32_t group,
                                     const int8_t *const *from, const uint8_t *w, int32_t run, const int pixels) {
  for (int32_t k = 0, end; k < run; *factors += S4_CHANNELS) {
    for (const int32_t last = k + group; k < last; k = end) {
      end = at_most(k + S4_MOST, last);
      w = add_terms(s, from, w, k, end, pixels);
      widen_group(total, s, *factors, pixels);
    }
  }
  return w;
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int grouped) {
  const int32x4_t bias = vshrq_n_s32(vld1q_s32(t->scales), 4); /* it is 16 times what it stands for */
  const uint8_t *w = t->weights, *factors = t->factors;
  int32x4_t total[S4_PIXELS];
  narrow_sums s;
  int32_t held = 0;
  clear(&s, pixels);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) total[i] = bias;
  for (int32_t r = 0; r < t->runs; r++) {
    const int8_t *from[S4_PIXELS];
    begin_run(from, t, r, pixels);
    if (grouped) w = add_groups(total, &s, &factors, t->group, from, w, t->run, pixels);
    else w = add_run(total, &s, &held, from, w, t->run, pixels);
  }
  if (!grouped) widen(total, &s, pixels);
  ert_neon_store_four(t, total, pixels);
}

#define TILE(n)                                                                          \
  static void s4_neon##n(const ert_tile_args *t) {                                       \
    if (t->channels < S4_CHANNELS) ert_tile_some(t, s4_neon##n, &ert_tiling_s4_neon, n); \
    else if (t->factors) tile(t, n, 1);                                                  \
    else tile(t, n, 0);                                                                  \
  }
TILE(1)
TILE(2)
#if defined(__aarch64__)
TILE(3)
TILE(4)
static ert_tile_fn *const by_pixels[] = {s4_neon1, s4_neon2, s4_neon3, s4_neon4};
#else
static ert_tile_fn *const by_pixels[] = {s4_neon1, s4_neon2};
#endif

const ert_tiling ert_tiling_s4_neon = {by_pixels, S4_PIXELS, {S4_CHANNELS, S4_DEPTH, 1, 4, ERT_SCALES_S8}, NULL, 0,
                                       0,         0};

#endif
