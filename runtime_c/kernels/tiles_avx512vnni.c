/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 6 pixels x up to 4 panels of 16 channels, 24 sums in registers. Inputs become unsigned bytes as they are
 * broadcast; four of them meet four weights of each channel in one instruction. */
#include "requantize_x86.h"
#include "tiles_x86.h"

#if ERT_HAS_avx512vnni

#define NR ERT_ZMM_CHANNELS

typedef int32_t word __attribute__((aligned(1), may_alias));

/* A vector for each panel that there is. */
typedef struct {
  __m512i p0, p1, p2, p3;
} vectors;

ERT_BEGIN_avx512vnni

ERT_INLINE vectors load(const void *from, ptrdiff_t stride, int panels) {
  const uint8_t *p = from;
  vectors v;
  v.p0 = v.p1 = v.p2 = v.p3 = _mm512_loadu_si512(p);
  if (panels > 1) v.p1 = _mm512_loadu_si512(p + stride);
  if (panels > 2) v.p2 = _mm512_loadu_si512(p + 2 * stride);
  if (panels > 3) v.p3 = _mm512_loadu_si512(p + 3 * stride);
  return v;
}

ERT_INLINE void put(vectors *to, vectors v, int panels) {
  to->p0 = v.p0;
  if (panels > 1) to->p1 = v.p1;
  if (panels > 2) to->p2 = v.p2;
  if (panels > 3) to->p3 = v.p3;
}

ERT_INLINE vectors add(vectors a, const uint8_t *x, __m512i top, vectors w, int panels) {
  const __m512i u = _mm512_xor_si512(_mm512_set1_epi32(*(const word *)(const void *)x), top);
  a.p0 = _mm512_dpbusd_epi32(a.p0, u, w.p0);
  if (panels > 1) a.p1 = _mm512_dpbusd_epi32(a.p1, u, w.p1);
  if (panels > 2) a.p2 = _mm512_dpbusd_epi32(a.p2, u, w.p2);
  if (panels > 3) a.p3 = _mm512_dpbusd_epi32(a.p3, u, w.p3);
  return a;
}

ERT_INLINE vectors biases(const ert_tile_args *t, int panels) {
  const __m512i top = _mm512_set1_epi32(INT32_MIN);
  const vectors b = load(t->scales, 12 * NR, panels);
  return (vectors){_mm512_xor_si512(b.p0, top), _mm512_xor_si512(b.p1, top), _mm512_xor_si512(b.p2, top),
                   _mm512_xor_si512(b.p3, top)};
}

/* Sums of products and biases. */
ERT_INLINE void multiply(const ert_tile_args *t, vectors *sums, int pixels, int panels) {
  const __m512i top = _mm512_set1_epi8(-128);
  const ptrdiff_t panel = (ptrdiff_t)t->runs * t->run * NR;
  const int8_t *w = t->weights;
  const void *const *in = t->in;
  const vectors b = biases(t, panels);
  vectors a[ERT_ZMM_PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) {
    const uint8_t *x[ERT_ZMM_PIXELS];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    for (ptrdiff_t k = 0; k < t->run; k += 4, w += 4 * NR) {
      const vectors v = load(w, panel, panels);
#define PIXEL(i) \
  if (i < pixels) a[i] = add(a[i], x[i] + k, top, v, panels);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  }
#define PIXEL(i) \
  if (i < pixels) put(sums + i, a[i], panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

/* The bytes of up to 4 panels of words, in order. */
ERT_INLINE __m512i bytes_of(vectors h, __m512i zero_point, int panels) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(h.p0, h.p1), zero_point);
  const __m512i high = panels > 2 ? _mm512_adds_epi16(_mm512_packs_epi32(h.p2, h.p3), zero_point) : low;
  return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(low, high));
}

ERT_INLINE void finish(const ert_tile_args *t, const vectors *sums, int32_t pixels, int panels, int signs) {
  const int32_t *table = t->scales;
  const __m512i zero_point = _mm512_set1_epi16((short)t->zero_point);
  const __m512i low = _mm512_set1_epi8((char)t->min), high = _mm512_set1_epi8((char)t->max);
  const ert_zmm_scales s0 = ert_zmm_scales_of(table + NR, table + 2 * NR, signs),
                       s1 = panels > 1 ? ert_zmm_scales_of(table + 4 * NR, table + 5 * NR, signs) : s0;
  const ert_zmm_scales s2 = panels > 2 ? ert_zmm_scales_of(table + 7 * NR, table + 8 * NR, signs) : s0;
  const ert_zmm_scales s3 = panels > 3 ? ert_zmm_scales_of(table + 10 * NR, table + 11 * NR, signs) : s0;
  for (int32_t i = 0; i < pixels; i++) {
    vectors h;
    h.p0 = h.p1 = h.p2 = h.p3 = ert_zmm_requantize(sums[i].p0, &s0, signs);
    if (panels > 1) h.p1 = ert_zmm_requantize(sums[i].p1, &s1, signs);
    if (panels > 2) h.p2 = ert_zmm_requantize(sums[i].p2, &s2, signs);
    if (panels > 3) h.p3 = ert_zmm_requantize(sums[i].p3, &s3, signs);
    const __m512i y = _mm512_max_epi8(_mm512_min_epi8(bytes_of(h, zero_point, panels), high), low);
    if (t->channels >= NR * ERT_ZMM_PANELS) _mm512_storeu_si512(t->out[i], y);
    else if (t->channels == NR * 2) _mm256_storeu_si256((__m256i *)t->out[i], _mm512_castsi512_si256(y));
    else if (t->channels == NR) _mm_storeu_si128((__m128i *)t->out[i], _mm512_castsi512_si128(y));
    else _mm512_mask_storeu_epi8(t->out[i], ((__mmask64)1 << t->channels) - 1, y);
  }
}

#define FINISH(panels)                                                                      \
  static void store_##panels(const ert_tile_args *t, const vectors *sums, int32_t pixels) { \
    if (t->min >= t->zero_point) finish(t, sums, pixels, panels, 0);                        \
    else finish(t, sums, pixels, panels, 1);                                                \
  }
FINISH(1)
FINISH(2)
FINISH(3)
FINISH(4)

ERT_INLINE void zmm_s8(const ert_tile_args *t, int pixels, int panels) {
  vectors sums[ERT_ZMM_PIXELS];
  multiply(t, sums, pixels, panels);
  if (panels == 4) store_4(t, sums, pixels);
  else if (panels == 3) store_3(t, sums, pixels);
  else if (panels == 2) store_2(t, sums, pixels);
  else store_1(t, sums, pixels);
}

ERT_ZMM_TILES(zmm_s8)

ERT_END_avx512vnni

const ert_tiling ert_tiling_s8_avx512vnni = {
    zmm_s8_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0};

#endif
