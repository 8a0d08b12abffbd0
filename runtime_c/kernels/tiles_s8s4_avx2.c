/* SPDX-License-Identifier: Apache-2.0 */
/* int4 weights of int8 layers: unsigned inputs times weights of -8 to 7. Without VNNI two products are added up in 16 bits,
 * and with those of seven more pairs: 8 * 2 * 255 * 8 < 2^15 leaves room for 32 terms of a channel. What these sums are
 * multiplied by as they are widened is the factor of their group, or 1. Sums of all terms are in memory. */
#include "tiles_ymm.h"

#if ERT_HAS_avx2

#define PANEL ERT_YMM_CHANNELS
#define PIXELS 5 /* two sums each: registers for six would not leave enough for weights and inputs */
#define BLOCK 8
#define ROOM 32

ERT_BEGIN_avx2

/* Of each byte the lower or the upper half, as a byte with its sign: with VNNI 16 times what it is. */
ERT_INLINE __m256i halves(const uint8_t *w, int high, int kind) {
  const __m128i values = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)w);
  if (kind == ERT_VNNI) return _mm256_and_si256(high ? v : _mm256_slli_epi16(v, 4), _mm256_set1_epi8(-16));
  const __m256i half = _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), half);
}

ERT_INLINE __m256i add_products(__m256i sum, __m256i x, __m256i w, int kind) {
  if (kind == ERT_VNNI) return ymm_dot(sum, x, x, w, kind);
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(x, w));
}

ERT_INLINE ert_ymm_sums add_four(ert_ymm_sums a, const uint8_t *p, __m256i low, __m256i high, int kind) {
  const __m256i x = _mm256_xor_si256(_mm256_set1_epi32(*(const ert_word *)(const void *)p), _mm256_set1_epi8(-128));
  return (ert_ymm_sums){add_products(a.low, x, low, kind), add_products(a.high, x, high, kind)};
}

/* Factors of eight channels: one for each sum of 32 bits, or for both halves of a pair. */
ERT_INLINE __m256i factors_of(const uint8_t *f, int kind) {
  const __m256i each =
      f ? _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)f)) : _mm256_set1_epi32(1);
  return kind == ERT_VNNI ? each : _mm256_or_si256(each, _mm256_slli_epi32(each, 16));
}

ERT_INLINE __m256i widened(__m256i all, __m256i sum, __m256i factors, int kind) {
  ERT_SETTLE(sum);
  return _mm256_add_epi32(all, kind == ERT_VNNI ? _mm256_mullo_epi32(sum, factors) : _mm256_madd_epi16(sum, factors));
}

/* Adds terms [k, end) of a run of every pixel, of one group and no more than there is room for. */
ERT_INLINE void add_terms(ert_ymm_sums *sums, const void *const *in, ptrdiff_t k, ptrdiff_t end, const uint8_t *w,
                          const ert_ymm_sums *factors, int pixels, int kind) {
  const ert_ymm_sums zero = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  ert_ymm_sums a[6] = {zero, zero, zero, zero, zero, zero};
  const uint8_t *x[6];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  for (; k < end; k += BLOCK, w += BLOCK / 2 * PANEL) {
    __m256i low = halves(w, 0, kind), high = halves(w + 32, 0, kind);
#define PIXEL(i)                                                    \
  if (i < pixels) a[i] = add_four(a[i], x[i] + k, low, high, kind); \
  if (i + 1 == pixels) ERT_IN_TURN_AFTER(w, a[i].low);
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    low = halves(w, 1, kind), high = halves(w + 32, 1, kind);
#define PIXEL(i)                                                        \
  if (i < pixels) a[i] = add_four(a[i], x[i] + k + 4, low, high, kind); \
  if (i + 1 == pixels) ERT_IN_TURN_AFTER(w, a[i].low);
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
  }
  ERT_IN_TURN_AFTER(sums, a[0].low);
#define PIXEL(i)                                                          \
  if (i < pixels) {                                                       \
    sums[i].low = widened(sums[i].low, a[i].low, factors->low, kind);     \
    sums[i].high = widened(sums[i].high, a[i].high, factors->high, kind); \
  }
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

/* Biases of the file are 16 times what they are. */
ERT_INLINE __m256i sixteenth(__m256i sum) {
  return _mm256_xor_si256(_mm256_srai_epi32(sum, 4), _mm256_set1_epi32(INT32_MIN));
}

ERT_INLINE ert_ymm_sums sixteenths(ert_ymm_sums s) { return (ert_ymm_sums){sixteenth(s.low), sixteenth(s.high)}; }

ERT_INLINE void tile(const ert_tile_args *t, int pixels, int kind) {
  const int32_t group = t->factors ? t->group : t->run, most = kind == ERT_VNNI ? group : ROOM;
  const uint8_t *w = t->weights, *f = t->factors;
  const void *const *in = t->in;
  const __m256i *bias = t->scales;
  const ert_ymm_sums b = {_mm256_loadu_si256(bias), _mm256_loadu_si256(bias + 1)};
  ert_ymm_sums sums[6];
  for (int i = 0; i < pixels; i++) sums[i] = kind == ERT_VNNI ? b : sixteenths(b);
  for (int32_t r = 0; r < t->runs; r++, in += t->stride)
    for (int32_t k = 0; k < t->run;) {
      const ert_ymm_sums factors = {factors_of(f, kind), factors_of(f ? f + 8 : f, kind)};
      for (const int32_t end = k + group; k < end;) {
        const int32_t n = end - k < most ? end - k : most;
        add_terms(sums, in, k, k + n, w, &factors, pixels, kind);
        k += n, w += n / 2 * PANEL;
      }
      if (f) ERT_FETCH_FACTORS(f), f += PANEL;
    }
  for (int i = 0; kind == ERT_VNNI && i < pixels; i++) sums[i] = sixteenths(sums[i]);
  ert_ymm_finish(t, sums, pixels);
}

#define AVX2(name, pixels) \
  static void name##pixels(const ert_tile_args *t) { tile(t, pixels, ERT_SIGNED); }
#define AVXVNNI(name, pixels) \
  static void name##pixels(const ert_tile_args *t) { tile(t, pixels, ERT_VNNI); }
ERT_BY_FIVE(AVX2, s8s4_pairs)
ERT_BY_FIVE(AVXVNNI, s8s4_vnni)

ERT_END_avx2

const ert_tiling ert_tiling_s8s4_avx2 = {
    s8s4_pairs_by_pixels, PIXELS, {PANEL, BLOCK, 1, 4, ERT_SCALES_S8}, NULL, 0, 0, 0};
const ert_tiling ert_tiling_s8s4_avxvnni = {
    s8s4_vnni_by_pixels, PIXELS, {PANEL, BLOCK, 1, 4, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
