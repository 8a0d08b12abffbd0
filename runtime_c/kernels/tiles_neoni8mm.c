/* SPDX-License-Identifier: Apache-2.0 */
/* int8 and int4 weights on cores that multiply matrices of 2 x 8 and 8 x 2: 8 pixels x 8 channels are 16 vectors of sums
 * of two pixels and two channels each; for 16 terms of K 8 vectors of weights, 8 of inputs and 32 products. Inputs are
 * packed so that a vector has eight terms of two pixels: [k / 8][pairs of pixels][2][8]. */
#include "tiles_arm.h"

#if ERT_HAS_neoni8mm && ERT_HAS_neon

ERT_BEGIN_neoni8mm

enum { MM_PIXELS = 8, MM_CHANNELS = 8, MM_PAIRS = 4 };

/* [pairs of pixels][pairs of channels] */
typedef struct {
  int32x4_t of[MM_PAIRS][MM_PAIRS];
} sums;

/* Eight terms of four pairs of channels. */
typedef struct {
  int8x16_t of[MM_PAIRS];
} eight;

#define EACH_PAIR(statement)             \
  do {                                   \
    ERT_UNROLLED                         \
    for (int o = 0; o < MM_PAIRS; o++) { \
      statement;                         \
    }                                    \
  } while (0)
#define ADD(sum, x, w) __asm__ volatile("smmla %0.4s, %1.16b, %2.16b" : "+w"(sum) : "w"(x), "w"(w))
#define LOW_HALVES(y, v) __asm__ volatile("shl %0.16b, %1.16b, #4" : "=w"(y) : "w"(v))
#define HIGH_HALVES(y, v) __asm__ volatile("and %0.16b, %1.16b, %2.16b" : "=w"(y) : "w"(v), "w"(high_halves))

/* `at`: a constant. */
#define LOAD_EIGHT(v, w, at)                                \
  do {                                                      \
    ERT_NEON_LOAD_PAIR((v).of[0], (v).of[1], w, at);        \
    ERT_NEON_LOAD_PAIR((v).of[2], (v).of[3], w, (at) + 32); \
  } while (0)

/* Inputs of pair p, and of the one before where p is odd. */
ERT_INLINE void load_inputs(int8x16_t *x, const int8_t *from, const int p, const int pairs) {
  if (p == 1) ERT_NEON_LOAD_PAIR(x[0], x[1], from, 0);
  else if (p == 3) ERT_NEON_LOAD_PAIR(x[2], x[3], from, 32);
  else if (p == pairs - 1) ERT_NEON_LOAD(x[p], from, (ptrdiff_t)16 * p);
}

/* Eight terms of every pixel. Where there is a `next`, it has the inputs that follow. */
ERT_INLINE void add_eight(sums *s, int8x16_t *x, const eight *v, const int8_t *next, const int pairs, const int more) {
  ERT_UNROLLED
  for (int p = 0; p < pairs; p++) {
    EACH_PAIR(ADD(s->of[p][o], x[p], v->of[o]));
    if (more) load_inputs(x, next, p, pairs);
  }
}

/* int4: sixteen terms from eight bytes of a channel. */
ERT_INLINE void take_halves(eight *v) {
  const int8x16_t high_halves = vdupq_n_s8(-16);
  EACH_PAIR(HIGH_HALVES(v[1].of[o], v[0].of[o]));
  EACH_PAIR(LOW_HALVES(v[0].of[o], v[0].of[o]));
}

/* Sixteen terms, of which the first eight and their inputs are there, of int4 weights all; `more`: others follow. */
ERT_INLINE void add_sixteen(sums *s, int8x16_t *x, eight *v, const int8_t *from, const int8_t *w, const int pairs,
                            const int bits, const int more) {
  if (bits == 8) LOAD_EIGHT(v[1], w, 64);
  add_eight(s, x, &v[0], from + 16 * pairs, pairs, 1);
  if (more && bits == 8) LOAD_EIGHT(v[0], w, 128);
  if (more && bits == 4) LOAD_EIGHT(v[0], w, 64);
  add_eight(s, x, &v[1], from + 32 * pairs, pairs, more);
  if (more && bits == 4) take_halves(v);
}

/* Eight terms of all pairs; the inputs that follow are `at` bytes, a constant, behind `from`. */
#define ADD_EIGHT(v, at)                             \
  do {                                               \
    EACH_PAIR(ADD(s->of[0][o], x[0], (v).of[o]));    \
    EACH_PAIR(ADD(s->of[1][o], x[1], (v).of[o]));    \
    ERT_NEON_LOAD_PAIR(x[0], x[1], from, at);        \
    EACH_PAIR(ADD(s->of[2][o], x[2], (v).of[o]));    \
    EACH_PAIR(ADD(s->of[3][o], x[3], (v).of[o]));    \
    ERT_NEON_LOAD_PAIR(x[2], x[3], from, (at) + 32); \
  } while (0)

/* 32 terms of all pairs, after which others follow: add_sixteen twice, with constants for addresses. */
ERT_INLINE void add_thirty_two(sums *s, int8x16_t *x, eight *v, const int8_t *from, const int8_t *w, const int bits) {
  if (bits == 8) LOAD_EIGHT(v[1], w, 64);
  ADD_EIGHT(v[0], 64);
  if (bits == 8) LOAD_EIGHT(v[0], w, 128);
  else LOAD_EIGHT(v[0], w, 64);
  ADD_EIGHT(v[1], 128);
  if (bits == 8) LOAD_EIGHT(v[1], w, 192);
  else take_halves(v);
  ADD_EIGHT(v[0], 192);
  if (bits == 8) LOAD_EIGHT(v[0], w, 256);
  else LOAD_EIGHT(v[0], w, 128);
  ADD_EIGHT(v[1], 256);
  if (bits == 4) take_halves(v);
}

/* The products of whole 32 terms of one or two pixels. All of a turn is loaded before the first is used. */
ERT_INLINE void add_pair(sums *s, const int8_t *from, const int8_t *w, int32_t whole, const int bits) {
  for (const int8_t *end = from + 2 * whole; from < end; from += 64, w += 4 * MM_CHANNELS * bits) {
    int8x16_t x[4];
    eight v[4];
    ERT_NEON_LOAD_PAIR(x[0], x[1], from, 0);
    ERT_NEON_LOAD_PAIR(x[2], x[3], from, 32);
    LOAD_EIGHT(v[0], w, 0);
    LOAD_EIGHT(v[2], w, 64);
    if (bits == 8) {
      v[1] = v[2];
      LOAD_EIGHT(v[2], w, 128);
      LOAD_EIGHT(v[3], w, 192);
    } else {
      take_halves(&v[0]);
      take_halves(&v[2]);
    }
    ERT_UNROLLED
    for (int i = 0; i < 4; i++) EACH_PAIR(ADD(s->of[0][o], x[i], v[i].of[o]));
  }
}

/* The products of n terms, a multiple of 8, of int4 weights of 16; where their weights end. */
ERT_INLINE const int8_t *add_terms(sums *s, const int8_t *from, const int8_t *w, int32_t n, const int pairs,
                                   const int bits) {
  int8x16_t x[MM_PAIRS];
  eight v[2];
  const ptrdiff_t step = 2 * MM_CHANNELS * bits;
  if (pairs == 1) {
    const int32_t whole = n & ~31;
    add_pair(s, from, w, whole, bits);
    n -= whole, from += 2 * whole, w += whole / 16 * step;
    if (n == 0) return w;
  }
  const int8_t *last = n >= 16 ? w + (n / 16 - 1) * step : w;
  ERT_UNROLLED
  for (int p = 0; p < pairs; p++) load_inputs(x, from, p, pairs);
  LOAD_EIGHT(v[0], w, 0);
  if (bits == 4) take_halves(v);
  if (n >= 16) {
    for (; pairs == MM_PAIRS && last - w >= 2 * step; w += 2 * step, from += 64 * pairs)
      add_thirty_two(s, x, v, from, w, bits);
    for (; w < last; w += step, from += 32 * pairs) add_sixteen(s, x, v, from, w, pairs, bits, 1);
    add_sixteen(s, x, v, from, w, pairs, bits, 0);
    w += step, from += 32 * pairs;
  }
  if (bits == 4 || n % 16 == 0) return w;
  if (n > 16) {
    LOAD_EIGHT(v[0], w, 0);
    ERT_UNROLLED
    for (int p = 0; p < pairs; p++) load_inputs(x, from, p, pairs);
  }
  add_eight(s, x, &v[0], from, pairs, 0);
  return w + 8 * MM_CHANNELS;
}

ERT_INLINE void begin(sums *s, const int32_t *bias, const int pairs) {
  ERT_UNROLLED
  for (int p = 0; p < pairs; p++)
    EACH_PAIR(s->of[p][o] = bias ? vcombine_s32(vld1_s32(bias + 2 * o), vld1_s32(bias + 2 * o)) : vdupq_n_s32(0));
}

/* A row of two channels from each of two vectors: the first pixel's, or the second's. */
ERT_INLINE int32x4_t row(int32x4_t a, int32x4_t b, const int second) {
  const int64x2_t v = vreinterpretq_s64_s32(a), w = vreinterpretq_s64_s32(b);
  return vreinterpretq_s32_s64(second ? vzip2q_s64(v, w) : vzip1q_s64(v, w));
}

/* The sums of a group, times its channels' factors. */
ERT_INLINE void add_group(sums *total, const sums *s, const uint8_t *factors, const int pairs) {
  int32x4_t low, high;
  ert_neon_factors(factors, &low, &high);
  const int32x4_t f[MM_PAIRS] = {row(low, low, 0), row(low, low, 1), row(high, high, 0), row(high, high, 1)};
  ERT_UNROLLED
  for (int p = 0; p < pairs; p++) EACH_PAIR(total->of[p][o] = vmlaq_s32(total->of[p][o], s->of[p][o], f[o]));
}

ERT_INLINE void store(const ert_tile_args *t, const sums *s, const int pixels, const int bits) {
  int32x4_t low[MM_PIXELS], high[MM_PIXELS];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    const int32x4_t *pair = s->of[i / 2];
    low[i] = row(pair[0], pair[1], i % 2), high[i] = row(pair[2], pair[3], i % 2);
  }
  ert_neon_store_eight(t, low, high, pixels, bits);
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int bits) {
  sums s;
  begin(&s, t->scales, (pixels + 1) / 2);
  add_terms(&s, t->in[0], t->weights, t->run, (pixels + 1) / 2, bits);
  store(t, &s, pixels, bits);
}

/* int4 weights with factors: those of a group are multiplied and added up on their own. */
ERT_INLINE void tile_of_groups(const ert_tile_args *t, const int pixels) {
  const int pairs = (pixels + 1) / 2;
  const int8_t *from = t->in[0], *w = t->weights;
  sums total, s;
  begin(&total, t->scales, pairs);
  for (int32_t g = 0; g < t->groups; g++, from += 2 * pairs * t->group) {
    begin(&s, NULL, pairs);
    w = add_terms(&s, from, w, t->group, pairs, 4);
    add_group(&total, &s, t->factors + g * MM_CHANNELS, pairs);
  }
  store(t, &total, pixels, 4);
}

#define TILE(n)                                                                                  \
  static void s8_neoni8mm##n(const ert_tile_args *t) {                                           \
    if (t->channels == MM_CHANNELS) tile(t, n, 8);                                               \
    else ert_tile_some(t, s8_neoni8mm##n, &ert_tiling_s8_neoni8mm, n);                           \
  }                                                                                              \
  static void s4_neoni8mm##n(const ert_tile_args *t) {                                           \
    if (t->channels < MM_CHANNELS) ert_tile_some(t, s4_neoni8mm##n, &ert_tiling_s4_neoni8mm, n); \
    else if (t->factors) tile_of_groups(t, n);                                                   \
    else tile(t, n, 4);                                                                          \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

/* Sixteen terms of two pixels, or the eight that are left. */
ERT_INLINE void pack_pair(int8_t *to, const int8_t *a, const int8_t *b, int32_t run, int32_t step) {
  int32_t k = 0;
  for (; k + 16 <= run; k += 16, to += 2 * step) {
    const int64x2_t v = vreinterpretq_s64_s8(vld1q_s8(a + k)), w = vreinterpretq_s64_s8(vld1q_s8(b + k));
    vst1q_s8(to, vreinterpretq_s8_s64(vzip1q_s64(v, w)));
    vst1q_s8(to + step, vreinterpretq_s8_s64(vzip2q_s64(v, w)));
  }
  if (k < run) vst1q_s8(to, vcombine_s8(vld1_s8(a + k), vld1_s8(b + k)));
}

/* A last pixel without another makes a pair with itself. */
static void pack(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run) {
  const int32_t step = 16 * ((pixels + 1) / 2);
  int8_t *at = to;
  for (int32_t r = 0; r < runs; r++, in += stride, at += run / 8 * step)
    for (int32_t i = 0; i < pixels; i += 2) pack_pair(at + 8 * i, in[i], in[i + 1 < pixels ? i + 1 : i], run, step);
}

ERT_END_neoni8mm

static ert_tile_fn *const by_pixels[] = {s8_neoni8mm1, s8_neoni8mm2, s8_neoni8mm3, s8_neoni8mm4,
                                         s8_neoni8mm5, s8_neoni8mm6, s8_neoni8mm7, s8_neoni8mm8};
static ert_tile_fn *const s4_by_pixels[] = {s4_neoni8mm1, s4_neoni8mm2, s4_neoni8mm3, s4_neoni8mm4,
                                            s4_neoni8mm5, s4_neoni8mm6, s4_neoni8mm7, s4_neoni8mm8};
const ert_tiling ert_tiling_s8_neoni8mm = {by_pixels, MM_PIXELS, {MM_CHANNELS, 8, 1, 8, ERT_SCALES_S8}, pack, 1, 0, 0};
const ert_tiling ert_tiling_s4_neoni8mm = {
    s4_by_pixels, MM_PIXELS, {MM_CHANNELS, 16, 1, 4, ERT_SCALES_S8}, pack, 1, 0, 0};

#endif
