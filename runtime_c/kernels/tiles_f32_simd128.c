/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: products and sums. Weights of other types become floats as they are loaded for a single pixel, which uses each
 * of them once; for tiles, some terms of them at a time in memory, which all groups of the tile read. */
#include "tiles_wasm.h"

#if ERT_HAS_simd128

enum { TERMS = 128 }; /* most that are made floats at a time */

/* Eight weights of a term as floats. */
typedef void load_fn(v128_t *v, const int8_t *w);
/* Of some terms, where weights have factors each times its own. */
typedef void unpack_fn(float *to, const int8_t *w, int32_t terms, const uint8_t *factors);

ERT_INLINE void load_f32(v128_t *v, const int8_t *w) { v[0] = wasm_v128_load(w), v[1] = wasm_v128_load(w + 16); }

/* Even channels, then odd ones: for them there are faster instructions. */
ERT_INLINE void load_s8(v128_t *v, const int8_t *w) {
  const v128_t wide = wasm_i16x8_load8x8(w);
  v[0] = wasm_f32x4_convert_i32x4(wasm_i32x4_dot_i16x8(wide, wasm_i32x4_const_splat(1)));
  v[1] = wasm_f32x4_convert_i32x4(wasm_i32x4_shr(wide, 16));
}

/* Sign, exponent and fraction go where those of a float are, the exponent 112 too low: right for all numbers, but not for
 * infinities, which have none. */
ERT_INLINE v128_t half(v128_t h) {
  const v128_t bits = wasm_v128_and(wasm_i32x4_shl(h, 13), wasm_i32x4_const_splat((int32_t)0x8fffe000u));
  return wasm_f32x4_mul(bits, wasm_i32x4_const_splat((127 + 112) << 23));
}

ERT_INLINE void load_f16(v128_t *v, const int8_t *w) {
  v[0] = half(wasm_i32x4_load16x4(w)), v[1] = half(wasm_i32x4_load16x4(w + 8));
}

/* Term t of four channels, whose eight nibbles are a word each. */
ERT_INLINE v128_t nibble(v128_t words, int t) {
  const uint32_t left = (uint32_t)(t < 4 ? 28 - 8 * t : 56 - 8 * t);
  return wasm_f32x4_convert_i32x4(wasm_i32x4_shr(left ? wasm_i32x4_shl(words, left) : words, 28));
}

ERT_INLINE void factors_of(v128_t *f, const uint8_t *factors) {
  const v128_t wide = wasm_u16x8_load8x8(factors);
  f[0] = wasm_f32x4_convert_i32x4(wasm_u32x4_extend_low_u16x8(wide));
  f[1] = wasm_f32x4_convert_i32x4(wasm_u32x4_extend_high_u16x8(wide));
}

ERT_INLINE void unpack_one(float *to, const int8_t *w, load_fn *load) {
  v128_t v[2];
  load(v, w);
  wasm_v128_store(to, v[0]);
  wasm_v128_store(to + 4, v[1]);
}

ERT_INLINE void unpack(float *to, const int8_t *w, int32_t terms, load_fn *load, int bytes) {
  for (; terms > 3; terms -= 4, to += 32, w += 4 * bytes) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(to);
    for (int i = 0; i < 4; i++) unpack_one(to + 8 * i, w + i * bytes, load);
  }
  for (; terms > 0; terms--, to += 8, w += bytes) unpack_one(to, w, load);
}

ERT_INLINE void unpack_s8(float *to, const int8_t *w, int32_t terms, const uint8_t *factors) {
  (void)factors;
  unpack(to, w, terms, load_s8, 8);
}

ERT_INLINE void unpack_f16(float *to, const int8_t *w, int32_t terms, const uint8_t *factors) {
  (void)factors;
  unpack(to, w, terms, load_f16, 16);
}

ERT_INLINE void unpack_nibbles(float *to, const int8_t *w, int32_t terms, const v128_t *f, int factored) {
  for (; terms > 0; terms -= 8, w += 32, to += 64) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(to);
    const v128_t v0 = wasm_v128_load(w), v1 = wasm_v128_load(w + 16);
    ERT_UNROLLED
    for (int i = 0; i < 8; i++) {
      const v128_t a = nibble(v0, i), b = nibble(v1, i);
      wasm_v128_store(to + 8 * i, factored ? wasm_f32x4_mul(a, f[0]) : a);
      wasm_v128_store(to + 8 * i + 4, factored ? wasm_f32x4_mul(b, f[1]) : b);
    }
  }
}

ERT_INLINE void unpack_s4(float *to, const int8_t *w, int32_t terms, const uint8_t *factors) {
  v128_t f[2];
  if (factors) {
    factors_of(f, factors);
    unpack_nibbles(to, w, terms, f, 1);
  } else {
    unpack_nibbles(to, w, terms, NULL, 0);
  }
}

ERT_INLINE void add_terms(v128_t *a, v128_t *b, const float *w, const float *x, int32_t terms, int pixels) {
  for (int32_t k = 0; k < terms; k++, w += 8, x += ERT_WASM_LANES(pixels)) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 4);
    for (int i = 0; i < pixels; i++) {
      const v128_t v = wasm_v128_load32_splat(x + i);
      a[i] = ert_wasm_madd(v, w0, a[i]);
      b[i] = ert_wasm_madd(v, w1, b[i]);
    }
  }
}

ERT_INLINE void group_f32(const ert_tile_args *t, const int8_t *packed, void *const *out, int pixels, int32_t n) {
  const float *bias = t->scales;
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(bias), b[i] = wasm_v128_load(bias + 4);
  add_terms(a, b, t->weights, (const void *)packed, t->run, pixels);
  ert_wasm_store_f32(t, out[0], a[0], b[0]);
  if (pixels > 1 && n > 1) ert_wasm_store_f32(t, out[1], a[1], b[1]);
  if (pixels > 2 && n > 2) ert_wasm_store_f32(t, out[2], a[2], b[2]);
  if (pixels > 3 && n > 3) ert_wasm_store_f32(t, out[3], a[3], b[3]);
}

/* Two terms of a single pixel: even and odd ones have sums of their own, which need not wait for each other. */
ERT_INLINE void add_two(v128_t *even, v128_t *odd, const int8_t *w, const float *x, load_fn *load, int bytes) {
  const v128_t x0 = wasm_v128_load32_splat(x), x1 = wasm_v128_load32_splat(x + 1);
  v128_t v[2];
  load(v, w);
  even[0] = ert_wasm_madd(x0, v[0], even[0]);
  even[1] = ert_wasm_madd(x0, v[1], even[1]);
  load(v, w + bytes);
  odd[0] = ert_wasm_madd(x1, v[0], odd[0]);
  odd[1] = ert_wasm_madd(x1, v[1], odd[1]);
}

ERT_INLINE void add_one(v128_t *sum, const int8_t *w, const float *x, int32_t terms, load_fn *load, int bytes) {
  v128_t odd[2] = {wasm_f32x4_const_splat(0), wasm_f32x4_const_splat(0)}, v[2];
  const v128_t last = wasm_v128_load32_splat(x + terms - 1);
  load(v, w + (terms - 1) * bytes);
  for (int32_t pairs = terms >> 1; pairs > 0; pairs--, w += 4 * bytes, x += 4) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    add_two(sum, odd, w, x, load, bytes);
    if (--pairs == 0) break; /* ends the basic block */
    add_two(sum, odd, w + 2 * bytes, x + 2, load, bytes);
  }
  if (terms & 1) {
    sum[0] = ert_wasm_madd(last, v[0], sum[0]);
    sum[1] = ert_wasm_madd(last, v[1], sum[1]);
  }
  sum[0] = wasm_f32x4_add(sum[0], odd[0]);
  sum[1] = wasm_f32x4_add(sum[1], odd[1]);
}

ERT_INLINE void add_pair(v128_t *even, v128_t *odd, v128_t v0, v128_t v1, const float *x, int t) {
  const v128_t x0 = wasm_v128_load32_splat(x + t), x1 = wasm_v128_load32_splat(x + t + 1);
  even[0] = ert_wasm_madd(x0, nibble(v0, t), even[0]);
  even[1] = ert_wasm_madd(x0, nibble(v1, t), even[1]);
  odd[0] = ert_wasm_madd(x1, nibble(v0, t + 1), odd[0]);
  odd[1] = ert_wasm_madd(x1, nibble(v1, t + 1), odd[1]);
}

ERT_INLINE void add_one_s4(v128_t *sum, const int8_t *w, const float *x, int32_t terms) {
  v128_t odd[2] = {wasm_f32x4_const_splat(0), wasm_f32x4_const_splat(0)};
  for (int32_t pairs = terms / 2;; w += 32, x += 8) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t v0 = wasm_v128_load(w), v1 = wasm_v128_load(w + 16);
    add_pair(sum, odd, v0, v1, x, 0);
    if (--pairs == 0) break; /* never here, but it ends the basic block */
    add_pair(sum, odd, v0, v1, x, 2);
    if (--pairs == 0) break;
    add_pair(sum, odd, v0, v1, x, 4);
    if (--pairs == 0) break;
    add_pair(sum, odd, v0, v1, x, 6);
    if (--pairs == 0) break;
  }
  sum[0] = wasm_f32x4_add(sum[0], odd[0]);
  sum[1] = wasm_f32x4_add(sum[1], odd[1]);
}

ERT_INLINE void add_one_groups_s4(v128_t *sum, const ert_tile_args *t, const float *x) {
  const int8_t *w = t->weights;
  const uint8_t *factors = t->factors;
  for (int32_t g = 0; g < t->groups; g++, w += 4 * t->group, x += t->group, factors += ERT_WASM_NR) {
    v128_t part[2] = {wasm_f32x4_const_splat(0), wasm_f32x4_const_splat(0)}, f[2];
    add_one_s4(part, w, x, t->group);
    factors_of(f, factors);
    sum[0] = ert_wasm_madd(part[0], f[0], sum[0]);
    sum[1] = ert_wasm_madd(part[1], f[1], sum[1]);
  }
}

enum { PLAIN, SCALED, EVEN_ODD }; /* what sums are: those of s8 and s4 have scales, those of s8 an order of their own */

/* Sums of a pixel times the scales behind the biases, where weights have them, plus the biases. */
ERT_INLINE void finish(const ert_tile_args *t, float *out, v128_t even, v128_t odd, int kind) {
  const float *bias = t->scales, *scale = bias + ERT_WASM_NR;
  v128_t a = kind == EVEN_ODD ? wasm_i32x4_shuffle(even, odd, 0, 4, 1, 5) : even;
  v128_t b = kind == EVEN_ODD ? wasm_i32x4_shuffle(even, odd, 2, 6, 3, 7) : odd;
  if (kind != PLAIN) a = wasm_f32x4_mul(a, wasm_v128_load(scale)), b = wasm_f32x4_mul(b, wasm_v128_load(scale + 4));
  ert_wasm_store_f32(t, out, wasm_f32x4_add(a, wasm_v128_load(bias)), wasm_f32x4_add(b, wasm_v128_load(bias + 4)));
}

/* Products of `terms` terms from term k on, their weights now floats, for all groups of a tile. */
ERT_INLINE void add_tile(const ert_tile_args *t, v128_t *sums, const float *w, int32_t k, int32_t terms) {
  const float *x = t->in[0];
  for (int32_t i = 0; i < t->pixels; i += ERT_WASM_GROUP, x += ERT_WASM_GROUP * t->run, sums += 2 * ERT_WASM_GROUP) {
    if (t->pixels - i == 1) {
      add_terms(sums, sums + ERT_WASM_GROUP, w, x + k, terms, 1);
      continue;
    }
    v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
    for (int j = 0; j < ERT_WASM_GROUP; j++) a[j] = sums[j], b[j] = sums[ERT_WASM_GROUP + j];
    add_terms(a, b, w, x + ERT_WASM_GROUP * k, terms, ERT_WASM_GROUP);
    for (int j = 0; j < ERT_WASM_GROUP; j++) sums[j] = a[j], sums[ERT_WASM_GROUP + j] = b[j];
  }
}

/* A tile of several pixels; chunks of terms end where groups of factors do. */
ERT_INLINE void tile(const ert_tile_args *t, unpack_fn *unpack_some, int bits, int kind) {
  float w[TERMS * ERT_WASM_NR];
  v128_t sums[2 * ERT_WASM_PIXELS];
  const int8_t *from = t->weights;
  const uint8_t *factors = t->factors;
  for (int i = 0; i < 2 * ERT_WASM_PIXELS; i++) sums[i] = wasm_f32x4_const_splat(0);
  for (int32_t k = 0, n, left = t->group; k < t->run; k += n, from += n * bits) {
    n = t->run - k < TERMS ? t->run - k : TERMS;
    if (factors && left < n) n = left;
    unpack_some(w, from, n, factors);
    add_tile(t, sums, w, k, n);
    left -= n;
    if (factors && left == 0) factors += ERT_WASM_NR, left = t->group;
  }
  for (int32_t i = 0; i < t->pixels; i++) {
    const v128_t *of = sums + i / ERT_WASM_GROUP * 2 * ERT_WASM_GROUP + i % ERT_WASM_GROUP;
    finish(t, t->out[i], of[0], of[ERT_WASM_GROUP], kind);
  }
}

ERT_INLINE void one(const ert_tile_args *t, load_fn *load, int bytes, int kind) {
  v128_t sum[2] = {wasm_f32x4_const_splat(0), wasm_f32x4_const_splat(0)};
  add_one(sum, t->weights, t->in[0], t->run, load, bytes);
  finish(t, t->out[0], sum[0], sum[1], kind);
}

static void tiles_f32_any(const ert_tile_args *t) {
  const int8_t *x = t->in[0];
  if (t->pixels == 1) {
    one(t, load_f32, 32, PLAIN);
    return;
  }
  for (int32_t i = 0; i < t->pixels; i += ERT_WASM_GROUP, x += ERT_WASM_GROUP * 4 * t->run) {
    const int32_t n = t->pixels - i;
    if (n == 1) group_f32(t, x, t->out + i, 1, 1);
    else group_f32(t, x, t->out + i, ERT_WASM_GROUP, n);
  }
}
ERT_WASM_ANY(tiles_f32)

static void tiles_f32s8_any(const ert_tile_args *t) {
  if (t->pixels == 1) one(t, load_s8, 8, EVEN_ODD);
  else tile(t, unpack_s8, 8, EVEN_ODD);
}
ERT_WASM_ANY(tiles_f32s8)

static void tiles_f32f16_any(const ert_tile_args *t) {
  if (t->pixels == 1) one(t, load_f16, 16, PLAIN);
  else tile(t, unpack_f16, 16, PLAIN);
}
ERT_WASM_ANY(tiles_f32f16)

static void tiles_f32s4_any(const ert_tile_args *t) {
  if (t->pixels > 1) {
    tile(t, unpack_s4, 4, SCALED);
    return;
  }
  v128_t sum[2] = {wasm_f32x4_const_splat(0), wasm_f32x4_const_splat(0)};
  if (t->factors) add_one_groups_s4(sum, t, t->in[0]);
  else add_one_s4(sum, t->weights, t->in[0], t->run);
  finish(t, t->out[0], sum[0], sum[1], SCALED);
}
ERT_WASM_ANY(tiles_f32s4)

ERT_INLINE void pack_group_f32(int8_t *packed, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                               int32_t run) {
  float *to = (void *)packed;
  for (int32_t r = 0; pixels == 1 && r < runs; r++, in += stride, to += run) ERT_MEMMOVE(to, in[0], 4 * run);
  for (int32_t r = 0; pixels > 1 && r < runs; r++, in += stride) {
    ERT_WASM_STARTS(x, in, pixels, float);
    int32_t k = 0;
    for (; k + 4 <= run; k += 4, to += 16) {
      v128_t v[4];
      for (int i = 0; i < 4; i++) v[i] = wasm_v128_load(x[i] + k);
      ert_wasm_transpose(v);
      for (int i = 0; i < 4; i++) wasm_v128_store(to + 4 * i, v[i]);
    }
    for (; k < run; k++, to += 4)
      for (int i = 0; i < 4; i++) to[i] = x[i][k];
  }
}
ERT_WASM_PACK(pack_f32, pack_group_f32, 4)

#define TILING(name, kr, bits, scales)             \
  const ert_tiling ert_tiling_##name##_simd128 = { \
      tiles_##name, ERT_WASM_PIXELS, {ERT_WASM_NR, kr, 4, bits, scales}, pack_f32, 4, 0, 0};

TILING(f32, 1, 32, ERT_SCALES_F32)
TILING(f32s8, 1, 8, ERT_SCALES_SCALED)
TILING(f32f16, 1, 16, ERT_SCALES_F32)
TILING(f32s4, 8, 4, ERT_SCALES_SCALED)

#endif
