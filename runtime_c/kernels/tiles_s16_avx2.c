/* SPDX-License-Identifier: Apache-2.0 */
/* int16 inputs: 6 pixels x 16 channels. int8 weights are widened as they are loaded. */
#include "tiles_ymm.h"

#if ERT_HAS_avx2

ERT_BEGIN_avx2

ERT_INLINE void add_four(__m256i *total, __m128i sums) {
  _mm256_storeu_si256(total, _mm256_add_epi64(_mm256_loadu_si256(total), _mm256_cvtepi32_epi64(sums)));
}

/* A part of sums that need 64 bits. */
ERT_INLINE void add_sums(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels) {
  for (int32_t i = 0; i < pixels; i++) {
    __m256i *total = t->out[i];
    add_four(total, _mm256_castsi256_si128(sums[i].low));
    add_four(total + 1, _mm256_extracti128_si256(sums[i].low, 1));
    add_four(total + 2, _mm256_castsi256_si128(sums[i].high));
    add_four(total + 3, _mm256_extracti128_si256(sums[i].high, 1));
  }
}

ERT_INLINE void finish_s16(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels, int signs) {
  const int32_t *multiplier = (const int32_t *)t->scales + ERT_YMM_CHANNELS, *shift = multiplier + ERT_YMM_CHANNELS;
  const ert_avx2_scales low = ert_avx2_scales_of(multiplier, shift, signs);
  const ert_avx2_scales high = ert_avx2_scales_of(multiplier + 8, shift + 8, signs);
  const __m256i least = _mm256_set1_epi16((short)t->min), most = _mm256_set1_epi16((short)t->max);
  const int whole = t->channels == ERT_YMM_CHANNELS;
  for (int32_t i = 0; i < pixels; i++) {
    const __m256i a = ert_avx2_requantize(sums[i].low, &low, signs);
    const __m256i b = ert_avx2_requantize(sums[i].high, &high, signs);
    const __m256i y = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    int16_t rest[ERT_YMM_CHANNELS], *out = t->out[i];
    _mm256_storeu_si256((__m256i *)(void *)(whole ? out : rest), _mm256_max_epi16(_mm256_min_epi16(y, most), least));
    for (int32_t o = 0; !whole && o < t->channels; o++) out[o] = rest[o];
  }
}

/* Sums of wide layers are rounded once, and shifted by nothing. */
void ert_ymm_finish_s16(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels) {
  if (t->scales == NULL) add_sums(t, sums, pixels);
  else if (t->zero_point || t->min >= 0) finish_s16(t, sums, pixels, 0);
  else finish_s16(t, sums, pixels, 1);
}

#define PAIRS(name, pixels) \
  static void name##pixels(const ert_tile_args *t) { ert_ymm_tile(t, pixels, ERT_PAIRS); }
#define PAIRS_VNNI(name, pixels) \
  static void name##pixels(const ert_tile_args *t) { ert_ymm_tile(t, pixels, ERT_PAIRS_VNNI); }
ERT_BY_PIXELS(PAIRS, s16_pairs)
ERT_BY_PIXELS(PAIRS_VNNI, s16_vnni)

ERT_END_avx2

const ert_tiling ert_tiling_s16_avx2 = {
    s16_pairs_by_pixels, 6, {ERT_YMM_CHANNELS, 2, 2, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};
const ert_tiling ert_tiling_s16_avxvnni = {
    s16_vnni_by_pixels, 6, {ERT_YMM_CHANNELS, 2, 2, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
