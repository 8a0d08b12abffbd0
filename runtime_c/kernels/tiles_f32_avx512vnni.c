/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 6 pixels x up to 4 panels of 16 channels, 24 sums in registers; an input is broadcast once for four products of
 * vectors. Weights that are not floats become such as they are loaded. */
#include "tiles_x86.h"

#if ERT_HAS_avx512vnni
#include <immintrin.h>

#define NR ERT_ZMM_CHANNELS

/* A vector for each panel that there is. */
typedef struct {
  __m512 p0, p1, p2, p3;
} vectors;

ERT_BEGIN_avx512vnni

/* Sixteen values as floats: of int4 weights term k of a block, whose words have the eight terms of a channel. */
ERT_INLINE __m512 load_panel(const uint8_t *from, ert_x86_kind kind, int k) {
  const __m512 of_int4 = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  const unsigned shift = (unsigned)(k % 4 * 8 + k / 4 * 4);
  if (kind == ERT_X86_F32) return _mm512_loadu_ps(from);
  if (kind == ERT_X86_F16) return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
  if (kind == ERT_X86_S4) return _mm512_permutexvar_ps(_mm512_srli_epi32(_mm512_loadu_si512(from), shift), of_int4);
  const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);
  return _mm512_cvtepi32_ps(kind == ERT_X86_S8 ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
}

ERT_INLINE vectors load(const void *from, ptrdiff_t stride, int panels, ert_x86_kind kind, int k) {
  const uint8_t *p = from;
  vectors v;
  v.p0 = v.p1 = v.p2 = v.p3 = load_panel(p, kind, k);
  if (panels > 1) v.p1 = load_panel(p + stride, kind, k);
  if (panels > 2) v.p2 = load_panel(p + 2 * stride, kind, k);
  if (panels > 3) v.p3 = load_panel(p + 3 * stride, kind, k);
  return v;
}

/* v * by + more */
ERT_INLINE vectors add(vectors v, vectors by, vectors more, int panels) {
  more.p0 = _mm512_fmadd_ps(v.p0, by.p0, more.p0);
  if (panels > 1) more.p1 = _mm512_fmadd_ps(v.p1, by.p1, more.p1);
  if (panels > 2) more.p2 = _mm512_fmadd_ps(v.p2, by.p2, more.p2);
  if (panels > 3) more.p3 = _mm512_fmadd_ps(v.p3, by.p3, more.p3);
  return more;
}

ERT_INLINE vectors each(float x) {
  const __m512 v = _mm512_set1_ps(x);
  return (vectors){v, v, v, v};
}

/* The channels of panel p that there are. min and max return their second operand for a NaN: a sum goes through. */
ERT_INLINE void store_panel(const ert_tile_args *t, float *out, __m512 v, int p, int panels) {
  v = _mm512_max_ps(_mm512_set1_ps(t->low), _mm512_min_ps(_mm512_set1_ps(t->high), v));
  const int32_t left = t->channels - NR * p;
  if (p + 1 < panels || left >= NR) _mm512_storeu_ps(out + NR * p, v);
  else _mm512_mask_storeu_ps(out + NR * p, (__mmask16)((1u << left) - 1), v);
}

ERT_INLINE void store(const ert_tile_args *t, float *out, vectors v, int panels, ert_x86_kind kind) {
  const uint8_t *bias = t->scales;
  if (ert_x86_scaled(kind)) {
    const vectors scale = load(bias + 4 * NR, 8 * NR, panels, ERT_X86_F32, 0);
    v = add(v, scale, load(bias, 8 * NR, panels, ERT_X86_F32, 0), panels);
  }
  store_panel(t, out, v.p0, 0, panels);
  if (panels > 1) store_panel(t, out, v.p1, 1, panels);
  if (panels > 2) store_panel(t, out, v.p2, 2, panels);
  if (panels > 3) store_panel(t, out, v.p3, 3, panels);
}

/* Terms k ... of every pixel. */
ERT_INLINE void add_block(vectors *a, const float *const *x, ptrdiff_t k, const uint8_t *w, ptrdiff_t panel, int pixels,
                          int panels, ert_x86_kind kind) {
#define PIXEL(i)                                                  \
  if (i < pixels) a[i] = add(each(x[i][k + j]), v, a[i], panels); \
  if (kind == ERT_X86_S4 && i + 1 == pixels) ERT_IN_TURN_AFTER(w, a[i].p0);
#define TERM(n)                                        \
  if (n < ert_x86_terms(kind)) {                       \
    const int j = n;                                   \
    const vectors v = load(w, panel, panels, kind, j); \
    ERT_EACH_PIXEL(PIXEL)                              \
  }
  TERM(0) TERM(1) TERM(2) TERM(3) TERM(4) TERM(5) TERM(6) TERM(7)
#undef TERM
#undef PIXEL
}

/* Terms [k, end) of a run of every pixel. Returns where the weights of the next ones are. */
ERT_INLINE const uint8_t *add_terms(vectors *a, const void *const *in, ptrdiff_t k, ptrdiff_t end, const uint8_t *w,
                                    ptrdiff_t panel, int pixels, int panels, ert_x86_kind kind) {
  const int32_t terms = ert_x86_terms(kind), bytes = terms * ert_x86_bits(kind) / 8 * NR;
  const float *x[ERT_ZMM_PIXELS];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  for (; k < end; k += terms, w += bytes) add_block(a, x, k, w, panel, pixels, panels, kind);
  return w;
}

ERT_INLINE vectors settled(vectors v, int panels) {
  ERT_SETTLE(v.p0);
  if (panels > 1) ERT_SETTLE(v.p1);
  if (panels > 2) ERT_SETTLE(v.p2);
  if (panels > 3) ERT_SETTLE(v.p3);
  return v;
}

ERT_INLINE void zmm_tile(const ert_tile_args *t, int pixels, int panels, ert_x86_kind kind) {
  const ptrdiff_t panel = (ptrdiff_t)t->runs * t->run * NR * ert_x86_bits(kind) / 8;
  const uint8_t *w = t->weights;
  const void *const *in = t->in;
  const vectors b = ert_x86_scaled(kind) ? each(0) : load(t->scales, 4 * NR, panels, ERT_X86_F32, 0);
  vectors a[ERT_ZMM_PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride)
    w = add_terms(a, in, 0, t->run, w, panel, pixels, panels, kind);
#define PIXEL(i) \
  if (i < pixels) store(t, t->out[i], settled(a[i], panels), panels, kind);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

/* int4 weights with factors: sums of a group are in registers, those of all groups in memory. */
ERT_INLINE void zmm_groups(const ert_tile_args *t, int pixels, int panels) {
  const ptrdiff_t panel = (ptrdiff_t)t->runs * t->run * NR / 2, factors = (ptrdiff_t)t->groups * NR;
  const uint8_t *w = t->weights, *f = t->factors;
  const void *const *in = t->in;
  const vectors z = each(0);
  vectors all[ERT_ZMM_PIXELS] = {z, z, z, z, z, z};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride)
    for (ptrdiff_t k = 0; k < t->run; k += t->group, f += NR) {
      for (int p = 0; p < panels; p++) ERT_FETCH_FACTORS(f + p * factors);
      vectors a[ERT_ZMM_PIXELS] = {z, z, z, z, z, z};
      w = add_terms(a, in, k, k + t->group, w, panel, pixels, panels, ERT_X86_S4);
      const vectors by = load(f, factors, panels, ERT_X86_U8, 0);
#define PIXEL(i) \
  if (i < pixels) all[i] = add(settled(a[i], panels), by, all[i], panels);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  for (int i = 0; i < pixels; i++) store(t, t->out[i], all[i], panels, ERT_X86_S4);
}

ERT_INLINE void zmm_f32(const ert_tile_args *t, int pixels, int panels) { zmm_tile(t, pixels, panels, ERT_X86_F32); }
ERT_INLINE void zmm_f32f16(const ert_tile_args *t, int pixels, int panels) { zmm_tile(t, pixels, panels, ERT_X86_F16); }
ERT_INLINE void zmm_f32s8(const ert_tile_args *t, int pixels, int panels) { zmm_tile(t, pixels, panels, ERT_X86_S8); }
ERT_INLINE void zmm_f32s4(const ert_tile_args *t, int pixels, int panels) {
  if (t->factors) zmm_groups(t, pixels, panels);
  else zmm_tile(t, pixels, panels, ERT_X86_S4);
}

ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_f32)
ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_f32f16)
ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_f32s8)
ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_f32s4)

ERT_END_avx512vnni

#define TILING(types, kr, bits, scales)                \
  const ert_tiling ert_tiling_##types##_avx512vnni = { \
      zmm_##types##_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, kr, 4, bits, scales}, NULL, 0, 0, 0};
TILING(f32, 1, 32, ERT_SCALES_F32)
TILING(f32f16, 1, 16, ERT_SCALES_F32)
TILING(f32s8, 1, 8, ERT_SCALES_SCALED)
TILING(f32s4, 8, 4, ERT_SCALES_SCALED)

#endif
