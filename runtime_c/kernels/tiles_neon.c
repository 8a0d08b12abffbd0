/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 4 pixels x 4 channels. Two products of int8 fit into 16 bits where weights are above -128, so that three
 * instructions (a product, a product added, pairs added to four sums) take 16 terms of K of a pixel and a channel. */
#include "tiles_s8_neon.h"

#if ERT_HAS_neon

enum { S8_PIXELS = ERT_NEON_PIXELS, S8_CHANNELS = ERT_NEON_CHANNELS, S8_DEPTH = 16 };

typedef struct {
  int32x4_t of[S8_PIXELS][S8_CHANNELS];
} sums;

#if ERT_NEON_ORDERED
#define OF_TWO(name, instruction, end, sum)                                                 \
  ERT_INLINE void name(int16x8_t *y, int8x16_t w, int8x16_t x) {                            \
    __asm__ volatile(instruction " %0.8h, %1." end ", %2." end : sum(*y) : "w"(w), "w"(x)); \
  }
OF_TWO(low_product, "smull", "8b", "=w")
OF_TWO(high_product, "smull2", "16b", "=w")
OF_TWO(add_high_product, "smlal2", "16b", "+w")

ERT_INLINE void add_pairs(int32x4_t *sum, int16x8_t products) {
  __asm__ volatile("sadalp %0.4s, %1.8h" : "+w"(*sum) : "w"(products));
}
#else
ERT_INLINE void low_product(int16x8_t *y, int8x16_t w, int8x16_t x) { *y = vmull_s8(vget_low_s8(w), vget_low_s8(x)); }

ERT_INLINE void high_product(int16x8_t *y, int8x16_t w, int8x16_t x) {
  *y = vmull_s8(vget_high_s8(w), vget_high_s8(x));
}

ERT_INLINE void add_high_product(int16x8_t *y, int8x16_t w, int8x16_t x) {
  *y = vmlal_s8(*y, vget_high_s8(w), vget_high_s8(x));
}

ERT_INLINE void add_pairs(int32x4_t *sum, int16x8_t products) { *sum = vpadalq_s16(*sum, products); }
#endif

enum { S8_GROUP = 2 }; /* pixels that are multiplied together: no product waits for the one before */

#define EACH(statement)                       \
  do {                                        \
    ERT_UNROLLED                              \
    for (int i = 0; i < n; i++) {             \
      ERT_UNROLLED                            \
      for (int o = 0; o < S8_CHANNELS; o++) { \
        statement;                            \
      }                                       \
    }                                         \
  } while (0)

/* Sixteen terms of n pixels. `wide`: any weights. Before the last sums the inputs of the `following` pixels are loaded,
 * `at` bytes behind where they begin, and the weights that come next where `more`. */
ERT_INLINE void add_group(int32x4_t (*s)[S8_CHANNELS], int8x16_t *v, int8x16_t *x, const int n, const int wide,
                          const int8_t *const *next, ptrdiff_t at, const int following, const int8_t *w,
                          const int more) {
  int16x8_t y[S8_GROUP][S8_CHANNELS];
  EACH(low_product(&y[i][o], v[o], x[i]));
  if (wide) {
    EACH(add_pairs(&s[i][o], y[i][o]));
    EACH(high_product(&y[i][o], v[o], x[i]));
  } else {
    EACH(add_high_product(&y[i][o], v[o], x[i]));
  }
  ERT_UNROLLED
  for (int i = 0; i < following; i++) ERT_NEON_LOAD(x[i], next[i], at);
  if (more) {
    ERT_NEON_LOAD_PAIR(v[0], v[1], w, S8_DEPTH * S8_CHANNELS);
    ERT_NEON_LOAD_PAIR(v[2], v[3], w, S8_DEPTH * S8_CHANNELS + 32);
  }
  EACH(add_pairs(&s[i][o], y[i][o]));
}

ERT_INLINE int at_most(int n, int most) { return n < most ? n : most; }

/* Sixteen terms of every pixel, `at` bytes behind where they begin; `more`: others follow. */
ERT_INLINE void add_sixteen(sums *s, int8x16_t *v, int8x16_t *x, const int8_t *const *from, ptrdiff_t at,
                            const int8_t *w, const int pixels, const int wide, const int more) {
  ERT_UNROLLED
  for (int i = 0; i < pixels; i += S8_GROUP) {
    const int n = at_most(pixels - i, S8_GROUP), left = pixels - i - S8_GROUP;
    if (left > 0) add_group(s->of + i, v, x, n, wide, from + i + S8_GROUP, at, at_most(left, S8_GROUP), w, 0);
    else add_group(s->of + i, v, x, n, wide, from, at + S8_DEPTH, more ? at_most(pixels, S8_GROUP) : 0, w, more);
  }
}

/* The products of a run, which is not empty; where its weights end. */
ERT_INLINE const int8_t *add_run(sums *s, const int8_t *const *from, const int8_t *w, int32_t run, const int pixels,
                                 const int wide) {
  int8x16_t v[S8_CHANNELS], x[S8_GROUP];
  ptrdiff_t at = 0;
  ERT_UNROLLED
  for (int i = 0; i < at_most(pixels, S8_GROUP); i++) ERT_NEON_LOAD(x[i], from[i], at);
  ERT_NEON_LOAD_PAIR(v[0], v[1], w, 0);
  ERT_NEON_LOAD_PAIR(v[2], v[3], w, 32);
  for (; at < run - S8_DEPTH; at += S8_DEPTH, w += S8_DEPTH * S8_CHANNELS)
    add_sixteen(s, v, x, from, at, w, pixels, wide, 1);
  add_sixteen(s, v, x, from, at, w, pixels, wide, 0);
  return w + S8_DEPTH * S8_CHANNELS;
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int wide) {
  const int8_t *w = t->weights;
  sums s;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_UNROLLED
  for (int o = 0; o < S8_CHANNELS; o++) s.of[i][o] = vdupq_n_s32(0);
  for (int32_t r = 0; r < t->runs; r++) {
    const int8_t *from[S8_PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels, wide);
  }
  const int32x4_t bias = vld1q_s32(t->scales);
  int32x4_t all[S8_PIXELS];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) all[i] = vaddq_s32(ert_neon_across(s.of[i]), bias);
  ert_neon_store_four(t, all, pixels);
}

#define TILE(n)                                                          \
  static void s8_neon##n(const ert_tile_args *t) {                       \
    if (t->channels == S8_CHANNELS) tile(t, n, 0);                       \
    else ert_tile_some(t, s8_neon##n, &ert_tiling_s8_neon, n);           \
  }                                                                      \
  static void s8_wide_neon##n(const ert_tile_args *t) {                  \
    if (t->channels == S8_CHANNELS) tile(t, n, 1);                       \
    else ert_tile_some(t, s8_wide_neon##n, &ert_tiling_s8_wide_neon, n); \
  }
TILE(1)
TILE(2)
#if defined(__aarch64__)
TILE(3)
TILE(4)
static ert_tile_fn *const by_pixels[] = {s8_neon1, s8_neon2, s8_neon3, s8_neon4};
static ert_tile_fn *const wide_by_pixels[] = {s8_wide_neon1, s8_wide_neon2, s8_wide_neon3, s8_wide_neon4};
#else
static ert_tile_fn *const by_pixels[] = {s8_neon1, s8_neon2};
static ert_tile_fn *const wide_by_pixels[] = {s8_wide_neon1, s8_wide_neon2};
#endif

const ert_tiling ert_tiling_s8_neon = {by_pixels, S8_PIXELS, {S8_CHANNELS, S8_DEPTH, 1, 8, ERT_SCALES_S8}, NULL, 0,
                                       0,         0};
const ert_tiling ert_tiling_s8_wide_neon = {
    wide_by_pixels, S8_PIXELS, {S8_CHANNELS, S8_DEPTH, 1, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
