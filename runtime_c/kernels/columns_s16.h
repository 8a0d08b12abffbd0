/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions of int16 in registers of 32 bytes: tiles of four neighbouring pixels x 16 channels, whose columns
 * are loaded once. Two rows of a window are interleaved, so that one instruction multiplies and adds up both. The last
 * tile of a row goes over pixels that the one before has computed. */
#ifndef ERT_COLUMNS_S16_H
#define ERT_COLUMNS_S16_H

#include "columns.h"
#include "tiles_ymm.h"

#if ERT_HAS_avx2

enum { ERT_COLUMNS_S16 = 16, ERT_COLUMNS_PAIR = 2 };

ERT_BEGIN_avx2

/* Fewer items than a panel has: nothing is read or written behind them. */
ERT_APART void ymm_copy_items(int16_t *to, const int16_t *x, int32_t n) {
  if (n & 8) ERT_MEMMOVE(to, x, 16), to += 8, x += 8;
  if (n & 4) ERT_MEMMOVE(to, x, 8), to += 4, x += 4;
  if (n & 2) ERT_MEMMOVE(to, x, 4), to += 2, x += 2;
  if (n & 1) *to = *x;
}

ERT_APART __m256i ymm_some_items(const void *x, int32_t n) {
  int16_t items[ERT_COLUMNS_S16] = {0};
  ymm_copy_items(items, x, n);
  return _mm256_loadu_si256((const __m256i *)(const void *)items);
}

ERT_INLINE __m256i ymm_items_at(const ert_columns_args *t, const void *p, int whole) {
  const uint8_t *x = (const uint8_t *)p + t->offset;
  return whole ? _mm256_loadu_si256((const __m256i *)(const void *)x) : ymm_some_items(x, t->channels);
}

/* Two rows of a column, `next` pointers apart: successive items for each channel. */
ERT_INLINE ert_ymm_sums ymm_column_of(const ert_columns_args *t, const void *const *in, ptrdiff_t next, int whole) {
  const __m256i r0 = ymm_items_at(t, in[0], whole), r1 = ymm_items_at(t, in[next], whole);
  return (ert_ymm_sums){_mm256_unpacklo_epi16(r0, r1), _mm256_unpackhi_epi16(r0, r1)};
}

ERT_INLINE ert_ymm_sums ymm_add_column(ert_ymm_sums sum, ert_ymm_sums x, const int16_t *w, int kind) {
  const __m256i *v = (const __m256i *)(const void *)w;
  return (ert_ymm_sums){ymm_dot(sum.low, x.low, x.low, _mm256_loadu_si256(v), kind),
                        ymm_dot(sum.high, x.high, x.high, _mm256_loadu_si256(v + 1), kind)};
}

ERT_INLINE ert_ymm_sums ymm_first_sums(const ert_columns_args *t) {
  const __m256i top = _mm256_set1_epi32(INT32_MIN), *b = t->scales;
  return (ert_ymm_sums){_mm256_xor_si256(_mm256_loadu_si256(b), top), _mm256_xor_si256(_mm256_loadu_si256(b + 1), top)};
}

ERT_INLINE int32_t ymm_pairs(const ert_columns_args *t) { return (t->kernel_h + 1) / ERT_COLUMNS_PAIR; }

/* Pointers from rows 2 * q of the window to the next ones; the row below the last has weights of zero. */
ERT_INLINE ptrdiff_t ymm_next_row(const ert_columns_args *t, int32_t q) {
  return 2 * q + 1 < t->kernel_h ? t->columns : 0;
}

/* Sums of four pixels of windows of `width` columns, none of them dilated. */
ERT_INLINE void ymm_four_pixels(const ert_columns_args *t, int32_t x, ert_ymm_sums *sums, int width, int stride,
                                int whole, int kind) {
  const int32_t pairs = ymm_pairs(t), step = pairs * ERT_COLUMNS_PAIR * ERT_COLUMNS_S16;
  ert_ymm_sums s0 = ymm_first_sums(t), s1 = s0, s2 = s0, s3 = s0;
  for (int32_t q = 0; q < pairs; q++) {
    const int16_t *w = (const int16_t *)t->weights + q * ERT_COLUMNS_PAIR * ERT_COLUMNS_S16;
    const void *const *in = t->in + (ptrdiff_t)ERT_COLUMNS_PAIR * q * t->columns + (ptrdiff_t)x * stride;
    const ptrdiff_t next = ymm_next_row(t, q);
#define COLUMN(c)                                                                                                     \
  if ((c) < 3 * stride + width) {                                                                                     \
    const ert_ymm_sums v = ymm_column_of(t, in + (c), next, whole);                                                   \
    if ((c) < width) s0 = ymm_add_column(s0, v, w + (c)*step, kind);                                                  \
    if ((c) >= stride && (c) < stride + width) s1 = ymm_add_column(s1, v, w + ((c)-stride) * step, kind);             \
    if ((c) >= 2 * stride && (c) < 2 * stride + width) s2 = ymm_add_column(s2, v, w + ((c)-2 * stride) * step, kind); \
    if ((c) >= 3 * stride) s3 = ymm_add_column(s3, v, w + ((c)-3 * stride) * step, kind);                             \
  }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5) COLUMN(6) COLUMN(7) COLUMN(8) COLUMN(9) COLUMN(10)
#undef COLUMN
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/* Sums of one pixel of any window. */
ERT_INLINE void ymm_one_pixel(const ert_columns_args *t, int32_t x, ert_ymm_sums *sums, int kind) {
  const int16_t *w = t->weights;
  ert_ymm_sums s = ymm_first_sums(t);
  for (int32_t kx = 0; kx < t->kernel_w; kx++) {
    const void *const *in = t->in + x * t->stride + kx * t->dilation;
    for (int32_t q = 0; q < ymm_pairs(t); q++, in += 2 * (ptrdiff_t)t->columns) {
      const ert_ymm_sums v = ymm_column_of(t, in, ymm_next_row(t, q), t->channels == ERT_COLUMNS_S16);
      s = ymm_add_column(s, v, w, kind);
      w += ERT_COLUMNS_PAIR * ERT_COLUMNS_S16;
    }
  }
  *sums = s;
}

ERT_INLINE void ymm_finish_row(const ert_columns_args *t, int32_t x, const ert_ymm_sums *sums, int32_t pixels,
                               int signs) {
  const int32_t *table = t->scales;
  const ert_avx2_scales low = ert_avx2_scales_of(table + ERT_COLUMNS_S16, table + 2 * ERT_COLUMNS_S16, signs);
  const ert_avx2_scales high = ert_avx2_scales_of(table + ERT_COLUMNS_S16 + 8, table + 2 * ERT_COLUMNS_S16 + 8, signs);
  const __m256i least = _mm256_set1_epi16((short)t->min), most = _mm256_set1_epi16((short)t->max);
  int16_t *out = (int16_t *)(void *)(t->out + (ptrdiff_t)x * t->step), rest[ERT_COLUMNS_S16];
  const int whole = t->channels == ERT_COLUMNS_S16;
  for (int32_t i = 0; i < pixels; i++, out += t->step / 2) {
    const __m256i a = ert_avx2_requantize(sums[i].low, &low, signs);
    const __m256i b = ert_avx2_requantize(sums[i].high, &high, signs);
    const __m256i y = _mm256_max_epi16(_mm256_min_epi16(_mm256_packs_epi32(a, b), most), least);
    _mm256_storeu_si256((__m256i *)(void *)(whole ? out : rest), y);
    if (!whole) ymm_copy_items(out, rest, t->channels);
  }
}

/* Sums of wide layers are rounded once, and shifted by nothing. */
ERT_INLINE void ymm_requantize_row(const ert_columns_args *t, int32_t x, const ert_ymm_sums *sums, int32_t pixels) {
  if (t->zero_point || t->min >= 0) ymm_finish_row(t, x, sums, pixels, 0);
  else ymm_finish_row(t, x, sums, pixels, 1);
}

ERT_INLINE void ymm_row_of_tiles(const ert_columns_args *t, int width, int stride, int whole, int kind) {
  ert_ymm_sums sums[ERT_COLUMNS_RUN];
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_RUN) {
    const int32_t n = t->pixels - x < ERT_COLUMNS_RUN ? t->pixels - x : ERT_COLUMNS_RUN;
    const int32_t from = n < ERT_COLUMNS_TILE ? t->pixels - ERT_COLUMNS_TILE : x,
                  pixels = n < ERT_COLUMNS_TILE ? ERT_COLUMNS_TILE : n;
    for (int32_t i = 0; i < pixels; i += ERT_COLUMNS_TILE) {
      const int32_t at = i + ERT_COLUMNS_TILE <= pixels ? i : pixels - ERT_COLUMNS_TILE;
      ymm_four_pixels(t, from + at, sums + at, width, stride, whole, kind);
    }
    ymm_requantize_row(t, from, sums, pixels);
  }
}

ERT_INLINE void ymm_row_of_pixels(const ert_columns_args *t, int kind) {
  ert_ymm_sums sums[ERT_COLUMNS_RUN];
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_RUN) {
    const int32_t n = t->pixels - x < ERT_COLUMNS_RUN ? t->pixels - x : ERT_COLUMNS_RUN;
    for (int32_t i = 0; i < n; i++) ymm_one_pixel(t, x + i, sums + i, kind);
    ymm_requantize_row(t, x, sums, n);
  }
}

ERT_END_avx2

/* Functions of one kind, the last of which is the micro-kernel. */
#define ERT_COLUMNS_S16_OF(name, kind)                                                                            \
  static void name##_threes(const ert_columns_args *t) { ymm_row_of_tiles(t, 3, 1, 1, kind); }                    \
  static void name##_threes_apart(const ert_columns_args *t) { ymm_row_of_tiles(t, 3, 2, 1, kind); }              \
  static void name##_fives(const ert_columns_args *t) { ymm_row_of_tiles(t, 5, 1, 1, kind); }                     \
  static void name##_fives_apart(const ert_columns_args *t) { ymm_row_of_tiles(t, 5, 2, 1, kind); }               \
  static void name##_some_threes(const ert_columns_args *t) { ymm_row_of_tiles(t, 3, 1, 0, kind); }               \
  static void name##_some_threes_apart(const ert_columns_args *t) { ymm_row_of_tiles(t, 3, 2, 0, kind); }         \
  static void name##_pixels(const ert_columns_args *t) { ymm_row_of_pixels(t, kind); }                            \
  static void name(const ert_columns_args *t) {                                                                   \
    const int whole = t->channels == ERT_COLUMNS_S16, three = t->kernel_w == 3, five = t->kernel_w == 5 && whole; \
    const int tiles = t->pixels >= ERT_COLUMNS_TILE && t->dilation == 1 && t->stride <= 2 && (three || five);     \
    if (!tiles) name##_pixels(t);                                                                                 \
    else if (three && t->stride == 1) (whole ? name##_threes : name##_some_threes)(t);                            \
    else if (three) (whole ? name##_threes_apart : name##_some_threes_apart)(t);                                  \
    else (t->stride == 1 ? name##_fives : name##_fives_apart)(t);                                                 \
  }

#endif
#endif
