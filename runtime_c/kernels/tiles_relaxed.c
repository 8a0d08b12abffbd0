/* SPDX-License-Identifier: Apache-2.0 */
/* int8 with the relaxed dot product of bytes. It is exact wherever its second factors lie in 0..127; with others an
 * engine may take them as unsigned (VNNI of x86), as signed (Arm's sdot), or add two products in 16 bits that saturate
 * (x86 without VNNI). Products tell which: inputs are made unsigned for the first, stay signed for the second; for the
 * third there is nothing to gain. */
#include "tiles_wasm.h"

#if ERT_HAS_relaxed

/* Tests replace it by what other machines do. */
#ifndef ERT_RELAXED_DOT
#define ERT_RELAXED_DOT wasm_i32x4_relaxed_dot_i8x16_i7x16_add
#endif

/* Four terms of each pixel, for each of eight channels. */
ERT_INLINE void add_fours(v128_t *a, v128_t *b, v128_t w0, v128_t w1, const int8_t *x, int pixels) {
  for (int i = 0; i < pixels; i++) {
    const v128_t v = wasm_v128_load32_splat(x + 4 * i);
    a[i] = ERT_RELAXED_DOT(v, w0, a[i]);
    b[i] = ERT_RELAXED_DOT(v, w1, b[i]);
  }
}

ERT_INLINE void group(const ert_tile_args *t, const ert_wasm_floats *f, const int32_t *bias, const int8_t *x,
                      void *const *out, int pixels, int32_t n) {
  const int8_t *w = t->weights;
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(bias), b[i] = wasm_v128_load(bias + 4);
  for (int32_t k = 0; k < t->run; k += 4, w += 32, x += 4 * ERT_WASM_LANES(pixels)) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 16);
    for (int i = 0; i < pixels; i++) {
      const v128_t v = wasm_v128_load32_splat(x + 4 * i);
      a[i] = ERT_RELAXED_DOT(w0, v, a[i]);
      b[i] = ERT_RELAXED_DOT(w1, v, b[i]);
    }
  }
  ert_wasm_finish(t, f, out, a, b, pixels, n);
}

ERT_INLINE void group_signed(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                             int pixels, int32_t n) {
  group(t, f, ((const ert_wasm_scales *)t->scales)->bias, x, out, pixels, n);
}
ERT_WASM_BLOCKS(tiles_signed, group_signed, 1)

ERT_INLINE void group_unsigned(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                               int pixels, int32_t n) {
  group(t, f, ((const ert_wasm_scales *)t->scales)->unsigned_bias, x, out, pixels, n);
}
ERT_WASM_BLOCKS(tiles_unsigned, group_unsigned, 1)

ERT_INLINE void pack_one(int8_t *to, const int8_t *x, int32_t n, v128_t top) {
  int32_t k = 0;
  for (; k + 16 <= n; k += 16) wasm_v128_store(to + k, wasm_v128_xor(wasm_v128_load(x + k), top));
  for (; k < n; k += 4) wasm_v128_store32_lane(to + k, wasm_v128_xor(wasm_v128_load32_zero(x + k), top), 0);
}

ERT_INLINE void pack(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run,
                     v128_t top) {
  for (int32_t r = 0; pixels == 1 && r < runs; r++, in += stride, to += run) pack_one(to, in[0], run, top);
  for (int32_t r = 0; pixels > 1 && r < runs; r++, in += stride) {
    ERT_WASM_STARTS(x, in, pixels, int8_t);
    int32_t k = 0;
    for (; k + 16 <= run; k += 16, to += 64) {
      v128_t v[4];
      for (int i = 0; i < 4; i++) v[i] = wasm_v128_xor(wasm_v128_load(x[i] + k), top);
      ert_wasm_transpose(v);
      for (int i = 0; i < 4; i++) wasm_v128_store(to + 16 * i, v[i]);
    }
    for (; k < run; k += 4, to += 16) wasm_v128_store(to, wasm_v128_xor(ert_wasm_gather(x, k), top));
  }
}

ERT_INLINE void pack_group_signed(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                                  int32_t run) {
  pack(to, in, stride, pixels, runs, run, wasm_i8x16_const_splat(0));
}
ERT_WASM_PACK(pack_signed, pack_group_signed, 1)

ERT_INLINE void pack_group_unsigned(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                                    int32_t run) {
  pack(to, in, stride, pixels, runs, run, wasm_i8x16_const_splat(-128));
}
ERT_WASM_PACK(pack_unsigned, pack_group_unsigned, 1)

static const ert_tiling by_signed = {
    tiles_signed, ERT_WASM_PIXELS, {ERT_WASM_NR, 4, 1, 8, ERT_SCALES_DOUBLES}, pack_signed, 1, ERT_WASM_GROUP, 0};
static const ert_tiling by_unsigned = {
    tiles_unsigned, ERT_WASM_PIXELS, {ERT_WASM_NR, 4, 1, 8, ERT_SCALES_DOUBLES}, pack_unsigned, 1, ERT_WASM_GROUP, 0};

enum { N_CORNERS = 32 };

/* Whether products with `second` + offset, between -128 and 255, are what they are in numbers. Pairs of the largest
 * products of either sign, and others, stand behind each other. */
static int exact(int32_t offset) {
  static const int8_t first[N_CORNERS] = {-128, -128, -128, -128, 127,  127, 127, 127, -128, 127,  -128,
                                          127,  -1,   127,  -127, -128, 127, 127, 1,   -1,   -128, -128,
                                          0,    77,   100,  -99,  127,  127, -77, 127, -128, 127};
  static const int8_t second[N_CORNERS] = {127, 127, 127, 127, 127, 127,  127,  127,  -128, -128, -128,
                                           127, 99,  -77, 64,  -1,  -128, -128, -128, -128, -128, -128,
                                           127, 100, 126, 5,   127, 126,  0,    1,    -128, 127};
  const int8_t *a = first, *b = second;
  int all = 1;
  for (int32_t i = 0; i < N_CORNERS; i += 16) {
    int32_t sums[4] = {i, -i, INT32_MAX - (1 << 18), (1 << 18) - INT32_MAX};
    v128_t base = wasm_v128_load(sums);
    ERT_OPAQUE(a);
    ERT_OPAQUE(b);
    for (int32_t k = 0; k < 16; k++) sums[k / 4] += a[i + k] * (b[i + k] + offset);
    const v128_t got = ERT_RELAXED_DOT(wasm_v128_load(a + i),
                                       wasm_i8x16_add(wasm_v128_load(b + i), wasm_i8x16_splat((int8_t)offset)), base);
    all &= wasm_i32x4_all_true(wasm_i32x4_eq(got, wasm_v128_load(sums)));
  }
  return all;
}

const ert_tiling *ert_tiling_s8_relaxed(void) {
  if (exact(0)) return &by_signed;
  return exact(128) ? &by_unsigned : NULL;
}

/* int4: nibbles plus 8 are second factors for which the product is exact on every engine. Eight times the sum of the
 * inputs is too much then: packed inputs of eight terms follow eight times the sums of all before them. */
ERT_INLINE void add_nibbles(v128_t *a, v128_t *b, const int8_t *w, const int8_t *x, int32_t terms, int pixels) {
  const int next = 4 * ERT_WASM_LANES(pixels);
  const int8_t *behind = x + terms / 8 * 3 * next;
  for (int i = 0; i < pixels; i++) {
    const v128_t less = wasm_i32x4_sub(wasm_v128_load32_splat(behind + 4 * i), wasm_v128_load32_splat(x + 4 * i));
    a[i] = wasm_i32x4_sub(a[i], less), b[i] = wasm_i32x4_sub(b[i], less);
  }
  for (int32_t fours = terms / 4;; w += 32, x += 3 * next) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t signs = wasm_i8x16_const_splat(-0x78), low = wasm_i8x16_const_splat(15);
    const v128_t v0 = wasm_v128_xor(wasm_v128_load(w), signs), v1 = wasm_v128_xor(wasm_v128_load(w + 16), signs);
    add_fours(a, b, wasm_v128_and(v0, low), wasm_v128_and(v1, low), x + next, pixels);
    if (--fours == 0) break; /* never here, but it ends the basic block */
    add_fours(a, b, wasm_v128_and(wasm_u16x8_shr(v0, 4), low), wasm_v128_and(wasm_u16x8_shr(v1, 4), low), x + 2 * next,
              pixels);
    if (--fours == 0) break;
  }
}

ERT_INLINE void group_s8s4(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                           int pixels, int32_t n) {
  ert_wasm_group_s8s4(t, f, x, out, pixels, n, add_nibbles, 12 * ERT_WASM_LANES(pixels));
}
ERT_WASM_BLOCKS(tiles_s8s4, group_s8s4, 2)

/* Eight inputs of four pixels, those of lane i of the one; a single one has the first lane alone. */
ERT_INLINE int8_t *pack_eight(int8_t *to, v128_t first, v128_t second, v128_t *sums) {
  const v128_t eight = wasm_i8x16_const_splat(8);
  wasm_v128_store(to, *sums);
  wasm_v128_store(to + 16, first);
  wasm_v128_store(to + 32, second);
  *sums = ERT_RELAXED_DOT(first, eight, ERT_RELAXED_DOT(second, eight, *sums));
  return to + 48;
}

ERT_INLINE void pack_one_s8s4(int8_t *to, const void *const *in, int32_t stride, int32_t runs, int32_t run) {
  int32_t sum = 0;
  for (int32_t r = 0; r < runs; r++, in += stride)
    for (int32_t k = 0; k < run; k += 8, to += 12) {
      const int8_t *x = (const int8_t *)in[0] + k;
      ERT_MEMMOVE(to, &sum, 4);
      ERT_MEMMOVE(to + 4, x, 8);
      for (int i = 0; i < 8; i++) sum += 8 * x[i];
    }
  ERT_MEMMOVE(to, &sum, 4);
}

ERT_INLINE void pack_group_s8s4(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                                int32_t run) {
  v128_t sums = wasm_i32x4_const_splat(0);
  if (pixels == 1) {
    pack_one_s8s4(to, in, stride, runs, run);
    return;
  }
  for (int32_t r = 0; r < runs; r++, in += stride) {
    ERT_WASM_STARTS(x, in, pixels, int8_t);
    int32_t k = 0;
    for (; k + 16 <= run; k += 16) {
      v128_t v[4];
      for (int i = 0; i < 4; i++) v[i] = wasm_v128_load(x[i] + k);
      ert_wasm_transpose(v);
      to = pack_eight(to, v[0], v[1], &sums);
      to = pack_eight(to, v[2], v[3], &sums);
    }
    if (k < run) to = pack_eight(to, ert_wasm_gather(x, k), ert_wasm_gather(x, k + 4), &sums);
  }
  wasm_v128_store(to, sums);
}
ERT_WASM_PACK(pack_s8s4, pack_group_s8s4, 2)

static const ert_tiling by_nibbles = {
    tiles_s8s4, ERT_WASM_PIXELS, {ERT_WASM_NR, 8, 1, 4, ERT_SCALES_DOUBLES}, pack_s8s4, 2, ERT_WASM_GROUP, 0};

/* Engines that have the dot product as several instructions gain nothing by it. */
const ert_tiling *ert_tiling_s8s4_relaxed(void) { return ert_tiling_s8_relaxed() ? &by_nibbles : NULL; }

#endif
