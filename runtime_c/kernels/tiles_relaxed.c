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

ERT_INLINE void group(const ert_tile_args *t, const int32_t *bias, const int8_t *x, void *const *out, int pixels,
                      int32_t n) {
  const int8_t *w = t->weights;
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(bias), b[i] = wasm_v128_load(bias + 4);
  for (int32_t k = 0; k < t->run; k += 4, w += 32, x += 16) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 16);
    for (int i = 0; i < pixels; i++) {
      const v128_t v = wasm_v128_load32_splat(x + 4 * i);
      a[i] = ERT_RELAXED_DOT(w0, v, a[i]);
      b[i] = ERT_RELAXED_DOT(w1, v, b[i]);
    }
  }
  ert_wasm_finish(t, out, a, b, pixels, n);
}

ERT_INLINE void group_signed(const ert_tile_args *t, const int8_t *x, void *const *out, int pixels, int32_t n) {
  group(t, ((const ert_wasm_scales *)t->scales)->bias, x, out, pixels, n);
}
ERT_WASM_TILES(tiles_signed, group_signed, 1)

ERT_INLINE void group_unsigned(const ert_tile_args *t, const int8_t *x, void *const *out, int pixels, int32_t n) {
  group(t, ((const ert_wasm_scales *)t->scales)->unsigned_bias, x, out, pixels, n);
}
ERT_WASM_TILES(tiles_unsigned, group_unsigned, 1)

ERT_INLINE void pack(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run,
                     v128_t top) {
  for (int32_t r = 0; r < runs; r++, in += stride) {
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
    tiles_signed, ERT_WASM_PIXELS, {ERT_WASM_NR, 4, 1, 8, ERT_SCALES_DOUBLES}, pack_signed, 1};
static const ert_tiling by_unsigned = {
    tiles_unsigned, ERT_WASM_PIXELS, {ERT_WASM_NR, 4, 1, 8, ERT_SCALES_DOUBLES}, pack_unsigned, 1};

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

#endif
