/* SPDX-License-Identifier: Apache-2.0 */
/* int16: packed inputs are pairs of successive ones of each pixel. A pair of each of four channels, widened as it is
 * loaded, meets that of a pixel in one instruction. */
#include "tiles_wasm.h"

#if ERT_HAS_simd128

enum { PAIR_WEIGHTS = 2 * ERT_WASM_NR };

/* Products of `terms` terms. */
ERT_INLINE void add_products(v128_t *a, v128_t *b, const int8_t *w, const int8_t *x, int32_t terms, int pixels) {
  const int next = 4 * ERT_WASM_LANES(pixels);
  for (int32_t pairs = terms / 2;; w += 2 * PAIR_WEIGHTS, x += 2 * next) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    ert_wasm_add_pairs(a, b, wasm_i16x8_load8x8(w), wasm_i16x8_load8x8(w + 8), x, pixels);
    if (--pairs == 0) break; /* ends the basic block, too */
    ert_wasm_add_pairs(a, b, wasm_i16x8_load8x8(w + 16), wasm_i16x8_load8x8(w + 24), x + next, pixels);
    if (--pairs == 0) break;
  }
}

ERT_INLINE void add_four(int64_t *to, v128_t sums) {
  wasm_v128_store(to, wasm_i64x2_add(wasm_v128_load(to), wasm_i64x2_extend_low_i32x4(sums)));
  wasm_v128_store(to + 2, wasm_i64x2_add(wasm_v128_load(to + 2), wasm_i64x2_extend_high_i32x4(sums)));
}

/* Outputs, or, of a part of sums that need 64 bits, what they become more. */
ERT_INLINE void finish(const ert_tile_args *t, void *out, v128_t a, v128_t b) {
  if (t->scales) {
    ert_wasm_finish_s16(t, out, a, b);
    return;
  }
  add_four(out, a);
  add_four((int64_t *)out + 4, b);
}

ERT_INLINE void group_s16(const ert_tile_args *t, const int8_t *x, void *const *out, int pixels, int32_t n) {
  const ert_wasm_scales *s = t->scales;
  const v128_t zero = wasm_i32x4_const_splat(0);
  const v128_t bias0 = s ? wasm_v128_load(s->bias) : zero, bias1 = s ? wasm_v128_load(s->bias + 4) : zero;
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = bias0, b[i] = bias1;
  add_products(a, b, (const int8_t *)t->weights + ERT_WASM_NR * t->before, x + 2 * ERT_WASM_LANES(pixels) * t->first,
               t->run, pixels);
  finish(t, out[0], a[0], b[0]);
  if (pixels > 1 && n > 1) finish(t, out[1], a[1], b[1]);
  if (pixels > 2 && n > 2) finish(t, out[2], a[2], b[2]);
  if (pixels > 3 && n > 3) finish(t, out[3], a[3], b[3]);
}
ERT_WASM_TILES(tiles_s16, group_s16, 2)

ERT_INLINE void pack_group_s16(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                               int32_t run) {
  for (int32_t r = 0; pixels == 1 && r < runs; r++, in += stride, to += 2 * run) ERT_MEMMOVE(to, in[0], 2 * run);
  for (int32_t r = 0; pixels > 1 && r < runs; r++, in += stride) {
    ERT_WASM_STARTS(x, in, pixels, int8_t);
    int32_t k = 0;
    for (; k + 16 <= 2 * run; k += 16, to += 64) {
      v128_t v[4] = {wasm_v128_load(x[0] + k), wasm_v128_load(x[1] + k), wasm_v128_load(x[2] + k),
                     wasm_v128_load(x[3] + k)};
      ert_wasm_transpose(v);
      for (int i = 0; i < 4; i++) wasm_v128_store(to + 16 * i, v[i]);
    }
    for (; k < 2 * run; k += 4, to += 16) wasm_v128_store(to, ert_wasm_gather(x, k));
  }
}
ERT_WASM_PACK(pack_s16, pack_group_s16, 2)

const ert_tiling ert_tiling_s16_simd128 = {
    tiles_s16, ERT_WASM_PIXELS, {ERT_WASM_NR, 2, 2, 8, ERT_SCALES_DOUBLES}, pack_s16, 2, 0, 0};

#endif
