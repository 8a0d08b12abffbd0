/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of WebAssembly: groups of 4 pixels x 8 channels, some groups in a call.
 *
 * V8 loads all that a basic block loads before it computes, and has 15 registers. So a loop takes one step of the sums a
 * turn, and inputs are packed: those of a step lie behind each other, always of 4 pixels. */
#ifndef ERT_TILES_WASM_H
#define ERT_TILES_WASM_H

#include "tiles.h"

#if ERT_HAS_simd128
#include <wasm_simd128.h>

enum { ERT_WASM_PIXELS = 16, ERT_WASM_GROUP = 4, ERT_WASM_NR = 8 };

/* A pointer that the compiler knows nothing about: what is added to it becomes the offset of a load. */
#define ERT_OPAQUE(p) __asm__("" : "+r"(p))

/* Where the inputs of a group's pixels begin; those that there are not repeat the first. */
#define ERT_WASM_STARTS(x, in, pixels, type)                                                        \
  const type *x[ERT_WASM_GROUP] = {(in)[0], (in)[(pixels) > 1 ? 1 : 0], (in)[(pixels) > 2 ? 2 : 0], \
                                   (in)[(pixels) > 3 ? 3 : 0]}

/* 4 x 4 words: row i of the result has word i of each. */
ERT_INLINE void ert_wasm_transpose(v128_t v[4]) {
  const v128_t a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
  const v128_t c = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(a, b, 0, 2);
  v[1] = wasm_i64x2_shuffle(a, b, 1, 3);
  v[2] = wasm_i64x2_shuffle(c, d, 0, 2);
  v[3] = wasm_i64x2_shuffle(c, d, 1, 3);
}

/* Four bytes of each of four pixels. */
ERT_INLINE v128_t ert_wasm_gather(const int8_t *const x[4], int32_t k) {
  v128_t v = wasm_v128_load32_zero(x[0] + k);
  v = wasm_v128_load32_lane(x[1] + k, v, 1);
  v = wasm_v128_load32_lane(x[2] + k, v, 2);
  return wasm_v128_load32_lane(x[3] + k, v, 3);
}

/* Scales of a panel in layouts that end in d. */
typedef struct {
  int32_t bias[8], unsigned_bias[8];
  double factor[8], half[8], less[8];
} ert_wasm_scales;

/* Whether it rounds once or twice: no exact result differs. */
#if ERT_HAS_relaxed
#define ert_wasm_madd64 wasm_f64x2_relaxed_madd
#else
ERT_INLINE v128_t ert_wasm_madd64(v128_t x, v128_t w, v128_t sum) { return wasm_f64x2_add(wasm_f64x2_mul(x, w), sum); }
#endif

/* Two channels from the low sums of `x`. The integer next to a double below 2^51 is the low word of its sum with
 * 1.5 * 2^52, to which the zero point is added. */
ERT_INLINE v128_t ert_wasm_rescale2(v128_t x, const ert_wasm_scales *s, int at, v128_t magic, int signs) {
  const v128_t y = wasm_f64x2_convert_low_i32x4(x);
  v128_t z = ert_wasm_madd64(y, wasm_v128_load(s->factor + at), wasm_v128_load(s->half + at));
  if (signs) {
    const v128_t below = wasm_f64x2_lt(y, wasm_f64x2_const_splat(0));
    z = wasm_f64x2_sub(z, wasm_v128_and(below, wasm_v128_load(s->less + at)));
  }
  return wasm_f64x2_add(z, magic);
}

ERT_INLINE v128_t ert_wasm_rescale4(v128_t x, const ert_wasm_scales *s, int at, v128_t magic, int signs) {
  const v128_t high = wasm_i64x2_shuffle(x, x, 1, 1);
  return wasm_i32x4_shuffle(ert_wasm_rescale2(x, s, at, magic, signs), ert_wasm_rescale2(high, s, at + 2, magic, signs),
                            0, 2, 4, 6);
}

/* Eight channels of a pixel as int16. */
ERT_INLINE v128_t ert_wasm_rescale8(v128_t a, v128_t b, const ert_wasm_scales *s, v128_t magic, int signs) {
  return wasm_i16x8_narrow_i32x4(ert_wasm_rescale4(a, s, 0, magic, signs), ert_wasm_rescale4(b, s, 4, magic, signs));
}

ERT_INLINE void ert_wasm_store_some(void *out, v128_t bytes, int32_t n) {
  int8_t all[16];
  wasm_v128_store(all, bytes);
  for (int32_t i = 0; i < n; i++) ((int8_t *)out)[i] = all[i];
}

/* Sums a, b of a pixel to bytes. What is below the zero point rounds as it likes where nothing of it gets through. */
ERT_INLINE void ert_wasm_finish1(const ert_tile_args *t, void *out, v128_t a, v128_t b, int signs) {
  const v128_t magic = wasm_f64x2_splat(6755399441055744.0 + t->zero_point);
  const v128_t low = wasm_i8x16_splat((int8_t)t->min), high = wasm_i8x16_splat((int8_t)t->max);
  const v128_t words = ert_wasm_rescale8(a, b, t->scales, magic, signs);
  const v128_t y = wasm_i8x16_max(low, wasm_i8x16_min(high, wasm_i8x16_narrow_i16x8(words, words)));
  if (t->channels >= ERT_WASM_NR) wasm_v128_store64_lane(out, y, 0);
  else ert_wasm_store_some(out, y, t->channels);
}

/* Those of `most` pixels, of which there are n. Loops that end early would not be unrolled. */
ERT_INLINE void ert_wasm_finish_all(const ert_tile_args *t, void *const *out, const v128_t *a, const v128_t *b,
                                    int most, int32_t n, int signs) {
  ert_wasm_finish1(t, out[0], a[0], b[0], signs);
  if (most > 1 && n > 1) ert_wasm_finish1(t, out[1], a[1], b[1], signs);
  if (most > 2 && n > 2) ert_wasm_finish1(t, out[2], a[2], b[2], signs);
  if (most > 3 && n > 3) ert_wasm_finish1(t, out[3], a[3], b[3], signs);
}

ERT_INLINE void ert_wasm_finish(const ert_tile_args *t, void *const *out, const v128_t *a, const v128_t *b, int most,
                                int32_t n) {
  if (t->min >= t->zero_point) ert_wasm_finish_all(t, out, a, b, most, n, 0);
  else ert_wasm_finish_all(t, out, a, b, most, n, 1);
}

#if ERT_HAS_relaxed
#define ert_wasm_madd wasm_f32x4_relaxed_madd
#else
ERT_INLINE v128_t ert_wasm_madd(v128_t x, v128_t w, v128_t sum) { return wasm_f32x4_add(wasm_f32x4_mul(x, w), sum); }
#endif

/* pmin and pmax return their first operand for a NaN: the sum goes through. */
ERT_INLINE v128_t ert_wasm_clamp(const ert_tile_args *t, v128_t sum) {
  return wasm_f32x4_pmax(wasm_f32x4_pmin(sum, wasm_f32x4_splat(t->high)), wasm_f32x4_splat(t->low));
}

/* Sums of eight channels, as many as there are. */
ERT_INLINE void ert_wasm_store_f32(const ert_tile_args *t, float *out, v128_t a, v128_t b) {
  a = ert_wasm_clamp(t, a), b = ert_wasm_clamp(t, b);
  if (t->channels >= ERT_WASM_NR) {
    wasm_v128_store(out, a);
    wasm_v128_store(out + 4, b);
    return;
  }
  float both[8];
  wasm_v128_store(both, a);
  wasm_v128_store(both + 4, b);
  for (int32_t i = 0; i < t->channels; i++) out[i] = both[i];
}

/* A micro-kernel for every number of pixels: `group` computes up to 4 of them, n, from packed inputs. Single pixels are
 * those of fully connected layers. */
#define ERT_WASM_TILES(name, group, bytes)                                                            \
  static void name##_any(const ert_tile_args *t) {                                                    \
    const int8_t *x = t->in[0];                                                                       \
    for (int32_t i = 0; i < t->pixels; i += ERT_WASM_GROUP, x += ERT_WASM_GROUP * bytes * t->run) {   \
      const int32_t n = t->pixels - i;                                                                \
      if (n == 1) group(t, x, t->out + i, 1, 1);                                                      \
      else group(t, x, t->out + i, ERT_WASM_GROUP, n);                                                \
    }                                                                                                 \
  }                                                                                                   \
  static ert_tile_fn *const name[ERT_WASM_PIXELS] = {                                                 \
      name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, \
      name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any};

/* All groups of a tile, by a function that packs one. */
#define ERT_WASM_PACK(name, group, bytes)                                                                        \
  static void name(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run) { \
    int8_t *at = to;                                                                                             \
    for (int32_t i = 0; i < pixels; i += ERT_WASM_GROUP, at += ERT_WASM_GROUP * bytes * runs * run)              \
      group(at, in + i, stride, pixels - i, runs, run);                                                          \
  }

const ert_tiling *ert_tiling_s8_simd128(void);
extern const ert_tiling ert_tiling_f32_simd128, ert_depthwise_tiling_s8_simd128;
extern const ert_tiling ert_depthwise_tiling_f32_simd128;

#if ERT_HAS_relaxed
/* NULL where this engine's products of bytes are of no use. */
const ert_tiling *ert_tiling_s8_relaxed(void);
#endif

#endif
#endif
