/* SPDX-License-Identifier: Apache-2.0 */
#include "tiles_ymm.h"

#if ERT_HAS_avx2

ERT_BEGIN_avx2

/* In two halves of eight, as packing wants them: bytes come out in order. */
ERT_INLINE __m128i ymm_bytes(__m256i low, __m256i high, const ert_tile_args *t) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8);
  const __m256i moved = _mm256_adds_epi16(words, _mm256_set1_epi16((short)t->zero_point));
  const __m128i y = _mm_packs_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
  return _mm_max_epi8(_mm_min_epi8(y, _mm_set1_epi8((char)t->max)), _mm_set1_epi8((char)t->min));
}

ERT_INLINE void ymm_finish(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels, int signs) {
  const int32_t *multiplier = (const int32_t *)t->scales + ERT_YMM_CHANNELS, *shift = multiplier + ERT_YMM_CHANNELS;
  const ert_avx2_scales low = ert_avx2_scales_of(multiplier, shift, signs);
  const ert_avx2_scales high = ert_avx2_scales_of(multiplier + 8, shift + 8, signs);
  for (int32_t i = 0; i < pixels; i++) {
    const __m256i a = ert_avx2_requantize(sums[i].low, &low, signs);
    const __m256i b = ert_avx2_requantize(sums[i].high, &high, signs);
    int8_t rest[ERT_YMM_CHANNELS], *out = t->out[i];
    const int whole = t->channels == ERT_YMM_CHANNELS;
    _mm_storeu_si128((__m128i *)(void *)(whole ? out : rest), ymm_bytes(a, b, t));
    for (int32_t o = 0; !whole && o < t->channels; o++) out[o] = rest[o];
  }
}

void ert_ymm_finish(const ert_tile_args *t, const ert_ymm_sums *sums, int32_t pixels) {
  if (t->min >= t->zero_point) ymm_finish(t, sums, pixels, 0);
  else ymm_finish(t, sums, pixels, 1);
}

static void signed_tile1(const ert_tile_args *t) { ert_ymm_tile(t, 1, ERT_SIGNED); }
static void signed_tile2(const ert_tile_args *t) { ert_ymm_tile(t, 2, ERT_SIGNED); }
static void signed_tile3(const ert_tile_args *t) { ert_ymm_tile(t, 3, ERT_SIGNED); }
static void signed_tile4(const ert_tile_args *t) { ert_ymm_tile(t, 4, ERT_SIGNED); }

static void vnni_tile1(const ert_tile_args *t) { ert_ymm_tile(t, 1, ERT_VNNI); }
static void vnni_tile2(const ert_tile_args *t) { ert_ymm_tile(t, 2, ERT_VNNI); }
static void vnni_tile3(const ert_tile_args *t) { ert_ymm_tile(t, 3, ERT_VNNI); }
static void vnni_tile4(const ert_tile_args *t) { ert_ymm_tile(t, 4, ERT_VNNI); }
static void vnni_tile5(const ert_tile_args *t) { ert_ymm_tile(t, 5, ERT_VNNI); }
static void vnni_tile6(const ert_tile_args *t) { ert_ymm_tile(t, 6, ERT_VNNI); }

ERT_END_avx2

static ert_tile_fn *const signed_by_pixels[] = {signed_tile1, signed_tile2, signed_tile3, signed_tile4};
const ert_tiling ert_tiling_s8_avx2 = {signed_by_pixels, 4, {ERT_YMM_CHANNELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};

static ert_tile_fn *const vnni_by_pixels[] = {vnni_tile1, vnni_tile2, vnni_tile3, vnni_tile4, vnni_tile5, vnni_tile6};
const ert_tiling ert_tiling_s8_avxvnni = {vnni_by_pixels, 6, {ERT_YMM_CHANNELS, 4, 1, 8, ERT_SCALES_S8}, NULL, 0, 0, 0};

#endif
