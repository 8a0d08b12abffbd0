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

/* int16 layers that are rounded once, half up: two channels from the low sums of `x`. The integer next to a double below
 * 2^51 is the low word of its sum with 1.5 * 2^52. */
ERT_INLINE v128_t ert_wasm_rescale2(v128_t x, const ert_wasm_scales *s, int at, v128_t magic) {
  const v128_t y = wasm_f64x2_convert_low_i32x4(x);
  return wasm_f64x2_add(ert_wasm_madd64(y, wasm_v128_load(s->factor + at), wasm_v128_load(s->half + at)), magic);
}

ERT_INLINE v128_t ert_wasm_rescale4(v128_t x, const ert_wasm_scales *s, int at, v128_t magic) {
  const v128_t high = wasm_i64x2_shuffle(x, x, 1, 1);
  return wasm_i32x4_shuffle(ert_wasm_rescale2(x, s, at, magic), ert_wasm_rescale2(high, s, at + 2, magic), 0, 2, 4, 6);
}

/* The scales of a panel as floats. A sum times its factor, moved up by half a unit, lies with `offset` between two powers
 * of two, where floats have 14 bits behind the point: its floor is in the bits above. */
typedef struct {
  v128_t factor[2], half[2], offset[2];
} ert_wasm_floats;

enum {
  ERT_WASM_BEHIND = 14, /* bits behind the point */
  ERT_WASM_CLOSE = 4,   /* last places by which no result is wrong: 1.75 in both directions */
  ERT_WASM_BASE = 69888 /* the bits of 768 above the point */
};

ERT_INLINE v128_t ert_wasm_floats4(const double *d) {
  const v128_t a = wasm_f32x4_demote_f64x2_zero(wasm_v128_load(d));
  return wasm_i64x2_shuffle(a, wasm_f32x4_demote_f64x2_zero(wasm_v128_load(d + 2)), 0, 2);
}

/* Halves go away from zero: what is added has the sum's sign, unless nothing below the zero point gets through. */
ERT_INLINE ert_wasm_floats ert_wasm_floats_of(const ert_tile_args *t) {
  const ert_wasm_scales *s = t->scales;
  ert_wasm_floats f;
  for (int i = 0; i < 2; i++) {
    f.factor[i] = ert_wasm_floats4(s->factor + 4 * i);
    f.half[i] = ert_wasm_floats4(s->half + 4 * i);
    f.offset[i] = wasm_f32x4_const_splat(768.5f + 0x1p-13f);
    if (t->min >= t->zero_point) f.offset[i] = wasm_f32x4_add(f.offset[i], f.half[i]);
  }
  return f;
}

/* Where floats are too close to a tie, sum * multiplier is rounded to a multiple of 2^31 in integers. Unsigned, with 2^63
 * more, the engine need not know signs. */
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
ERT_INLINE void ert_wasm_store_s8(const ert_tile_args *t, int8_t *out, v128_t words) {
  const v128_t low = wasm_i8x16_splat((int8_t)t->min), high = wasm_i8x16_splat((int8_t)t->max);
  const v128_t y = wasm_i8x16_max(low, wasm_i8x16_min(high, wasm_i8x16_narrow_i16x8(words, words)));
  if (t->channels >= ERT_WASM_NR) wasm_v128_store64_lane(out, y, 0);
  else ert_wasm_store_some(out, y, t->channels);
}

/* n of up to four pixels, whose sums are [pixel][channels / 4]. */
ERT_APART void ert_wasm_finish_exactly(const ert_tile_args *t, void *const *out, const v128_t *sums, int32_t n) {
  const ert_wasm_scales *s = t->scales;
  const v128_t magic = wasm_f64x2_splat(6755399441055744.0 + t->zero_point);
  const v128_t m = ert_wasm_multipliers4(s, 0), k = ert_wasm_multipliers4(s, 4);
  for (int32_t i = 0; i < n; i++) {
    const v128_t y = ert_wasm_rescale4_exactly(sums[2 * i], m, s, 0, magic),
                 z = ert_wasm_rescale4_exactly(sums[2 * i + 1], k, s, 4, magic);
    ert_wasm_store_s8(t, (int8_t *)out[i] + t->out_offset, wasm_i16x8_narrow_i32x4(y, z));
  }
}

/* Four sums in last places of floats, 2^14 to a unit. Those far outside int8 stay outside. */
ERT_INLINE v128_t ert_wasm_places4(v128_t x, v128_t factor, v128_t half, v128_t offset, int signs) {
  const v128_t y = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(x), factor);
  if (!signs) return wasm_f32x4_add(y, offset);
  const v128_t sign = wasm_v128_and(y, wasm_f32x4_const_splat(-0.0f));
  return wasm_f32x4_add(wasm_f32x4_add(y, wasm_v128_or(half, sign)), offset);
}

/* Eight channels of a pixel from sums a, b; `least` is how far behind the point the closest one lies. */
ERT_INLINE v128_t ert_wasm_words(v128_t a, v128_t b, const ert_wasm_floats *f, v128_t base, v128_t *least, int signs) {
  const v128_t x = ert_wasm_places4(a, f->factor[0], f->half[0], f->offset[0], signs);
  const v128_t y = ert_wasm_places4(b, f->factor[1], f->half[1], f->offset[1], signs);
  const int above = 32 - ERT_WASM_BEHIND;
  *least = wasm_u32x4_min(*least, wasm_u32x4_min(wasm_i32x4_shl(x, above), wasm_i32x4_shl(y, above)));
  return wasm_i16x8_narrow_i32x4(wasm_i32x4_sub(wasm_i32x4_shr(x, ERT_WASM_BEHIND), base),
                                 wasm_i32x4_sub(wasm_i32x4_shr(y, ERT_WASM_BEHIND), base));
}

/* Two pixels at once, or the only one. */
ERT_INLINE void ert_wasm_store_two(const ert_tile_args *t, void *const *out, v128_t x, v128_t y, int32_t n) {
  const v128_t low = wasm_i8x16_splat((int8_t)t->min), high = wasm_i8x16_splat((int8_t)t->max);
  const v128_t z = wasm_i8x16_max(low, wasm_i8x16_min(high, wasm_i8x16_narrow_i16x8(x, y)));
  int8_t *first = (int8_t *)out[0] + t->out_offset, *second = n > 1 ? (int8_t *)out[1] + t->out_offset : first;
  if (t->channels >= ERT_WASM_NR) {
    if (n > 1) wasm_v128_store64_lane(second, z, 1);
    wasm_v128_store64_lane(first, z, 0);
    return;
  }
  if (n > 1) ert_wasm_store_some(second, wasm_i64x2_shuffle(z, z, 1, 1), t->channels);
  ert_wasm_store_some(first, z, t->channels);
}

/* Those of `most` pixels, of which there are n; `kept`: where the same sums lie in memory. Loops that end early would not
 * be unrolled. */
ERT_INLINE void ert_wasm_finish_some(const ert_tile_args *t, const ert_wasm_floats *scales, void *const *out,
                                     const v128_t *a, const v128_t *b, const v128_t *kept, int most, int32_t n,
                                     int signs) {
  const ert_wasm_floats f = *scales;
  const v128_t base = wasm_i32x4_splat(ERT_WASM_BASE - t->zero_point);
  v128_t least = wasm_i32x4_const_splat(-1), x[ERT_WASM_GROUP];
  for (int i = 0; i < most; i++) x[i] = ert_wasm_words(a[i], b[i], &f, base, &least, signs);
  ert_wasm_store_two(t, out, x[0], x[most > 1], n);
  if (most > 2 && n > 2) ert_wasm_store_two(t, out + 2, x[2], x[most > 3 ? 3 : 2], n - 2);
  const v128_t close = wasm_i32x4_const_splat((int32_t)((uint32_t)ERT_WASM_CLOSE << (32 - ERT_WASM_BEHIND)));
  if (wasm_v128_any_true(wasm_u32x4_lt(least, close))) ert_wasm_finish_exactly(t, out, kept, n);
}

ERT_INLINE void ert_wasm_finish_all(const ert_tile_args *t, const ert_wasm_floats *f, void *const *out, const v128_t *a,
                                    const v128_t *b, const v128_t *kept, int most, int32_t n) {
  if (t->min >= t->zero_point) ert_wasm_finish_some(t, f, out, a, b, kept, most, n, 0);
  else ert_wasm_finish_some(t, f, out, a, b, kept, most, n, 1);
}

ERT_INLINE void ert_wasm_finish(const ert_tile_args *t, const ert_wasm_floats *f, void *const *out, const v128_t *a,
                                const v128_t *b, int most, int32_t n) {
  v128_t sums[2 * ERT_WASM_GROUP], *kept = sums;
  ERT_OPAQUE(kept);
  for (int i = 0; i < most; i++) kept[2 * i] = a[i], kept[2 * i + 1] = b[i];
  ert_wasm_finish_all(t, f, out, a, b, kept, most, n < most ? n : most);
}

/* Up to four of n pixels whose sums are in memory, [pixel][channels / 4]; there is room for four. */
ERT_INLINE void ert_wasm_finish_sums(const ert_tile_args *t, const ert_wasm_floats *f, void *const *out,
                                     const v128_t *kept, int32_t n) {
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < ERT_WASM_GROUP; i++) a[i] = kept[2 * i], b[i] = kept[2 * i + 1];
  ert_wasm_finish_all(t, f, out, a, b, kept, ERT_WASM_GROUP, n < ERT_WASM_GROUP ? n : ERT_WASM_GROUP);
}

/* Eight channels of an int16 pixel. Wide layers are rounded once, others by an integer product: their outputs have more
 * bits than doubles leave room for. */
ERT_INLINE void ert_wasm_finish_s16(const ert_tile_args *t, void *out, v128_t a, v128_t b) {
  const ert_wasm_scales *s = t->scales;
  const v128_t magic = wasm_f64x2_const_splat(6755399441055744.0);
  v128_t y;
  if (t->zero_point) {
    y = wasm_i16x8_narrow_i32x4(ert_wasm_rescale4(a, s, 0, magic), ert_wasm_rescale4(b, s, 4, magic));
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
ERT_INLINE void ert_wasm_group_s8s4(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                                    int pixels, int32_t n, ert_wasm_sum_fn *sum, int32_t eight) {
  const ert_wasm_scales *s = t->scales;
  const v128_t bias0 = wasm_i32x4_shr(wasm_v128_load(s->bias), 4),
               bias1 = wasm_i32x4_shr(wasm_v128_load(s->bias + 4), 4);
  if (t->factors) {
    v128_t totals[2 * ERT_WASM_GROUP], *a = totals;
    ERT_OPAQUE(a);
    for (int i = 0; i < pixels; i++) a[i] = bias0, a[ERT_WASM_GROUP + i] = bias1;
    ert_wasm_sum_groups(t, a, a + ERT_WASM_GROUP, x, pixels, sum, eight);
    ert_wasm_finish(t, f, out, a, a + ERT_WASM_GROUP, pixels, n);
    return;
  }
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = bias0, b[i] = bias1;
  sum(a, b, t->weights, x, t->run, pixels);
  ert_wasm_finish(t, f, out, a, b, pixels, n);
}

/* A micro-kernel for every number of pixels. */
#define ERT_WASM_ANY(name)                                                                            \
  static ert_tile_fn *const name[ERT_WASM_PIXELS] = {                                                 \
      name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, \
      name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any, name##_any};

/* Groups of up to 4 pixels from packed inputs, by group(args, scales, inputs, outputs, 1 or 4, how many there are). Single
 * pixels are those of fully connected layers. */
#define ERT_WASM_GROUPS(t, group, bytes)                                                                \
  do {                                                                                                  \
    const int8_t *x = (t)->in[0];                                                                       \
    const ert_wasm_floats f = ert_wasm_floats_of(t);                                                    \
    for (int32_t i = 0; i < (t)->pixels; i += ERT_WASM_GROUP, x += ERT_WASM_GROUP * bytes * (t)->run) { \
      const int32_t n = (t)->pixels - i;                                                                \
      if (n == 1) group(t, &f, x, (t)->out + i, 1, 1);                                                  \
      else group(t, &f, x, (t)->out + i, ERT_WASM_GROUP, n);                                            \
    }                                                                                                   \
  } while (0)

#define ERT_WASM_BLOCKS(name, group, bytes)                                            \
  static void name##_any(const ert_tile_args *t) { ERT_WASM_GROUPS(t, group, bytes); } \
  static ert_tile_fn *const name[] = {name##_any};

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
