/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of WebAssembly: groups of 4 pixels x 8 channels, some groups in a call.
 *
 * V8 loads all that a basic block loads before it computes, and has 15 registers. So a loop takes one step of the sums a
 * turn, and inputs are packed: those of a step lie behind each other, of 4 pixels or of a single one. */
#ifndef ERT_TILES_WASM_H
#define ERT_TILES_WASM_H

#include "tiles.h"

#if ERT_HAS_simd128
#include <wasm_simd128.h>

enum { ERT_WASM_PIXELS = 16, ERT_WASM_GROUP = 4, ERT_WASM_NR = 8 };

/* A pointer that the compiler knows nothing about: what is added to it becomes the offset of a load. */
#define ERT_OPAQUE(p) __asm__("" : "+r"(p))

/* Pixels that packed inputs of a group have. */
#define ERT_WASM_LANES(pixels) ((pixels) == 1 ? 1 : ERT_WASM_GROUP)

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

/* Sums of two weights with two inputs of each pixel, for each of eight channels. */
ERT_INLINE void ert_wasm_add_pairs(v128_t *a, v128_t *b, v128_t w0, v128_t w1, const int8_t *x, int pixels) {
  for (int i = 0; i < pixels; i++) {
    const v128_t v = wasm_v128_load32_splat(x + 4 * i);
    a[i] = wasm_i32x4_add(a[i], wasm_i32x4_dot_i16x8(w0, v));
    b[i] = wasm_i32x4_add(b[i], wasm_i32x4_dot_i16x8(w1, v));
  }
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

/* Whether doubles hold all products of a panel: shifts are 13 or less. */
ERT_INLINE int ert_wasm_doubles_hold(const ert_wasm_scales *s) {
  const v128_t a = wasm_f64x2_pmin(wasm_v128_load(s->less), wasm_v128_load(s->less + 2));
  const v128_t b = wasm_f64x2_pmin(wasm_v128_load(s->less + 4), wasm_v128_load(s->less + 6));
  return wasm_i64x2_all_true(wasm_f64x2_ge(wasm_f64x2_pmin(a, b), wasm_f64x2_const_splat(0x1p-13)));
}

/* Sums of layers whose weights have factors may be too large for products of doubles: the first product is of integers
 * then, sum * multiplier rounded to a multiple of 2^31. Unsigned, with 2^63 more, the engine need not know signs. */
ERT_INLINE v128_t ert_wasm_high4(v128_t x, v128_t m) {
  const v128_t more = wasm_i64x2_const_splat((int64_t)(((uint64_t)1 << 63) + (1 << 30)));
  const v128_t low = wasm_u64x2_shr(wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4(x, m), more), 31);
  const v128_t high = wasm_u64x2_shr(wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4(x, m), more), 31);
  return wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
}

/* factor * 2^shift, a multiple of 2^-31 below 1, whose bits are those of its sum with 2^21. Powers of two that are divided
 * by have their exponent turned round. */
ERT_INLINE v128_t ert_wasm_multipliers2(const ert_wasm_scales *s, int at) {
  const v128_t turned = wasm_i64x2_sub(wasm_i64x2_const_splat((int64_t)2046 << 52), wasm_v128_load(s->less + at));
  return wasm_f64x2_add(wasm_f64x2_mul(wasm_v128_load(s->factor + at), turned), wasm_f64x2_const_splat(2097152.0));
}

ERT_INLINE v128_t ert_wasm_multipliers4(const ert_wasm_scales *s, int at) {
  return wasm_i32x4_shuffle(ert_wasm_multipliers2(s, at), ert_wasm_multipliers2(s, at + 2), 0, 2, 4, 6);
}

/* Divided by 2^shift, halves away from zero: what is added has the sum's sign, and is less than any difference. */
ERT_INLINE v128_t ert_wasm_divide2(v128_t x, v128_t unit, v128_t magic) {
  const v128_t y = wasm_f64x2_convert_low_i32x4(x), sign = wasm_f64x2_const_splat(-0.0);
  const v128_t little = wasm_v128_or(wasm_v128_and(y, sign), wasm_f64x2_const_splat(0x1p-33));
  return wasm_f64x2_add(wasm_f64x2_add(wasm_f64x2_mul(y, unit), little), magic);
}

ERT_INLINE v128_t ert_wasm_rescale4_exactly(v128_t x, v128_t m, const ert_wasm_scales *s, int at, v128_t magic) {
  const v128_t y = ert_wasm_high4(x, m), z = wasm_i64x2_shuffle(y, y, 1, 1);
  return wasm_i32x4_shuffle(ert_wasm_divide2(y, wasm_v128_load(s->less + at), magic),
                            ert_wasm_divide2(z, wasm_v128_load(s->less + at + 2), magic), 0, 2, 4, 6);
}

ERT_INLINE void ert_wasm_store_some(void *out, v128_t bytes, int32_t n) {
  int8_t all[16];
  wasm_v128_store(all, bytes);
  for (int32_t i = 0; i < n; i++) ((int8_t *)out)[i] = all[i];
}

/* Eight channels of a pixel, as many as there are. */
ERT_INLINE void ert_wasm_store_s8(const ert_tile_args *t, void *out, v128_t words) {
  const v128_t low = wasm_i8x16_splat((int8_t)t->min), high = wasm_i8x16_splat((int8_t)t->max);
  const v128_t y = wasm_i8x16_max(low, wasm_i8x16_min(high, wasm_i8x16_narrow_i16x8(words, words)));
  if (t->channels >= ERT_WASM_NR) wasm_v128_store64_lane(out, y, 0);
  else ert_wasm_store_some(out, y, t->channels);
}

/* Sums a, b of a pixel to bytes. What is below the zero point rounds as it likes where nothing of it gets through. */
ERT_INLINE void ert_wasm_finish1(const ert_tile_args *t, void *out, v128_t a, v128_t b, int signs) {
  const v128_t magic = wasm_f64x2_splat(6755399441055744.0 + t->zero_point);
  ert_wasm_store_s8(t, out, ert_wasm_rescale8(a, b, t->scales, magic, signs));
}

/* n of up to four pixels. */
ERT_INLINE void ert_wasm_finish_exactly(const ert_tile_args *t, void *const *out, const v128_t *a, const v128_t *b,
                                        int32_t n) {
  const ert_wasm_scales *s = t->scales;
  const v128_t magic = wasm_f64x2_splat(6755399441055744.0 + t->zero_point);
  const v128_t m = ert_wasm_multipliers4(s, 0), k = ert_wasm_multipliers4(s, 4);
  for (int32_t i = 0; i < n; i++) {
    const v128_t y = ert_wasm_rescale4_exactly(a[i], m, s, 0, magic),
                 z = ert_wasm_rescale4_exactly(b[i], k, s, 4, magic);
    ert_wasm_store_s8(t, out[i], wasm_i16x8_narrow_i32x4(y, z));
  }
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

/* Eight channels of an int16 pixel. Wide layers are rounded once, others by an integer product: their outputs have more
 * bits than doubles leave room for. */
ERT_INLINE void ert_wasm_finish_s16(const ert_tile_args *t, void *out, v128_t a, v128_t b) {
  const ert_wasm_scales *s = t->scales;
  const v128_t magic = wasm_f64x2_const_splat(6755399441055744.0);
  v128_t y;
  if (t->zero_point) {
    y = ert_wasm_rescale8(a, b, s, magic, 0);
  } else {
    y = wasm_i16x8_narrow_i32x4(ert_wasm_rescale4_exactly(a, ert_wasm_multipliers4(s, 0), s, 0, magic),
                                ert_wasm_rescale4_exactly(b, ert_wasm_multipliers4(s, 4), s, 4, magic));
  }
  const v128_t low = wasm_i16x8_splat((int16_t)t->min), high = wasm_i16x8_splat((int16_t)t->max);
  y = wasm_i16x8_max(low, wasm_i16x8_min(high, y));
  if (t->channels >= ERT_WASM_NR) wasm_v128_store(out, y);
  else ert_wasm_store_some(out, y, 2 * t->channels);
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

/* int4: adds products of `terms` terms, whose weights and inputs begin at w and x. */
typedef void ert_wasm_sum_fn(v128_t *a, v128_t *b, const int8_t *w, const int8_t *x, int32_t terms, int pixels);

/* Sums of groups of weights times their factors. Totals stay in memory, registers are for the sums; `eight`: bytes that
 * eight inputs of all pixels have. */
ERT_INLINE void ert_wasm_sum_groups(const ert_tile_args *t, v128_t *a, v128_t *b, const int8_t *x, int pixels,
                                    ert_wasm_sum_fn *sum, int32_t eight) {
  const int8_t *w = t->weights;
  const uint8_t *factors = t->factors;
  for (int32_t g = 0; g < t->groups; g++, w += 4 * t->group, x += t->group / 8 * eight, factors += ERT_WASM_NR) {
    v128_t p[ERT_WASM_GROUP], q[ERT_WASM_GROUP];
    for (int i = 0; i < pixels; i++) p[i] = q[i] = wasm_i32x4_const_splat(0);
    sum(p, q, w, x, t->group, pixels);
    const v128_t f = wasm_u16x8_load8x8(factors);
    const v128_t f0 = wasm_u32x4_extend_low_u16x8(f), f1 = wasm_u32x4_extend_high_u16x8(f);
    for (int i = 0; i < pixels; i++) {
      a[i] = wasm_i32x4_add(a[i], wasm_i32x4_mul(p[i], f0));
      b[i] = wasm_i32x4_add(b[i], wasm_i32x4_mul(q[i], f1));
    }
  }
}

/* A group of pixels of an int4 layer: `sum` takes nibbles for what they are, not 16 times as large. */
ERT_INLINE void ert_wasm_group_s8s4(const ert_tile_args *t, const int8_t *x, void *const *out, int pixels, int32_t n,
                                    ert_wasm_sum_fn *sum, int32_t eight) {
  const ert_wasm_scales *s = t->scales;
  const v128_t bias0 = wasm_i32x4_shr(wasm_v128_load(s->bias), 4),
               bias1 = wasm_i32x4_shr(wasm_v128_load(s->bias + 4), 4);
  if (t->factors) {
    v128_t totals[2 * ERT_WASM_GROUP], *a = totals;
    ERT_OPAQUE(a);
    for (int i = 0; i < pixels; i++) a[i] = bias0, a[ERT_WASM_GROUP + i] = bias1;
    ert_wasm_sum_groups(t, a, a + ERT_WASM_GROUP, x, pixels, sum, eight);
    if (ert_wasm_doubles_hold(s)) ert_wasm_finish(t, out, a, a + ERT_WASM_GROUP, pixels, n);
    else ert_wasm_finish_exactly(t, out, a, a + ERT_WASM_GROUP, n);
    return;
  }
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = bias0, b[i] = bias1;
  sum(a, b, t->weights, x, t->run, pixels);
  ert_wasm_finish(t, out, a, b, pixels, n);
}

/* A micro-kernel for every number of pixels. */
#define ERT_WASM_ANY(name)                                                                            \
  static ert_tile_fn *const name[ERT_WASM_PIXELS] = {                                                 \
      name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, \
      name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any};

/* `group` computes up to 4 pixels, n, from packed inputs. Single pixels are those of fully connected layers. */
#define ERT_WASM_TILES(name, group, bytes)                                                             \
  static void name##_any(const ert_tile_args *t) {                                                     \
    const int8_t *x = t->in[0];                                                                        \
    for (int32_t i = 0; i < t->pixels; i += ERT_WASM_GROUP, x += ERT_WASM_GROUP * bytes * t->window) { \
      const int32_t n = t->pixels - i;                                                                 \
      if (n == 1) group(t, x, t->out + i, 1, 1);                                                       \
      else group(t, x, t->out + i, ERT_WASM_GROUP, n);                                                 \
    }                                                                                                  \
  }                                                                                                    \
  ERT_WASM_ANY(name)

/* All groups of a tile, by a function that packs one. */
#define ERT_WASM_PACK(name, group, bytes)                                                                        \
  static void name(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run) { \
    int8_t *at = to;                                                                                             \
    for (int32_t i = 0; i < pixels; i += ERT_WASM_GROUP, at += ERT_WASM_GROUP * bytes * runs * run)              \
      group(at, in + i, stride, pixels - i, runs, run);                                                          \
  }

const ert_tiling *ert_tiling_s8_simd128(void);
const ert_tiling *ert_tiling_s8s4_simd128(void);
extern const ert_tiling ert_depthwise_tiling_s8_simd128, ert_depthwise_tiling_s16_simd128, ert_tiling_s16_simd128;
extern const ert_tiling ert_tiling_f32_simd128, ert_tiling_f32s8_simd128, ert_tiling_f32f16_simd128;
extern const ert_tiling ert_tiling_f32s4_simd128, ert_depthwise_tiling_f32_simd128;

#if ERT_HAS_relaxed
/* NULL where this engine's products of bytes are of no use. */
const ert_tiling *ert_tiling_s8_relaxed(void);
const ert_tiling *ert_tiling_s8s4_relaxed(void);
#endif

#endif
#endif
