/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 6 pixels x 16 channels, 12 sums in registers; 2 loads of weights and 6 broadcasts for 12 multiplications. Weights
 * that are not floats become such as they are loaded. */
#include "tiles_x86.h"

#if ERT_HAS_avx2
#include <immintrin.h>

#define PANEL 16
#define PIXELS 6

/* The channels of a pixel. */
typedef struct {
  __m256 low, high;
} sixteen;

ERT_BEGIN_avx2

/* min and max return their second operand for a NaN: a sum goes through. */
ERT_INLINE __m256 limited(const ert_tile_args *t, __m256 v) {
  return _mm256_max_ps(_mm256_set1_ps(t->low), _mm256_min_ps(_mm256_set1_ps(t->high), v));
}

/* a + v * by */
ERT_INLINE sixteen add(sixteen a, sixteen v, sixteen by) {
  return (sixteen){_mm256_fmadd_ps(v.low, by.low, a.low), _mm256_fmadd_ps(v.high, by.high, a.high)};
}

ERT_INLINE sixteen each(float x) { return (sixteen){_mm256_set1_ps(x), _mm256_set1_ps(x)}; }

/* Eight values as floats: of int4 weights term k of a block, whose words have the eight terms of a channel. */
ERT_INLINE __m256 load_eight(const uint8_t *from, ert_x86_kind kind, int k) {
  const __m128i *few = (const void *)from;
  if (kind == ERT_X86_F32) return _mm256_loadu_ps((const float *)(const void *)from);
  if (kind == ERT_X86_F16) return _mm256_cvtph_ps(_mm_loadu_si128(few));
  if (kind == ERT_X86_S8) return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(few)));
  if (kind == ERT_X86_U8) return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(few)));
  const __m256i words = _mm256_loadu_si256((const __m256i *)(const void *)from);
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(words, 28 - (k % 4 * 8 + k / 4 * 4)), 28));
}

ERT_INLINE sixteen load(const void *from, ert_x86_kind kind, int k) {
  const uint8_t *p = from;
  const int32_t eight = PANEL / 2 * ert_x86_bits(kind) * ert_x86_terms(kind) / 8;
  return (sixteen){load_eight(p, kind, k), load_eight(p + eight, kind, k)};
}

ERT_INLINE void store(const ert_tile_args *t, float *out, sixteen v, ert_x86_kind kind) {
  const float *bias = t->scales;
  float rest[PANEL], *to = t->channels == PANEL ? out : rest;
  if (ert_x86_scaled(kind)) v = add(load(bias, ERT_X86_F32, 0), v, load(bias + PANEL, ERT_X86_F32, 0));
  _mm256_storeu_ps(to, limited(t, v.low));
  _mm256_storeu_ps(to + 8, limited(t, v.high));
  if (to == rest)
    for (int32_t o = 0; o < t->channels; o++) out[o] = rest[o];
}

/* Terms [k, end) of a run of one pixel: neighbouring ones have sums of their own, or each would wait for the one before.
 * Returns where the weights of the next ones are. */
ERT_INLINE const uint8_t *add_alone(sixteen *sum, const float *x, ptrdiff_t k, ptrdiff_t end, const uint8_t *w,
                                    ert_x86_kind kind) {
  const int32_t terms = ert_x86_terms(kind), bytes = terms * ert_x86_bits(kind) / 8 * PANEL;
  const sixteen one = each(1);
  sixteen a0 = *sum, a1 = each(0), a2 = a1, a3 = a1;
#define TERM(j) each(x[k + (j)]), load(w + (j) / terms * bytes, kind, (j) % terms)
  for (; end - k >= 4 && terms == 1; k += 4, w += 4 * bytes)
    a0 = add(a0, TERM(0)), a1 = add(a1, TERM(1)), a2 = add(a2, TERM(2)), a3 = add(a3, TERM(3));
  for (; k < end && terms == 1; k++, w += bytes) a0 = add(a0, TERM(0));
  for (; k < end && terms == 8; k += 8, w += bytes) {
    a0 = add(a0, TERM(0)), a1 = add(a1, TERM(1)), a2 = add(a2, TERM(2)), a3 = add(a3, TERM(3));
    a0 = add(a0, TERM(4)), a1 = add(a1, TERM(5)), a2 = add(a2, TERM(6)), a3 = add(a3, TERM(7));
  }
#undef TERM
  *sum = add(add(a0, one, a1), one, add(a2, one, a3));
  return w;
}

/* Terms [k, end) of a run of every pixel. Returns where the weights of the next ones are. */
ERT_INLINE const uint8_t *add_terms(sixteen *a, const void *const *in, ptrdiff_t k, ptrdiff_t end, const uint8_t *w,
                                    int pixels, ert_x86_kind kind) {
  const int32_t terms = ert_x86_terms(kind), bytes = terms * ert_x86_bits(kind) / 8 * PANEL;
  const float *x[PIXELS];
  if (pixels == 1) return add_alone(a, in[0], k, end, w, kind);
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  for (; k < end; k += terms, w += bytes) {
#define PIXEL(i)                                          \
  if (i < pixels) a[i] = add(a[i], each(x[i][k + j]), v); \
  if (kind == ERT_X86_S4 && i + 1 == pixels) ERT_IN_TURN_AFTER(w, a[i].low);
#define TERM(n)                         \
  if (n < terms) {                      \
    const int j = n;                    \
    const sixteen v = load(w, kind, j); \
    ERT_EACH_PIXEL(PIXEL)               \
  }
    TERM(0) TERM(1) TERM(2) TERM(3) TERM(4) TERM(5) TERM(6) TERM(7)
#undef TERM
#undef PIXEL
  }
  return w;
}

ERT_INLINE sixteen settled(sixteen v) {
  ERT_SETTLE(v.low);
  ERT_SETTLE(v.high);
  return v;
}

ERT_INLINE void tile(const ert_tile_args *t, int pixels, ert_x86_kind kind) {
  const uint8_t *w = t->weights;
  const void *const *in = t->in;
  const sixteen b = ert_x86_scaled(kind) ? each(0) : load(t->scales, ERT_X86_F32, 0);
  sixteen a[PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) w = add_terms(a, in, 0, t->run, w, pixels, kind);
#define PIXEL(i) \
  if (i < pixels) store(t, t->out[i], settled(a[i]), kind);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

/* int4 weights with factors: sums of a group are in registers, those of all groups in memory. */
ERT_INLINE void tile_of_groups(const ert_tile_args *t, int pixels) {
  const uint8_t *w = t->weights, *f = t->factors;
  const void *const *in = t->in;
  const sixteen z = each(0);
  sixteen all[PIXELS] = {z, z, z, z, z, z};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride)
    for (ptrdiff_t k = 0; k < t->run; k += t->group, f += PANEL) {
      sixteen a[PIXELS] = {z, z, z, z, z, z};
      w = add_terms(a, in, k, k + t->group, w, pixels, ERT_X86_S4);
      const sixteen by = load(f, ERT_X86_U8, 0);
      ERT_FETCH_FACTORS(f);
#define PIXEL(i) \
  if (i < pixels) all[i] = add(all[i], settled(a[i]), by);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  for (int i = 0; i < pixels; i++) store(t, t->out[i], all[i], ERT_X86_S4);
}

ERT_INLINE void ymm_tile(const ert_tile_args *t, int pixels, ert_x86_kind kind) {
  if (kind == ERT_X86_S4 && t->factors) tile_of_groups(t, pixels);
  else tile(t, pixels, kind);
}

#define TILE(kind, pixels) \
  static void kind##pixels(const ert_tile_args *t) { ymm_tile(t, pixels, ERT_X86_##kind); }
ERT_BY_PIXELS(TILE, F32)
ERT_BY_PIXELS(TILE, F16)
ERT_BY_PIXELS(TILE, S8)
ERT_BY_PIXELS(TILE, S4)

ERT_END_avx2

#define TILING(types, kind, kr, bits, scales) \
  const ert_tiling ert_tiling_##types##_avx2 = {kind##_by_pixels, PIXELS, {PANEL, kr, 4, bits, scales}, NULL, 0, 0, 0};
TILING(f32, F32, 1, 32, ERT_SCALES_F32)
TILING(f32f16, F16, 1, 16, ERT_SCALES_F32)
TILING(f32s8, S8, 1, 8, ERT_SCALES_SCALED)
TILING(f32s4, S4, 8, 4, ERT_SCALES_SCALED)

#endif
