/* SPDX-License-Identifier: Apache-2.0 */
/* int8: inputs are packed as int16, for four successive ones of a pixel the pair (x0, x2), then (x1, x3), because
 * shifts make the same pairs of a vector of weights, and of the halves of its bytes. A pair of each of four channels
 * meets that of a pixel in one instruction. For many pixels the weights of a panel are made int16 once. A build with relaxed SIMD takes its micro-kernels instead, where they are
 * exact. */
#include "tiles_wasm.h"

#if ERT_HAS_simd128

ERT_INLINE v128_t even(v128_t v) { return wasm_i16x8_shr(wasm_i16x8_shl(v, 8), 8); }

ERT_INLINE v128_t odd(v128_t v) { return wasm_i16x8_shr(v, 8); }

ERT_INLINE void group_s8(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                         int pixels, int32_t n) {
  const ert_wasm_scales *s = t->scales;
  const int8_t *w = t->weights;
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(s->bias), b[i] = wasm_v128_load(s->bias + 4);
  const int next = 4 * ERT_WASM_LANES(pixels);
  for (int32_t pairs = t->run / 2;; w += 32, x += 2 * next) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 16);
    ert_wasm_add_pairs(a, b, even(w0), even(w1), x, pixels);
    if (--pairs == 0) break; /* never here, but it ends the basic block */
    ert_wasm_add_pairs(a, b, odd(w0), odd(w1), x + next, pixels);
    if (--pairs == 0) break;
  }
  ert_wasm_finish(t, f, out, a, b, pixels, n);
}

/* The same with weights as int16. */
ERT_INLINE void group_wide(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                           int pixels, int32_t n) {
  const ert_wasm_scales *s = t->scales;
  const int8_t *w = t->spare;
  v128_t a[ERT_WASM_GROUP], b[ERT_WASM_GROUP];
  for (int i = 0; i < pixels; i++) a[i] = wasm_v128_load(s->bias), b[i] = wasm_v128_load(s->bias + 4);
  int32_t pairs = t->run / 2;
  do {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    ert_wasm_add_pairs(a, b, wasm_v128_load(w), wasm_v128_load(w + 16), x, pixels);
    w += 32, x += 4 * ERT_WASM_LANES(pixels);
  } while (--pairs);
  ert_wasm_finish(t, f, out, a, b, pixels, n);
}

/* The weights of the panel to its memory: of two vectors the even bytes, then the odd ones. */
static void widen_panel(const ert_tile_args *t) {
  const int8_t *w = t->weights;
  int8_t *to = t->spare;
  for (int32_t k = 0; k < t->run; k += 4, w += 32, to += 64) {
    const v128_t a = wasm_v128_load(w), b = wasm_v128_load(w + 16);
    wasm_v128_store(to, even(a));
    wasm_v128_store(to + 16, even(b));
    wasm_v128_store(to + 32, odd(a));
    wasm_v128_store(to + 48, odd(b));
  }
}

enum { MANY = 12 }; /* pixels from which on it is worth it */

static void tiles_s8_any(const ert_tile_args *t) {
  if (t->pixels < MANY) {
    ERT_WASM_GROUPS(t, group_s8, 2);
    return;
  }
  widen_panel(t);
  ERT_WASM_GROUPS(t, group_wide, 2);
}
static ert_tile_fn *const tiles_s8[] = {tiles_s8_any};

/* Inputs of one pixel. */
ERT_INLINE void widen_one(int8_t *to, const int8_t *x, int32_t n) {
  int32_t k = 0;
  for (; k + 16 <= n; k += 16, to += 32) {
    const v128_t v = wasm_v128_load(x + k), e = even(v), o = odd(v);
    wasm_v128_store(to, wasm_i32x4_shuffle(e, o, 0, 4, 1, 5));
    wasm_v128_store(to + 16, wasm_i32x4_shuffle(e, o, 2, 6, 3, 7));
  }
  for (; k < n; k += 4, to += 8) {
    const v128_t v = wasm_v128_load32_zero(x + k);
    wasm_v128_store64_lane(to, wasm_i32x4_shuffle(even(v), odd(v), 0, 4, 1, 5), 0);
  }
}

/* Sixteen inputs of four pixels. */
ERT_INLINE void widen(int8_t *to, const int8_t *const x[4], int32_t k) {
  v128_t e[4], o[4];
  for (int i = 0; i < 4; i++) {
    const v128_t v = wasm_v128_load(x[i] + k);
    e[i] = even(v), o[i] = odd(v);
  }
  ert_wasm_transpose(e);
  ert_wasm_transpose(o);
  for (int i = 0; i < 4; i++) wasm_v128_store(to + 32 * i, e[i]), wasm_v128_store(to + 32 * i + 16, o[i]);
}

ERT_INLINE void pack_group_s8(int8_t *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                              int32_t run) {
  for (int32_t r = 0; pixels == 1 && r < runs; r++, in += stride, to += 2 * run) widen_one(to, in[0], run);
  for (int32_t r = 0; pixels > 1 && r < runs; r++, in += stride) {
    ERT_WASM_STARTS(x, in, pixels, int8_t);
    int32_t k = 0;
    for (; k + 16 <= run; k += 16, to += 128) widen(to, x, k);
    for (; k < run; k += 4, to += 32) {
      const v128_t v = ert_wasm_gather(x, k);
      wasm_v128_store(to, even(v));
      wasm_v128_store(to + 16, odd(v));
    }
  }
}
ERT_WASM_PACK(pack_s8, pack_group_s8, 2)

static const ert_tiling tiling_s8 = {
    tiles_s8, ERT_WASM_PIXELS, {ERT_WASM_NR, 4, 1, 8, ERT_SCALES_DOUBLES}, pack_s8, 2, ERT_WASM_GROUP, ERT_WASM_NR};

const ert_tiling *ert_tiling_s8_simd128(void) {
#if ERT_HAS_relaxed
  const ert_tiling *relaxed = ert_tiling_s8_relaxed();
  if (relaxed) return relaxed;
#endif
  return &tiling_s8;
}

/* The four pairs of a block of eight terms, each in bits of its own. */
ERT_INLINE void add_nibbles(v128_t *a, v128_t *b, const int8_t *w, const int8_t *x, int32_t terms, int pixels) {
  const int next = 4 * ERT_WASM_LANES(pixels);
  for (int32_t pairs = terms / 2;; w += 32, x += 4 * next) {
    ERT_OPAQUE(w);
    ERT_OPAQUE(x);
    const v128_t w0 = wasm_v128_load(w), w1 = wasm_v128_load(w + 16);
    ert_wasm_add_pairs(a, b, wasm_i16x8_shr(wasm_i16x8_shl(w0, 12), 12), wasm_i16x8_shr(wasm_i16x8_shl(w1, 12), 12), x,
                       pixels);
    if (--pairs == 0) break; /* as above */
    ert_wasm_add_pairs(a, b, wasm_i16x8_shr(wasm_i16x8_shl(w0, 4), 12), wasm_i16x8_shr(wasm_i16x8_shl(w1, 4), 12),
                       x + next, pixels);
    if (--pairs == 0) break;
    ert_wasm_add_pairs(a, b, wasm_i16x8_shr(wasm_i16x8_shl(w0, 8), 12), wasm_i16x8_shr(wasm_i16x8_shl(w1, 8), 12),
                       x + 2 * next, pixels);
    if (--pairs == 0) break;
    ert_wasm_add_pairs(a, b, wasm_i16x8_shr(w0, 12), wasm_i16x8_shr(w1, 12), x + 3 * next, pixels);
    if (--pairs == 0) break;
  }
}

ERT_INLINE void group_s8s4(const ert_tile_args *t, const ert_wasm_floats *f, const int8_t *x, void *const *out,
                           int pixels, int32_t n) {
  ert_wasm_group_s8s4(t, f, x, out, pixels, n, add_nibbles, 16 * ERT_WASM_LANES(pixels));
}
ERT_WASM_BLOCKS(tiles_s8s4, group_s8s4, 2)

static const ert_tiling tiling_s8s4 = {
    tiles_s8s4, ERT_WASM_PIXELS, {ERT_WASM_NR, 8, 1, 4, ERT_SCALES_DOUBLES}, pack_s8, 2, ERT_WASM_GROUP, 0};

const ert_tiling *ert_tiling_s8s4_simd128(void) {
#if ERT_HAS_relaxed
  const ert_tiling *relaxed = ert_tiling_s8s4_relaxed();
  if (relaxed) return relaxed;
#endif
  return &tiling_s8s4;
}

#endif
