/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 5 pixels x 4 channels. Two products of int8 fit into 16 bits where weights are above -128, so that three
 * instructions (a product, a product added, pairs added to four sums) take 16 terms of K of a pixel and a channel. */
#include "tiles_arm.h"

#if ERT_HAS_neon

#if defined(__aarch64__)
enum { PIXELS = 5 };
#else
enum { PIXELS = 2 }; /* half as many registers */
#endif
enum { CHANNELS = 4, DEPTH = 16 };

typedef struct {
  int32x4_t of[PIXELS][CHANNELS];
} sums;

/* Sixteen terms of a pixel added to the sums of its channels. `wide`: any weights. */
#if defined(__aarch64__) && defined(__GNUC__)
/* In this order: compilers keep more products waiting than there are registers. */
ERT_INLINE void add(int32x4_t *s, const int8x16_t *w, int8x16_t x, const int wide) {
  int16x8_t a, b, c, d;
  if (wide)
    __asm__(
        "smull %4.8h, %8.8b, %12.8b\n smull %5.8h, %9.8b, %12.8b\n smull %6.8h, %10.8b, %12.8b\n"
        "smull %7.8h, %11.8b, %12.8b\n sadalp %0.4s, %4.8h\n sadalp %1.4s, %5.8h\n sadalp %2.4s, %6.8h\n"
        "sadalp %3.4s, %7.8h\n smull2 %4.8h, %8.16b, %12.16b\n smull2 %5.8h, %9.16b, %12.16b\n"
        "smull2 %6.8h, %10.16b, %12.16b\n smull2 %7.8h, %11.16b, %12.16b\n sadalp %0.4s, %4.8h\n"
        "sadalp %1.4s, %5.8h\n sadalp %2.4s, %6.8h\n sadalp %3.4s, %7.8h"
        : "+w"(s[0]), "+w"(s[1]), "+w"(s[2]), "+w"(s[3]), "=&w"(a), "=&w"(b), "=&w"(c), "=&w"(d)
        : "w"(w[0]), "w"(w[1]), "w"(w[2]), "w"(w[3]), "w"(x));
  else
    __asm__(
        "smull %4.8h, %8.8b, %12.8b\n smull %5.8h, %9.8b, %12.8b\n smull %6.8h, %10.8b, %12.8b\n"
        "smull %7.8h, %11.8b, %12.8b\n smlal2 %4.8h, %8.16b, %12.16b\n smlal2 %5.8h, %9.16b, %12.16b\n"
        "smlal2 %6.8h, %10.16b, %12.16b\n smlal2 %7.8h, %11.16b, %12.16b\n sadalp %0.4s, %4.8h\n"
        "sadalp %1.4s, %5.8h\n sadalp %2.4s, %6.8h\n sadalp %3.4s, %7.8h"
        : "+w"(s[0]), "+w"(s[1]), "+w"(s[2]), "+w"(s[3]), "=&w"(a), "=&w"(b), "=&w"(c), "=&w"(d)
        : "w"(w[0]), "w"(w[1]), "w"(w[2]), "w"(w[3]), "w"(x));
}
#else
ERT_INLINE void add(int32x4_t *s, const int8x16_t *w, int8x16_t x, const int wide) {
  ERT_UNROLLED
  for (int o = 0; o < CHANNELS; o++) {
    const int16x8_t low = vmull_s8(vget_low_s8(w[o]), vget_low_s8(x));
    if (wide) s[o] = vpadalq_s16(vpadalq_s16(s[o], low), vmull_s8(vget_high_s8(w[o]), vget_high_s8(x)));
    else s[o] = vpadalq_s16(s[o], vmlal_s8(low, vget_high_s8(w[o]), vget_high_s8(x)));
  }
}
#endif

/* The products of a run; where its weights end. */
ERT_INLINE const int8_t *add_run(sums *s, const int8_t *const *from, const int8_t *w, int32_t run, const int pixels,
                                 const int wide) {
  for (int32_t k = 0; k < run; k += DEPTH, w += DEPTH * CHANNELS) {
    int8x16_t v[CHANNELS];
    ERT_UNROLLED
    for (int o = 0; o < CHANNELS; o++) v[o] = vld1q_s8(w + DEPTH * o);
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) {
      add(s->of[i], v, vld1q_s8(from[i] + k), wide);
    }
  }
  return w;
}

/* The sums of four vectors. */
ERT_INLINE int32x4_t across(const int32x4_t *v) {
#if defined(__aarch64__)
  return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
#else
  int32x2_t half[4];
  ERT_UNROLLED
  for (int o = 0; o < 4; o++) half[o] = vpadd_s32(vget_low_s32(v[o]), vget_high_s32(v[o]));
  return vcombine_s32(vpadd_s32(half[0], half[1]), vpadd_s32(half[2], half[3]));
#endif
}

#define STORE(i, lane)                                 \
  if (first + i < pixels) {                            \
    const uint32_t word = vgetq_lane_u32(words, lane); \
    ERT_MEMMOVE(out[first + i], &word, 4);             \
  }

ERT_INLINE void store(const ert_tile_args *t, const sums *s, const int pixels) {
  const int32_t *scales = t->scales;
  const int32x4_t bias = vld1q_s32(scales), multiplier = vld1q_s32(scales + 4), left = vnegq_s32(vld1q_s32(scales + 8));
  void *const *const out = t->out;
  int8x16_t y[(PIXELS + 3) / 4];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i += 4) {
    int16x4_t four[4];
    ERT_UNROLLED
    for (int j = 0; j < 4; j++)
      four[j] = i + j < pixels ? vqmovn_s32(ert_neon_rescale(vaddq_s32(across(s->of[i + j]), bias), multiplier, left))
                               : four[0];
    y[i / 4] = ert_neon_finish(t, vcombine_s16(four[0], four[1]), vcombine_s16(four[2], four[3]));
  }
  ERT_UNROLLED
  for (int first = 0; first < pixels; first += 4) {
    const uint32x4_t words = vreinterpretq_u32_s8(y[first / 4]);
    STORE(0, 0)
    STORE(1, 1)
    STORE(2, 2)
    STORE(3, 3)
  }
}

ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int wide) {
  const int8_t *w = t->weights;
  sums s;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_UNROLLED
  for (int o = 0; o < CHANNELS; o++) s.of[i][o] = vdupq_n_s32(0);
  for (int32_t r = 0; r < t->runs; r++) {
    const int8_t *from[PIXELS];
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) from[i] = t->in[r * t->stride + i];
    w = add_run(&s, from, w, t->run, pixels, wide);
  }
  store(t, &s, pixels);
}

#define TILE(n)                                                  \
  static void tile##n(const ert_tile_args *t) {                  \
    if (t->channels == CHANNELS) tile(t, n, 0);                  \
    else ert_tile_some(t, tile##n, &ert_tiling_s8_neon, n);      \
  }                                                              \
  static void wide##n(const ert_tile_args *t) {                  \
    if (t->channels == CHANNELS) tile(t, n, 1);                  \
    else ert_tile_some(t, wide##n, &ert_tiling_s8_wide_neon, n); \
  }
TILE(1)
TILE(2)
#if defined(__aarch64__)
TILE(3)
TILE(4)
TILE(5)
static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4, tile5};
static ert_tile_fn *const wide_by_pixels[] = {wide1, wide2, wide3, wide4, wide5};
#else
static ert_tile_fn *const by_pixels[] = {tile1, tile2};
static ert_tile_fn *const wide_by_pixels[] = {wide1, wide2};
#endif

const ert_tiling ert_tiling_s8_neon = {by_pixels, PIXELS, CHANNELS, DEPTH, 1};
const ert_tiling ert_tiling_s8_wide_neon = {wide_by_pixels, PIXELS, CHANNELS, DEPTH, 1};

#endif
