/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise: groups of 3 pixels x 8 channels. Integers: two taps at a time, their channels interleaved as int16, so that
 * one instruction multiplies and adds up both for four channels. */
#include "tiles_wasm.h"

#if ERT_HAS_simd128

enum { GROUP = 3, TILE = 12 };

/* The first n of eight bytes, widened, or of eight int16; the others are 0. */
static v128_t some_items(const uint8_t *p, int32_t n, int item) {
  uint8_t all[16] = {0};
  for (int32_t i = 0; i < n * item; i++) all[i] = p[i];
  return item == 2 ? wasm_v128_load(all) : wasm_i16x8_load8x8(all);
}

/* Inputs of a tap; eight of them, or as many as the panel has. */
ERT_INLINE v128_t tap(const ert_tile_args *t, const void *in, int whole, int item) {
  const uint8_t *p = (const uint8_t *)in + t->offset;
  if (!whole) return some_items(p, t->channels, item);
  return item == 2 ? wasm_v128_load(p) : wasm_i16x8_load8x8(p);
}

ERT_INLINE v128_t low_pairs(v128_t a, v128_t b) { return wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }

ERT_INLINE v128_t high_pairs(v128_t a, v128_t b) { return wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }

ERT_INLINE void add_pair(v128_t *a, v128_t *b, v128_t x, v128_t y, v128_t w0, v128_t w1) {
  *a = wasm_i32x4_add(*a, wasm_i32x4_dot_i16x8(low_pairs(x, y), w0));
  *b = wasm_i32x4_add(*b, wasm_i32x4_dot_i16x8(high_pairs(x, y), w1));
}

ERT_INLINE void sums_of(const ert_tile_args *t, const void *const *in, v128_t *a, v128_t *b, int pixels, int whole,
                        int item) {
  const ert_wasm_scales *s = t->scales;
  const int8_t *w = t->weights;
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(s->bias), b[i] = wasm_v128_load(s->bias + 4);
  int32_t taps = t->runs;
  for (; taps > 1; taps -= 2, w += 16, in += 2 * t->stride) {
    const v128_t v = wasm_i16x8_load8x8(w), u = wasm_i16x8_load8x8(w + 8);
    const v128_t w0 = low_pairs(v, u), w1 = high_pairs(v, u);
    for (int i = 0; i < pixels; i++)
      add_pair(a + i, b + i, tap(t, in[i], whole, item), tap(t, in[t->stride + i], whole, item), w0, w1);
  }
  if (taps == 0) return;
  const v128_t zero = wasm_i16x8_const_splat(0), v = wasm_i16x8_load8x8(w);
  for (int i = 0; i < pixels; i++)
    add_pair(a + i, b + i, tap(t, in[i], whole, item), zero, low_pairs(v, zero), high_pairs(v, zero));
}

ERT_INLINE void group_s8(const ert_tile_args *t, int32_t first, int pixels) {
  v128_t a[GROUP], b[GROUP];
  if (t->channels >= ERT_WASM_NR) sums_of(t, t->in + first, a, b, pixels, 1, 1);
  else sums_of(t, t->in + first, a, b, pixels, 0, 1);
  ert_wasm_finish(t, t->out + first, a, b, pixels, pixels);
}

ERT_INLINE void group_s16(const ert_tile_args *t, int32_t first, int pixels) {
  v128_t a[GROUP], b[GROUP];
  if (t->channels >= ERT_WASM_NR) sums_of(t, t->in + first, a, b, pixels, 1, 2);
  else sums_of(t, t->in + first, a, b, pixels, 0, 2);
  for (int i = 0; i < pixels; i++) ert_wasm_finish_s16(t, t->out[first + i], a[i], b[i]);
}

/* A micro-kernel for every number of pixels. */
#define TILES(name, group)                                                                                        \
  static void name##_any(const ert_tile_args *t) {                                                                \
    int32_t i = 0;                                                                                                \
    for (; i + GROUP <= t->pixels; i += GROUP) group(t, i, GROUP);                                                \
    if (t->pixels - i == 2) group(t, i, 2);                                                                       \
    if (t->pixels - i == 1) group(t, i, 1);                                                                       \
  }                                                                                                               \
  static ert_tile_fn *const name[TILE] = {name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, \
                                          name##_any, name##_any, name##_any, name##_any, name##_any, name##_any};

TILES(tiles_s8, group_s8)
const ert_tiling ert_depthwise_tiling_s8_simd128 = {
    tiles_s8, TILE, {ERT_WASM_NR, 1, 1, 8, ERT_SCALES_DOUBLES}, NULL, 0};

TILES(tiles_s16, group_s16)
const ert_tiling ert_depthwise_tiling_s16_simd128 = {
    tiles_s16, TILE, {ERT_WASM_NR, 1, 2, 8, ERT_SCALES_DOUBLES}, NULL, 0};

static v128_t some_floats(const float *p, int32_t n) {
  float all[4] = {0};
  for (int32_t i = 0; i < n && i < 4; i++) all[i] = p[i];
  return wasm_v128_load(all);
}

ERT_INLINE void sums_f32(const ert_tile_args *t, const void *const *in, v128_t *a, v128_t *b, int pixels, int whole) {
  const float *w = t->weights, *bias = t->scales;
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(bias), b[i] = wasm_v128_load(bias + 4);
  for (int32_t r = 0; r < t->runs; r++, w += 8, in += t->stride) {
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 4);
    for (int i = 0; i < pixels; i++) {
      const float *x = (const void *)((const uint8_t *)in[i] + t->offset);
      a[i] = ert_wasm_madd(whole ? wasm_v128_load(x) : some_floats(x, t->channels), w0, a[i]);
      b[i] = ert_wasm_madd(whole ? wasm_v128_load(x + 4) : some_floats(x + 4, t->channels - 4), w1, b[i]);
    }
  }
}

ERT_INLINE void group_f32(const ert_tile_args *t, int32_t first, int pixels) {
  v128_t a[GROUP], b[GROUP];
  if (t->channels >= ERT_WASM_NR) sums_f32(t, t->in + first, a, b, pixels, 1);
  else sums_f32(t, t->in + first, a, b, pixels, 0);
  for (int i = 0; i < pixels; i++) ert_wasm_store_f32(t, t->out[first + i], a[i], b[i]);
}

TILES(tiles_f32, group_f32)
const ert_tiling ert_depthwise_tiling_f32_simd128 = {tiles_f32, TILE, {ERT_WASM_NR, 1, 4, 32, ERT_SCALES_F32}, NULL, 0};

#endif
