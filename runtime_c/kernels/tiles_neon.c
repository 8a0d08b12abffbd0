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

#if ERT_NEON_ORDERED
/* Whole tiles of a single run, the hottest loop of all, with registers by name, as an instruction loads four of them:
 * 0-7 have the sums of two pixels and 8-15 those of the other two, 16-23 products, 24-27 weights, 28 and 29 inputs. Where
 * the loop ends, the last products are still to be added up: that covers the loads. */
#define EIGHT(m, ...)                                                                                         \
  m(16, 24, 28, __VA_ARGS__) m(17, 25, 28, __VA_ARGS__) m(18, 26, 28, __VA_ARGS__) m(19, 27, 28, __VA_ARGS__) \
      m(20, 24, 29, __VA_ARGS__) m(21, 25, 29, __VA_ARGS__) m(22, 26, 29, __VA_ARGS__) m(23, 27, 29, __VA_ARGS__)
#define PRODUCT(y, w, x, of, part) of " v" #y ".8h, v" #w "." part ", v" #x "." part "\n"
#define PRODUCTS EIGHT(PRODUCT, "smull", "8b") EIGHT(PRODUCT, "smlal2", "16b")
#define PAIRS(sum, y) "sadalp v" #sum ".4s, v" #y ".8h\n"
#define ADD_LEFT PAIRS(0, 16) PAIRS(1, 17) PAIRS(2, 18) PAIRS(3, 19) PAIRS(4, 20) PAIRS(5, 21) PAIRS(6, 22) PAIRS(7, 23)
#define ADD_RIGHT \
  PAIRS(8, 16) PAIRS(9, 17) PAIRS(10, 18) PAIRS(11, 19) PAIRS(12, 20) PAIRS(13, 21) PAIRS(14, 22) PAIRS(15, 23)
#define LOAD_INPUTS(a, b) "ldr q28, [%[" #a "], %[at]]\nldr q29, [%[" #b "], %[at]]\n"
#define LOAD_WEIGHTS "ld1 {v24.16b-v27.16b}, [%[w]], #64\n"
#define ZERO(a, b, c, d) "movi v" #a ".4s, #0\nmovi v" #b ".4s, #0\nmovi v" #c ".4s, #0\nmovi v" #d ".4s, #0\n"
#define ACROSS(a, b, c, d)                                                                                  \
  "addp v" #a ".4s, v" #a ".4s, v" #b ".4s\naddp v" #c ".4s, v" #c ".4s, v" #d ".4s\naddp v" #a ".4s, v" #a \
  ".4s, v" #c ".4s\n"

/* The sums of 16 * (turns + 1) terms. */
static void multiply_run(int32x4_t *all, const int8_t *const *from, const int8_t *w, ptrdiff_t turns) {
  ptrdiff_t at = 0;
  __asm__ volatile(
      ZERO(0, 1, 2, 3) ZERO(4, 5, 6, 7) ZERO(8, 9, 10, 11) ZERO(12, 13, 14, 15) LOAD_INPUTS(a, b) LOAD_WEIGHTS
      "cbz %[turns], 3f\nb 2f\n1:\n" LOAD_WEIGHTS ADD_RIGHT
      "2:\n" PRODUCTS LOAD_INPUTS(c, d) "add %[at], %[at], #16\nsubs %[turns], %[turns], #1\n" ADD_LEFT PRODUCTS
          LOAD_INPUTS(a, b) "b.ne 1b\n" LOAD_WEIGHTS ADD_RIGHT "3:\n" PRODUCTS LOAD_INPUTS(c, d)
              ADD_LEFT PRODUCTS ADD_RIGHT ACROSS(0, 1, 2, 3) ACROSS(4, 5, 6, 7) ACROSS(8, 9, 10, 11)
                  ACROSS(12, 13, 14, 15) "stp q0, q4, [%[all]]\nstp q8, q12, [%[all], #32]\n"
      : [at] "+r"(at), [w] "+r"(w), [turns] "+r"(turns)
      : [all] "r"(all), [a] "r"(from[0]), [b] "r"(from[1]), [c] "r"(from[2]), [d] "r"(from[3])
      : "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14",
        "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29");
}

ERT_INLINE void tile_of_run(const ert_tile_args *t) {
  const int32x4_t bias = vld1q_s32(t->scales);
  const int8_t *from[S8_PIXELS];
  int32x4_t all[S8_PIXELS];
  for (int i = 0; i < S8_PIXELS; i++) from[i] = t->in[i];
  multiply_run(all, from, t->weights, t->run / S8_DEPTH - 1);
  for (int i = 0; i < S8_PIXELS; i++) all[i] = vaddq_s32(all[i], bias);
  ert_neon_store_four(t, all, S8_PIXELS);
}
#else
ERT_INLINE void tile_of_run(const ert_tile_args *t) { (void)t; }
#endif

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int wide) {
  if (ERT_NEON_ORDERED && pixels == S8_PIXELS && !wide && t->runs == 1) {
    tile_of_run(t);
    return;
  }
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
