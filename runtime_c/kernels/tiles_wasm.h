/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of WebAssembly: up to 4 pixels x 8 channels.
 *
 * V8 loads all that a basic block loads before it computes, and has 15 registers. So a loop takes one step of the sums a
 * turn, and inputs are packed: those of a step lie behind each other. Inputs of a tile are always 4 pixels wide. */
#ifndef ERT_TILES_WASM_H
#define ERT_TILES_WASM_H

#include "tiles.h"

#if ERT_HAS_simd128
#include <wasm_simd128.h>

enum { ERT_WASM_PIXELS = 4, ERT_WASM_NR = 8 };

/* A pointer that the compiler knows nothing about: what is added to it becomes the offset of a load. */
#define ERT_OPAQUE(p) __asm__("" : "+r"(p))

/* Where the inputs of the tile's pixels begin; those that there are not repeat the first. */
#define ERT_WASM_STARTS(x, in, pixels, type)                                                         \
  const type *x[ERT_WASM_PIXELS] = {(in)[0], (in)[(pixels) > 1 ? 1 : 0], (in)[(pixels) > 2 ? 2 : 0], \
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

/* Two channels from the low sums of `x`. The integer next to a double below 2^51 is the low word of its sum with
 * 1.5 * 2^52, to which the zero point is added. */
ERT_INLINE v128_t ert_wasm_rescale2(v128_t x, const ert_wasm_scales *s, int at, v128_t magic, int signs) {
  const v128_t y = wasm_f64x2_mul(wasm_f64x2_convert_low_i32x4(x), wasm_v128_load(s->factor + at));
  v128_t z = wasm_f64x2_add(y, wasm_v128_load(s->half + at));
  if (signs)
    z = wasm_f64x2_sub(z, wasm_v128_and(wasm_f64x2_lt(y, wasm_f64x2_const_splat(0)), wasm_v128_load(s->less + at)));
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

/* Sums a, b of each pixel to bytes. What is below the zero point rounds as it likes where nothing of it gets through. */
ERT_INLINE void ert_wasm_finish(const ert_tile_args *t, const v128_t *a, const v128_t *b, int pixels, int signs) {
  const ert_wasm_scales *s = t->scales;
  const v128_t magic = wasm_f64x2_splat(6755399441055744.0 + t->zero_point);
  const v128_t low = wasm_i8x16_splat((int8_t)t->min), high = wasm_i8x16_splat((int8_t)t->max);
  for (int i = 0; i < pixels; i++) {
    const v128_t words = ert_wasm_rescale8(a[i], b[i], s, magic, signs);
    const v128_t y = wasm_i8x16_max(low, wasm_i8x16_min(high, wasm_i8x16_narrow_i16x8(words, words)));
    if (t->channels >= ERT_WASM_NR) wasm_v128_store64_lane(t->out[i], y, 0);
    else ert_wasm_store_some(t->out[i], y, t->channels);
  }
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

/* The micro-kernels of 1 to 4 pixels that `tile` is for. */
#define ERT_WASM_TILES(name, tile)                            \
  static void name##1(const ert_tile_args *t) { tile(t, 1); } \
  static void name##2(const ert_tile_args *t) { tile(t, 2); } \
  static void name##3(const ert_tile_args *t) { tile(t, 3); } \
  static void name##4(const ert_tile_args *t) { tile(t, 4); } \
  static ert_tile_fn *const name[] = {name##1, name##2, name##3, name##4};

const ert_packed_tiling *ert_tiling_s8_simd128(void);
extern const ert_packed_tiling ert_tiling_f32_simd128, ert_depthwise_tiling_s8_simd128;
extern const ert_tiling ert_depthwise_tiling_f32_simd128;

#if ERT_HAS_relaxed
/* NULL where this engine's products of bytes are of no use. */
const ert_packed_tiling *ert_tiling_s8_relaxed(void);
#endif

#endif
#endif
