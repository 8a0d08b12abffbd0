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

ERT_INLINE void group_s8(const ert_tile_args *t, v128_t *sums, int32_t first, int pixels) {
  v128_t a[GROUP], b[GROUP];
  if (t->channels >= ERT_WASM_NR) sums_of(t, t->in + first, a, b, pixels, 1, 1);
  else sums_of(t, t->in + first, a, b, pixels, 0, 1);
  for (int i = 0; i < pixels; i++) sums[2 * (first + i)] = a[i], sums[2 * (first + i) + 1] = b[i];
}

/* Any windows. */
static void windows_s8(const ert_tile_args *t, v128_t *sums) {
  int32_t i = 0;
  for (; i + GROUP <= t->pixels; i += GROUP) group_s8(t, sums, i, GROUP);
  if (t->pixels - i == 2) group_s8(t, sums, i, 2);
  if (t->pixels - i == 1) group_s8(t, sums, i, 1);
}

/* Windows of 3 x 3 next to each other: a column is widened once for all three that share it. Its upper two items are a
 * pair; the lowest one is the pair of the column before. */
enum { LINE_WEIGHTS = 10 };

/* Pairs of weights for both halves of a panel: of the upper rows column by column, then of the last row (none, 0), (1, 2). */
static void line_weights(const int8_t *w, v128_t *to) {
  const v128_t zero = wasm_i16x8_const_splat(0);
  for (int i = 0; i < LINE_WEIGHTS / 2; i++, to += 2) {
    const int8_t *first = w + 8 * (i < 3 ? i : 7), *second = w + 8 * (i < 3 ? 3 + i : 2 * i);
    const v128_t a = i == 3 ? zero : wasm_i16x8_load8x8(first), b = wasm_i16x8_load8x8(second);
    to[0] = low_pairs(a, b), to[1] = high_pairs(a, b);
  }
}

/* Adds a pair of inputs to the sums of every `step`-th pixel. */
ERT_INLINE void add_columns(v128_t *a, v128_t *b, v128_t x, v128_t y, const v128_t *w, int step) {
  const v128_t v = low_pairs(x, y), u = high_pairs(x, y);
  for (int i = 0; i < 3; i += step, w += 2) {
    a[i] = wasm_i32x4_add(a[i], wasm_i32x4_dot_i16x8(v, w[0]));
    b[i] = wasm_i32x4_add(b[i], wasm_i32x4_dot_i16x8(u, w[1]));
  }
}

/* One column: a[i], b[i] are the sums of the pixel that begins i columns before. `never` ends a basic block. */
ERT_INLINE v128_t add_column(v128_t *a, v128_t *b, const int8_t *const x[3], v128_t before, const v128_t *w,
                             int never) {
  add_columns(a, b, wasm_i16x8_load8x8(x[0]), wasm_i16x8_load8x8(x[1]), w, 1);
  if (never) return before;
  const v128_t last = wasm_i16x8_load8x8(x[2]);
  add_columns(a, b, before, last, w + 6, 2);
  return last;
}

/* n pixels of a row, whose windows begin at `in`. */
static void line_s8(const ert_tile_args *t, const void *const *in, const v128_t *w, v128_t *sums, int32_t n) {
  const ert_wasm_scales *s = t->scales;
  const v128_t bias0 = wasm_v128_load(s->bias), bias1 = wasm_v128_load(s->bias + 4);
  v128_t a[3] = {bias0, bias0, bias0}, b[3] = {bias1, bias1, bias1}, before = wasm_i16x8_const_splat(0);
  int never = 0;
  for (int32_t c = -2; c < n; c++) {
    const int8_t *x[3];
    const void *const *column = c < 0 ? in + (2 + c) * t->stride : in + 2 * t->stride + c;
    for (int r = 0; r < 3; r++) x[r] = (const int8_t *)column[3 * r * t->stride] + t->offset;
    ERT_OPAQUE(w);
    ERT_OPAQUE(never);
    before = add_column(a, b, x, before, w, never);
    if (c >= 0) sums[2 * c] = a[2], sums[2 * c + 1] = b[2];
    a[2] = a[1], a[1] = a[0], a[0] = bias0;
    b[2] = b[1], b[1] = b[0], b[0] = bias1;
  }
}

static void sums_s8(const ert_tile_args *t, v128_t *sums) {
  if (!t->line || t->runs != 9 || t->channels < ERT_WASM_NR) {
    windows_s8(t, sums);
    return;
  }
  v128_t w[LINE_WEIGHTS];
  line_weights(t->weights, w);
  for (int32_t i = 0; i < t->pixels; i += t->line) line_s8(t, t->in + i, w, sums + 2 * i, t->line);
}

static void tiles_s8_any(const ert_tile_args *t) {
  v128_t sums[2 * TILE * ERT_BLOCK_TILES], *kept = sums;
  const ert_wasm_floats f = ert_wasm_floats_of(t);
  ERT_OPAQUE(kept);
  sums_s8(t, kept);
  for (int32_t i = 0; i < t->pixels; i += ERT_WASM_GROUP)
    ert_wasm_finish_sums(t, &f, t->out + i, kept + 2 * i, t->pixels - i);
}
static ert_tile_fn *const tiles_s8[] = {tiles_s8_any};

const ert_tiling ert_depthwise_tiling_s8_simd128 = {tiles_s8, TILE, {ERT_WASM_NR, 1, 1, 8, ERT_SCALES_DOUBLES}, NULL, 0,
                                                    GROUP,    0};

/* A micro-kernel for any number of pixels. */
#define TILES(name, group)                                         \
  static void name##_any(const ert_tile_args *t) {                 \
    int32_t i = 0;                                                 \
    for (; i + GROUP <= t->pixels; i += GROUP) group(t, i, GROUP); \
    if (t->pixels - i == 2) group(t, i, 2);                        \
    if (t->pixels - i == 1) group(t, i, 1);                        \
  }                                                                \
  static ert_tile_fn *const name[] = {name##_any};

ERT_INLINE void group_s16(const ert_tile_args *t, int32_t first, int pixels) {
  v128_t a[GROUP], b[GROUP];
  if (t->channels >= ERT_WASM_NR) sums_of(t, t->in + first, a, b, pixels, 1, 2);
  else sums_of(t, t->in + first, a, b, pixels, 0, 2);
  for (int i = 0; i < pixels; i++) ert_wasm_finish_s16(t, (uint8_t *)t->out[first + i] + t->out_offset, a[i], b[i]);
}

TILES(tiles_s16, group_s16)
const ert_tiling ert_depthwise_tiling_s16_simd128 = {
    tiles_s16, TILE, {ERT_WASM_NR, 1, 2, 8, ERT_SCALES_DOUBLES}, NULL, 0, GROUP, 0};

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
  for (int i = 0; i < pixels; i++)
    ert_wasm_store_f32(t, (void *)((uint8_t *)t->out[first + i] + t->out_offset), a[i], b[i]);
}

TILES(tiles_f32, group_f32)
const ert_tiling ert_depthwise_tiling_f32_simd128 = {tiles_f32, TILE, {ERT_WASM_NR, 1, 4, 32, ERT_SCALES_F32}, NULL, 0,
                                                     GROUP,     0};

#endif
