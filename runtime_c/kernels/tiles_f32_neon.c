/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 8 pixels x 8 channels, 16 vectors of sums; for four terms of K 8 vectors of weights, one of each pixel and 64
 * products. Weights of other types become floats as they are needed. */
#include "widen_neon.h"

#if ERT_HAS_neon

#if defined(__aarch64__)
enum { F32_PIXELS = 8 };
#define ADD_ONE(sum, w, x) vfmaq_n_f32(sum, w, x)
#define ADD_VECTOR(sum, a, b) vfmaq_f32(sum, a, b)
#else
enum { F32_PIXELS = 4 }; /* half as many registers */
#define ADD_ONE(sum, w, x) vmlaq_n_f32(sum, w, x)
#define ADD_VECTOR(sum, a, b) vmlaq_f32(sum, a, b)
#endif
#if ERT_NEON_ORDERED
#define ADD(sum, w, x, lane) __asm__ volatile("fmla %0.4s, %1.4s, %2.s[" #lane "]" : "+w"(sum) : "w"(w), "w"(x))
#elif defined(__aarch64__)
#define ADD(sum, w, x, lane) sum = vfmaq_laneq_f32(sum, w, x, lane)
#else
#define ADD(sum, w, x, lane) sum = vmlaq_n_f32(sum, w, vgetq_lane_f32(x, lane))
#endif
enum { F32_CHANNELS = 8, FEW = 4 /* pixels */ };

typedef struct {
  float32x4_t low[F32_PIXELS], high[F32_PIXELS]; /* channels 0-3 and 4-7 */
} sums;

typedef struct {
  float32x4_t low, high;
} channels;

/* The product of a vector of weights and the input in lane `term`. */
ERT_INLINE void add_product(float32x4_t *sum, float32x4_t w, float32x4_t x, const int term) {
  if (term == 0) ADD(*sum, w, x, 0);
  else if (term == 1) ADD(*sum, w, x, 1);
  else if (term == 2) ADD(*sum, w, x, 2);
  else ADD(*sum, w, x, 3);
}

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

/* The products of a run of float weights; where its weights end. */
ERT_INLINE const void *add_f32_run(sums *s, const float *const *from, const float *w, int32_t run, const int pixels) {
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

/* What holds the weights of four terms: of float16 a vector each, else one for either half of the channels. */
typedef struct {
  int8x16_t of[4];
} bytes;

ERT_INLINE void load_bytes(bytes *b, const uint8_t *w, const int bits) {
  ERT_NEON_LOAD_PAIR(b->of[0], b->of[1], w, 0);
  if (bits == 16) ERT_NEON_LOAD_PAIR(b->of[2], b->of[3], w, 32);
}

/* A vector of weights: `high` is the half of the channels. Whoever executes in order does something else in between. */
ERT_INLINE void begin_vector(float32x4_t *y, int8x16_t *t, const bytes *b, const ert_neon_places *at, const int term,
                             const int high, const int bits) {
  if (bits == 16) ert_neon_halves_to_floats(y, b->of[term], high);
  else ert_neon_spread(t, b->of[high], at, term);
}

ERT_INLINE void end_vector(float32x4_t *y, int8x16_t t, const int term, const int sixteens, const int bits) {
  if (bits != 16) ert_neon_to_floats(y, t, term, sixteens);
}

/* int4: the first four terms of a block lie in the low halves of its bytes, the others in the high ones. */
ERT_INLINE void take_half(bytes *b, const int second, const int bits) {
  if (bits != 4) return;
  ert_neon_take_half(&b->of[0], second);
  ert_neon_take_half(&b->of[1], second);
}

/* What does not change in a run. Its steps take four terms, which are the `second` ones of a block of int4 weights or not.
 * `more`: others follow, whose inputs are `at` bytes behind where they begin, and whose weights are at w. */
typedef struct {
  const float *const *from;
  const ert_neon_places *places;
  int pixels, bits;
} layer;

/* Few pixels: all weights become floats before the first product. */
ERT_INLINE void add_few(sums *s, float32x4_t *x, bytes *b, const layer *l, ptrdiff_t at, const uint8_t *w,
                        const int second, const int more) {
  const int bits = l->bits, sixteens = bits == 4 && !second;
  float32x4_t v[4][2];
  int8x16_t t[4][2];
  ERT_UNROLLED
  for (int i = 0; i < 8; i++) begin_vector(&v[i / 2][i % 2], &t[i / 2][i % 2], b, l->places, i / 2, i % 2, bits);
  ERT_UNROLLED
  for (int i = 0; i < 8; i++) end_vector(&v[i / 2][i % 2], t[i / 2][i % 2], i / 2, sixteens, bits);
  if (more) load_bytes(b, w, bits);
  ERT_UNROLLED
  for (int term = 0; term < 4; term++) ERT_UNROLLED
  for (int i = 0; i < l->pixels; i++) {
    add_product(&s->low[i], v[term][0], x[i], term);
    add_product(&s->high[i], v[term][1], x[i], term);
    if (term == 3 && more) ERT_NEON_LOAD(x[i], l->from[i], at);
  }
  if (more) take_half(b, !second, bits);
}

/* Many pixels, so that registers are scarce: a vector of weights becomes floats while the one before is multiplied. */
typedef struct {
  float32x4_t low, high;
  int8x16_t of_low, of_high;
} pair;

ERT_INLINE void add_term(sums *s, float32x4_t *x, bytes *b, pair *v, const layer *l, ptrdiff_t at, const uint8_t *w,
                         const int term, const int second, const int more) {
  const int bits = l->bits, last = term == 3, next = (term + 1) % 4, follows = !last || more;
  const int sixteens = bits == 4 && !second, sixteens_then = bits == 4 && (last ? second : !second);
  const int half = l->pixels / 2;
  if (more && last && bits != 16) load_bytes(b, w, bits);
  if (more && bits == 16 && term == 1) ERT_NEON_LOAD_PAIR(b->of[0], b->of[1], w, 0);
  if (more && bits == 16 && last) ERT_NEON_LOAD_PAIR(b->of[2], b->of[3], w, 32);
  ERT_UNROLLED
  for (int i = 0; i < l->pixels; i++) {
    if (i == half) end_vector(&v->high, v->of_high, term, sixteens, bits);
    add_product(&s->low[i], v->low, x[i], term);
  }
  if (more && last) take_half(b, !second, bits);
  if (follows) begin_vector(&v->low, &v->of_low, b, l->places, next, 0, bits);
  ERT_UNROLLED
  for (int i = 0; i < l->pixels; i++) {
    if (i == half && follows) end_vector(&v->low, v->of_low, next, sixteens_then, bits);
    add_product(&s->high[i], v->high, x[i], term);
    if (last && more) ERT_NEON_LOAD(x[i], l->from[i], at);
  }
  if (follows) begin_vector(&v->high, &v->of_high, b, l->places, next, 1, bits);
}

ERT_INLINE void add_four_of(sums *s, float32x4_t *x, bytes *b, pair *v, const layer *l, ptrdiff_t at, const uint8_t *w,
                            const int second, const int more) {
  if (l->pixels <= FEW) {
    add_few(s, x, b, l, at, w, second, more);
    return;
  }
  ERT_UNROLLED
  for (int term = 0; term < 4; term++) add_term(s, x, b, v, l, at, w, term, second, more);
}

/* The products of whole fours, at least one of them; of int4 weights whole blocks of eight. */
ERT_INLINE void add_fours(sums *s, const layer *l, const uint8_t *w, int32_t whole) {
  const int bits = l->bits, step = F32_CHANNELS * 4 * (bits == 16 ? 2 : 1);
  const ptrdiff_t end = (ptrdiff_t)whole * (ptrdiff_t)sizeof(float);
  float32x4_t x[F32_PIXELS];
  bytes b;
  pair v;
  ERT_UNROLLED
  for (int i = 0; i < l->pixels; i++) ERT_NEON_LOAD(x[i], l->from[i], (ptrdiff_t)0);
  load_bytes(&b, w, bits);
  take_half(&b, 0, bits);
  if (l->pixels > FEW) {
    begin_vector(&v.low, &v.of_low, &b, l->places, 0, 0, bits);
    end_vector(&v.low, v.of_low, 0, bits == 4, bits);
    begin_vector(&v.high, &v.of_high, &b, l->places, 0, 1, bits);
  }
  if (bits == 4) {
    for (ptrdiff_t at = 32; at < end; at += 32, w += step) {
      add_four_of(s, x, &b, &v, l, at - 16, w, 0, 1);
      add_four_of(s, x, &b, &v, l, at, w + step, 1, 1);
    }
    add_four_of(s, x, &b, &v, l, end - 16, w, 0, 1);
    add_four_of(s, x, &b, &v, l, 0, w, 1, 0);
  } else {
    ptrdiff_t at = 16;
    for (; bits == 8 && at < end - 16; at += 32, w += 2 * step) { /* two turns at once are one end of a loop less */
      add_four_of(s, x, &b, &v, l, at, w + step, 0, 1);
      add_four_of(s, x, &b, &v, l, at + 16, w + 2 * step, 0, 1);
    }
    for (; at < end; at += 16, w += step) add_four_of(s, x, &b, &v, l, at, w + step, 0, 1);
    add_four_of(s, x, &b, &v, l, 0, w, 0, 0);
  }
}

/* The products of a run; where its weights end. */
ERT_INLINE const void *add_run(sums *s, const float *const *from, const void *weights, int32_t run,
                               const ert_neon_places *places, const int pixels, const int bits) {
  if (bits == 32) return add_f32_run(s, from, weights, run, pixels);
  const uint8_t *w = weights;
  const layer l = {from, places, pixels, bits};
  const int32_t whole = run & ~3;
  if (whole > 0) add_fours(s, &l, w, whole);
  w += (ptrdiff_t)whole * F32_CHANNELS * bits / 8;
  for (int32_t k = whole; bits == 16 && k < run; k++, w += 2 * F32_CHANNELS) {
    float32x4_t low, high;
    const int8x16_t both = vld1q_s8((const int8_t *)w);
    ert_neon_halves_to_floats(&low, both, 0);
    ert_neon_halves_to_floats(&high, both, 1);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) {
      s->low[i] = ADD_ONE(s->low[i], low, from[i][k]);
      s->high[i] = ADD_ONE(s->high[i], high, from[i][k]);
    }
  }
  return w;
}

ERT_INLINE void begin(sums *s, float32x4_t low, float32x4_t high, const int pixels) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s->low[i] = low, s->high[i] = high;
}

/* Sums of weights that have a scale are multiplied by it before the bias is added. */
ERT_INLINE void finish(sums *s, const float *scales, const int pixels) {
  const float32x4_t b0 = vld1q_f32(scales), b1 = vld1q_f32(scales + 4);
  const float32x4_t s0 = vld1q_f32(scales + F32_CHANNELS), s1 = vld1q_f32(scales + F32_CHANNELS + 4);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    s->low[i] = ADD_VECTOR(b0, s->low[i], s0);
    s->high[i] = ADD_VECTOR(b1, s->high[i], s1);
  }
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int bits) {
  const int scaled = bits == 8 || bits == 4;
  const float *bias = t->scales;
  const float32x4_t zero = vdupq_n_f32(0);
  const ert_neon_places places = ert_neon_find_places();
  const void *w = t->weights;
  sums s;
  begin(&s, scaled ? zero : vld1q_f32(bias), scaled ? zero : vld1q_f32(bias + 4), pixels);
  for (int32_t r = 0; r < t->runs; r++) {
    const float *from[F32_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, &places, pixels, bits);
  }
  if (scaled) finish(&s, t->scales, pixels);
  ert_neon_store_floats(t, s.low, s.high, pixels);
}

/* The sums of a group, times its channels' factors. */
ERT_INLINE void add_group(sums *total, const sums *s, const uint8_t *factors, const int pixels) {
  const uint16x8_t f = vmovl_u8(vld1_u8(factors));
  const float32x4_t low = vcvtq_f32_u32(vmovl_u16(vget_low_u16(f)));
  const float32x4_t high = vcvtq_f32_u32(vmovl_u16(vget_high_u16(f)));
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    total->low[i] = ADD_VECTOR(total->low[i], s->low[i], low);
    total->high[i] = ADD_VECTOR(total->high[i], s->high[i], high);
  }
}

/* int4 weights with factors: those of a group are multiplied and added up on their own. */
ERT_INLINE void tile_of_groups(const ert_tile_args *t, const int pixels) {
  const float32x4_t zero = vdupq_n_f32(0);
  const ert_neon_places places = ert_neon_find_places();
  const void *w = t->weights;
  const uint8_t *factors = t->factors;
  sums total, s;
  begin(&total, zero, zero, pixels);
  for (int32_t r = 0; r < t->runs; r++) {
    const float *from[F32_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    for (int32_t k = 0; k < t->run; k += t->group, factors += F32_CHANNELS) {
      begin(&s, zero, zero, pixels);
      w = add_run(&s, from, w, t->group, &places, pixels, 4);
      add_group(&total, &s, factors, pixels);
      ERT_UNROLLED
      for (int i = 0; i < pixels; i++) from[i] += t->group;
    }
  }
  finish(&total, t->scales, pixels);
  ert_neon_store_floats(t, total.low, total.high, pixels);
}

#define SIZE(name, n, bits)                                                           \
  static void name##n(const ert_tile_args *t) {                                       \
    if (t->channels < F32_CHANNELS) ert_tile_some(t, name##n, &ert_tiling_##name, n); \
    else if (bits == 4 && t->factors) tile_of_groups(t, n);                           \
    else tile(t, n, bits);                                                            \
  }
#if defined(__aarch64__)
#define SIZES(name, bits)                                                             \
  SIZE(name, 1, bits)                                                                 \
  SIZE(name, 2, bits)                                                                 \
  SIZE(name, 3, bits)                                                                 \
  SIZE(name, 4, bits)                                                                 \
  SIZE(name, 5, bits)                                                                 \
  SIZE(name, 6, bits)                                                                 \
  SIZE(name, 7, bits)                                                                 \
  SIZE(name, 8, bits)                                                                 \
  static ert_tile_fn *const name##_by_pixels[] = {name##1, name##2, name##3, name##4, \
                                                  name##5, name##6, name##7, name##8};
#else
#define SIZES(name, bits) \
  SIZE(name, 1, bits)     \
  SIZE(name, 2, bits)     \
  SIZE(name, 3, bits)     \
  SIZE(name, 4, bits)     \
  static ert_tile_fn *const name##_by_pixels[] = {name##1, name##2, name##3, name##4};
#endif

/* The micro-kernels for weights of a type, of which a block has `terms`. */
#define TILES(name, bits, terms, scales) \
  SIZES(name, bits)                      \
  const ert_tiling ert_tiling_##name = { \
      name##_by_pixels, F32_PIXELS, {F32_CHANNELS, terms, 4, bits, scales}, NULL, 0, 0, 0};
TILES(f32_neon, 32, 1, ERT_SCALES_F32)
TILES(f32f16_neon, 16, 1, ERT_SCALES_F32)
TILES(f32s8_neon, 8, 4, ERT_SCALES_SCALED)
TILES(f32s4_neon, 4, 8, ERT_SCALES_SCALED)

#endif
