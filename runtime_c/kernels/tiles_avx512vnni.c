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

/* int4: terms 0 to 3 of every channel in the upper halves of bytes, or terms 4 to 7. */
ERT_INLINE vectors halves(vectors v, int high, int panels) {
  const __m512i mask = _mm512_set1_epi8(-16);
#define HALF(p) _mm512_and_si512(high ? p : _mm512_slli_epi16(p, 4), mask)
  v.p0 = HALF(v.p0);
  if (panels > 1) v.p1 = HALF(v.p1);
  if (panels > 2) v.p2 = HALF(v.p2);
  if (panels > 3) v.p3 = HALF(v.p3);
#undef HALF
  return v;
}

/* A block of terms k ... of every pixel: four for each channel, of int4 eight. */
ERT_INLINE void add_block(vectors *a, const uint8_t *const *x, ptrdiff_t k, vectors w, int pixels, int panels,
                          int bits) {
  const __m512i top = _mm512_set1_epi8(-128);
  const vectors low = bits == 4 ? halves(w, 0, panels) : w;
#define PIXEL(i) \
  if (i < pixels) a[i] = add(a[i], x[i] + k, top, low, panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  if (bits != 4) return;
  const vectors high = halves(w, 1, panels);
#define PIXEL(i) \
  if (i < pixels) a[i] = add(a[i], x[i] + k + 4, top, high, panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

ERT_INLINE vectors zeros(void) {
  const __m512i zero = _mm512_setzero_si512();
  return (vectors){zero, zero, zero, zero};
}

ERT_INLINE __m512i by_factors(__m512i total, __m512i sum, const uint8_t *factors) {
  const __m128i f = _mm_loadu_si128((const __m128i *)(const void *)factors);
  return _mm512_add_epi32(total, _mm512_mullo_epi32(sum, _mm512_cvtepu8_epi32(f)));
}

/* Adds the sums of a group, times the factors of its channels, to those of all groups. */
ERT_INLINE void add_group(vectors *total, vectors sum, const uint8_t *factors, ptrdiff_t stride, int panels) {
  total->p0 = by_factors(total->p0, sum.p0, factors);
  if (panels > 1) total->p1 = by_factors(total->p1, sum.p1, factors + stride);
  if (panels > 2) total->p2 = by_factors(total->p2, sum.p2, factors + 2 * stride);
  if (panels > 3) total->p3 = by_factors(total->p3, sum.p3, factors + 3 * stride);
}

ERT_INLINE vectors each_xor(vectors v, __m512i with) {
  return (vectors){_mm512_xor_si512(v.p0, with), _mm512_xor_si512(v.p1, with), _mm512_xor_si512(v.p2, with),
                   _mm512_xor_si512(v.p3, with)};
}

/* Sums of int4 weights are 16 times what they should be. */
ERT_INLINE vectors sixteenth(vectors v, int panels) {
  v.p0 = _mm512_srai_epi32(v.p0, 4);
  if (panels > 1) v.p1 = _mm512_srai_epi32(v.p1, 4);
  if (panels > 2) v.p2 = _mm512_srai_epi32(v.p2, 4);
  if (panels > 3) v.p3 = _mm512_srai_epi32(v.p3, 4);
  return v;
}

/* Sums of products and biases, and 2^31; `grouped`: of int4 weights with factors. */
ERT_INLINE void multiply(const ert_tile_args *t, vectors *sums, int pixels, int panels, int bits, int grouped) {
  const __m512i top = _mm512_set1_epi32(INT32_MIN);
  const ptrdiff_t panel = (ptrdiff_t)t->runs * t->run * NR * bits / 8, factors = (ptrdiff_t)t->groups * NR;
  const int32_t step = 32 / bits, group = grouped ? t->group : t->run;
  const uint8_t *w = t->weights, *f = t->factors;
  const void *const *in = t->in;
  const vectors bias = load(t->scales, 12 * NR, panels);
  const vectors first = grouped ? zeros() : bits == 4 ? bias : each_xor(bias, top);
  vectors a[ERT_ZMM_PIXELS] = {first, first, first, first, first, first};
  for (int i = 0; grouped && i < pixels; i++) put(sums + i, bias, panels);
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) {
    const uint8_t *x[ERT_ZMM_PIXELS];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    for (ptrdiff_t k = 0; k < t->run;) {
      for (const ptrdiff_t end = k + group; k < end; k += step, w += 4 * NR)
        add_block(a, x, k, load(w, panel, panels), pixels, panels, bits);
      if (!grouped) continue;
#define PIXEL(i) \
  if (i < pixels) add_group(sums + i, a[i], f, factors, panels), a[i] = first;
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
      f += NR;
    }
  }
#define PIXEL(i) \
  if (!grouped && i < pixels) put(sums + i, a[i], panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  for (int i = 0; bits == 4 && i < pixels; i++) sums[i] = each_xor(sixteenth(sums[i], panels), top);
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

ERT_INLINE void store(const ert_tile_args *t, const vectors *sums, int32_t pixels, int panels) {
  if (panels == 4) store_4(t, sums, pixels);
  else if (panels == 3) store_3(t, sums, pixels);
  else if (panels == 2) store_2(t, sums, pixels);
  else store_1(t, sums, pixels);
}

ERT_INLINE void zmm_s8(const ert_tile_args *t, int pixels, int panels) {
  vectors sums[ERT_ZMM_PIXELS];
  multiply(t, sums, pixels, panels, 8, 0);
  store(t, sums, pixels, panels);
}

ERT_INLINE void zmm_s8s4(const ert_tile_args *t, int pixels, int panels) {
  vectors sums[ERT_ZMM_PIXELS];
  if (t->factors) multiply(t, sums, pixels, panels, 4, 1);
  else multiply(t, sums, pixels, panels, 4, 0);
  store(t, sums, pixels, panels);
}

ERT_ZMM_TILES(zmm_s8)
ERT_ZMM_TILES(zmm_s8s4)

ERT_END_avx512vnni

const ert_tiling ert_tiling_s8_avx512vnni = {
    zmm_s8_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0};
const ert_tiling ert_tiling_s8s4_avx512vnni = {
    zmm_s8s4_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 8, 1, 4, ERT_SCALES_S8}, NULL, 0};

#endif
