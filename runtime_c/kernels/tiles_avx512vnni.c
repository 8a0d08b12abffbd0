/* SPDX-License-Identifier: Apache-2.0 */
/* int8: 6 pixels x up to 4 panels of 16 channels, 24 sums in registers. Inputs become unsigned bytes as they are
 * broadcast; four of them meet four weights of each channel in one instruction. int4 weights become bytes, 16 times what
 * they are, as they are loaded. int16: two inputs meet two weights, which are widened as they are loaded. */
#include "requantize_x86.h"
#include "tiles_x86.h"

#if ERT_HAS_avx512vnni

#define NR ERT_ZMM_CHANNELS

typedef int32_t word __attribute__((aligned(1), may_alias));

/* Types of inputs and weights. */
enum { S8S8, S8S4, S16S8 };

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

/* Of panels `first` ...: 0, or 2. */
ERT_INLINE void put(vectors *to, int first, vectors v, int panels) {
  if (first) {
    to->p2 = v.p0;
    if (panels > 1) to->p3 = v.p1;
    return;
  }
  to->p0 = v.p0;
  if (panels > 1) to->p1 = v.p1;
  if (panels > 2) to->p2 = v.p2;
  if (panels > 3) to->p3 = v.p3;
}

/* int8 weights as int16. */
ERT_INLINE __m512i widened_at(const uint8_t *p) {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

ERT_INLINE vectors load_widened(const uint8_t *p, ptrdiff_t stride, int panels) {
  vectors v;
  v.p0 = v.p1 = v.p2 = v.p3 = widened_at(p);
  if (panels > 1) v.p1 = widened_at(p + stride);
  if (panels > 2) v.p2 = widened_at(p + 2 * stride);
  if (panels > 3) v.p3 = widened_at(p + 3 * stride);
  return v;
}

/* Two terms of int16. */
ERT_INLINE vectors add_pair(vectors a, const uint8_t *x, vectors w, int panels) {
  const __m512i u = _mm512_set1_epi32(*(const word *)(const void *)x);
  a.p0 = _mm512_dpwssd_epi32(a.p0, u, w.p0);
  if (panels > 1) a.p1 = _mm512_dpwssd_epi32(a.p1, u, w.p1);
  if (panels > 2) a.p2 = _mm512_dpwssd_epi32(a.p2, u, w.p2);
  if (panels > 3) a.p3 = _mm512_dpwssd_epi32(a.p3, u, w.p3);
  return a;
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

/* Terms of every pixel from byte k on: four for each channel, of int4 weights eight, of int16 inputs two. */
ERT_INLINE void add_block(vectors *a, const uint8_t *const *x, ptrdiff_t k, const uint8_t *w, ptrdiff_t panel,
                          int pixels, int panels, int kind) {
  const __m512i top = _mm512_set1_epi8(-128);
  vectors v = kind == S16S8 ? load_widened(w, panel, panels) : load(w, panel, panels);
  if (kind == S8S4) v = halves(v, 0, panels);
#define PIXEL(i) \
  if (i < pixels) a[i] = kind == S16S8 ? add_pair(a[i], x[i] + k, v, panels) : add(a[i], x[i] + k, top, v, panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  if (kind != S8S4) return;
  ERT_IN_TURN(w);
  v = halves(load(w, panel, panels), 1, panels);
#define PIXEL(i) \
  if (i < pixels) a[i] = add(a[i], x[i] + k + 4, top, v, panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

/* Bytes [k, end) of a run of every pixel. Returns where the weights of the next ones are. */
ERT_INLINE const uint8_t *add_terms(vectors *a, const void *const *in, ptrdiff_t k, ptrdiff_t end, const uint8_t *w,
                                    ptrdiff_t panel, int pixels, int panels, int kind) {
  const uint8_t *x[ERT_ZMM_PIXELS];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  for (; k < end; k += kind == S8S4 ? 8 : 4, w += kind == S16S8 ? 2 * NR : 4 * NR) {
    if (kind == S8S4) ERT_IN_TURN(w);
    add_block(a, x, k, w, panel, pixels, panels, kind);
  }
  return w;
}

ERT_INLINE vectors settled(vectors v, int panels) {
  ERT_SETTLE(v.p0);
  if (panels > 1) ERT_SETTLE(v.p1);
  if (panels > 2) ERT_SETTLE(v.p2);
  if (panels > 3) ERT_SETTLE(v.p3);
  return v;
}

ERT_INLINE vectors each_xor(vectors v, __m512i with, int panels) {
  v.p0 = _mm512_xor_si512(v.p0, with);
  if (panels > 1) v.p1 = _mm512_xor_si512(v.p1, with);
  if (panels > 2) v.p2 = _mm512_xor_si512(v.p2, with);
  if (panels > 3) v.p3 = _mm512_xor_si512(v.p3, with);
  return v;
}

/* A sum of int4 weights, which is 16 times what it should be, and 2^31. */
ERT_INLINE vectors sixteenth(vectors v, int panels) {
  v.p0 = _mm512_srai_epi32(v.p0, 4);
  if (panels > 1) v.p1 = _mm512_srai_epi32(v.p1, 4);
  if (panels > 2) v.p2 = _mm512_srai_epi32(v.p2, 4);
  if (panels > 3) v.p3 = _mm512_srai_epi32(v.p3, 4);
  return each_xor(v, _mm512_set1_epi32(INT32_MIN), panels);
}

/* What sums begin with: biases, but for int4 with 2^31; 0 for a part of int16 sums. */
ERT_INLINE vectors begin(const ert_tile_args *t, int panels, int kind) {
  const __m512i zero = _mm512_setzero_si512();
  if (kind == S16S8 && t->scales == NULL) return (vectors){zero, zero, zero, zero};
  const vectors bias = load(t->scales, 12 * NR, panels);
  return kind == S8S4 ? bias : each_xor(bias, _mm512_set1_epi32(INT32_MIN), panels);
}

/* Sums of products and biases, and 2^31. */
ERT_INLINE void multiply(const ert_tile_args *t, vectors *sums, int pixels, int panels, int kind) {
  const ptrdiff_t panel = (ptrdiff_t)t->window * NR / (kind == S8S4 ? 2 : 1);
  const ptrdiff_t from = kind == S16S8 ? 2 * (ptrdiff_t)t->first : 0;
  const ptrdiff_t end = kind == S16S8 ? from + 2 * (ptrdiff_t)t->run : t->run;
  const uint8_t *w = (const uint8_t *)t->weights + (kind == S16S8 ? (ptrdiff_t)t->before * NR : 0);
  const void *const *in = t->in;
  const vectors b = begin(t, panels, kind);
  vectors a[ERT_ZMM_PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride)
    w = add_terms(a, in, from, end, w, panel, pixels, panels, kind);
#define PIXEL(i) \
  if (i < pixels) put(sums + i, 0, kind == S8S4 ? sixteenth(settled(a[i], panels), panels) : a[i], panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

/* `sum` times the factors of its channels, and `all`. */
ERT_INLINE __m512i by_factors(__m512i sum, const uint8_t *factors, __m512i all) {
  const __m128i f = _mm_loadu_si128((const __m128i *)(const void *)factors);
  return _mm512_add_epi32(all, _mm512_mullo_epi32(sum, _mm512_cvtepu8_epi32(f)));
}

ERT_INLINE vectors add_group(vectors all, vectors sum, const uint8_t *factors, ptrdiff_t stride, int panels) {
  all.p0 = by_factors(sum.p0, factors, all.p0);
  if (panels > 1) all.p1 = by_factors(sum.p1, factors + stride, all.p1);
  if (panels > 2) all.p2 = by_factors(sum.p2, factors + 2 * stride, all.p2);
  if (panels > 3) all.p3 = by_factors(sum.p3, factors + 3 * stride, all.p3);
  return all;
}

/* The same for panels `first` ... of int4 weights with factors: a group has sums of its own. */
ERT_INLINE void multiply_groups(const ert_tile_args *t, vectors *sums, int pixels, int first, int panels) {
  const ptrdiff_t panel = (ptrdiff_t)t->window * NR / 2, factors = (ptrdiff_t)t->groups * NR;
  const uint8_t *w = (const uint8_t *)t->weights + first * panel, *f = t->factors + first * factors;
  const __m512i zero = _mm512_setzero_si512();
  const vectors b = load((const int32_t *)t->scales + first * 3 * NR, 12 * NR, panels), z = {zero, zero, zero, zero};
  const void *const *in = t->in;
  vectors all[ERT_ZMM_PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride)
    for (ptrdiff_t k = 0; k < t->run; k += t->group, f += NR) {
      for (int p = 0; p < panels; p++) ERT_FETCH_FACTORS(f + p * factors);
      vectors a[ERT_ZMM_PIXELS] = {z, z, z, z, z, z};
      w = add_terms(a, in, k, k + t->group, w, panel, pixels, panels, S8S4);
#define PIXEL(i) \
  if (i < pixels) all[i] = add_group(all[i], settled(a[i], panels), f, factors, panels);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
#define PIXEL(i) \
  if (i < pixels) put(sums + i, first, sixteenth(settled(all[i], panels), panels), panels);
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

/* Panel p of every pixel of int16. */
ERT_INLINE void finish_s16(const ert_tile_args *t, const vectors *sums, int32_t pixels, int p, int signs) {
  const int32_t *table = (const int32_t *)t->scales + 3 * p * NR, left = t->channels - p * NR;
  const ert_zmm_scales s = ert_zmm_scales_of(table + NR, table + 2 * NR, signs);
  const __m256i low = _mm256_set1_epi16((short)t->min), high = _mm256_set1_epi16((short)t->max);
  const __mmask16 there = (__mmask16)(left < NR ? (1 << left) - 1 : 0xffff);
  for (int32_t i = 0; i < pixels; i++) {
    const __m512i sum = p == 0 ? sums[i].p0 : p == 1 ? sums[i].p1 : p == 2 ? sums[i].p2 : sums[i].p3;
    const __m256i y = _mm512_cvtsepi32_epi16(ert_zmm_requantize(sum, &s, signs));
    const __m256i clamped = _mm256_max_epi16(_mm256_min_epi16(y, high), low);
    int16_t *out = (int16_t *)t->out[i] + p * NR;
    if (left >= NR) _mm256_storeu_si256((__m256i *)(void *)out, clamped);
    else _mm256_mask_storeu_epi16(out, there, clamped);
  }
}

ERT_INLINE void add_panel(int64_t *to, __m512i sums) {
  const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sums)),
                high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sums, 1));
  _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_loadu_si512(to), low));
  _mm512_storeu_si512(to + 8, _mm512_add_epi64(_mm512_loadu_si512(to + 8), high));
}

/* A part of sums that need 64 bits. */
ERT_INLINE void add_sums(const ert_tile_args *t, const vectors *sums, int32_t pixels, int panels) {
  for (int32_t i = 0; i < pixels; i++) {
    int64_t *to = t->out[i];
    add_panel(to, sums[i].p0);
    if (panels > 1) add_panel(to + NR, sums[i].p1);
    if (panels > 2) add_panel(to + 2 * NR, sums[i].p2);
    if (panels > 3) add_panel(to + 3 * NR, sums[i].p3);
  }
}

ERT_INLINE void store_panels_s16(const ert_tile_args *t, const vectors *sums, int32_t pixels, int panels, int signs) {
  finish_s16(t, sums, pixels, 0, signs);
  if (panels > 1) finish_s16(t, sums, pixels, 1, signs);
  if (panels > 2) finish_s16(t, sums, pixels, 2, signs);
  if (panels > 3) finish_s16(t, sums, pixels, 3, signs);
}

/* Sums of wide layers are rounded once, and shifted by nothing. */
#define STORE_S16(panels)                                                                       \
  static void store_s16_##panels(const ert_tile_args *t, const vectors *sums, int32_t pixels) { \
    if (t->scales == NULL) add_sums(t, sums, pixels, panels);                                   \
    else if (t->zero_point || t->min >= 0) store_panels_s16(t, sums, pixels, panels, 0);        \
    else store_panels_s16(t, sums, pixels, panels, 1);                                          \
  }
STORE_S16(1)
STORE_S16(2)
STORE_S16(3)
STORE_S16(4)

ERT_INLINE void store(const ert_tile_args *t, const vectors *sums, int32_t pixels, int panels) {
  if (panels == 4) store_4(t, sums, pixels);
  else if (panels == 3) store_3(t, sums, pixels);
  else if (panels == 2) store_2(t, sums, pixels);
  else store_1(t, sums, pixels);
}

ERT_INLINE void zmm_tile_s8(const ert_tile_args *t, int pixels, int panels) {
  vectors sums[ERT_ZMM_PIXELS];
  multiply(t, sums, pixels, panels, S8S8);
  store(t, sums, pixels, panels);
}

/* Sums of groups and those of all groups: there are registers for up to four pixels of three panels, or six of two. */
ERT_INLINE void zmm_tile_s8s4(const ert_tile_args *t, int pixels, int panels) {
  vectors sums[ERT_ZMM_PIXELS];
  if (!t->factors) {
    multiply(t, sums, pixels, panels, S8S4);
  } else if (pixels * panels <= 12) {
    multiply_groups(t, sums, pixels, 0, panels);
  } else {
    multiply_groups(t, sums, pixels, 0, 2);
    multiply_groups(t, sums, pixels, 2, panels - 2);
  }
  store(t, sums, pixels, panels);
}

ERT_INLINE void zmm_tile_s16(const ert_tile_args *t, int pixels, int panels) {
  vectors sums[ERT_ZMM_PIXELS];
  multiply(t, sums, pixels, panels, S16S8);
  if (panels == 4) store_s16_4(t, sums, pixels);
  else if (panels == 3) store_s16_3(t, sums, pixels);
  else if (panels == 2) store_s16_2(t, sums, pixels);
  else store_s16_1(t, sums, pixels);
}

ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_tile_s8)
ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_tile_s16)
ERT_BY_PIXELS(ERT_ZMM_TILE, zmm_tile_s8s4)

ERT_END_avx512vnni

const ert_tiling ert_tiling_s8_avx512vnni = {
    zmm_tile_s8_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};
const ert_tiling ert_tiling_s16_avx512vnni = {
    zmm_tile_s16_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 2, 2, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};
const ert_tiling ert_tiling_s8s4_avx512vnni = {
    zmm_tile_s8s4_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 8, 1, 4, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
