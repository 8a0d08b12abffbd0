/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions: tiles of four neighbouring pixels, whose columns are loaded once. The last tile of a row goes
 * over pixels that the one before has computed. */
#include "columns.h"
#include "requantize_x86.h"

#if ERT_HAS_avx512vnni

typedef struct {
  __m256i v0, v1, v2, v3;
} ymm_four;

ERT_BEGIN_avx512vnni

ERT_INLINE __m256i unsigned_bytes(const ert_columns_args *t, const void *p, int whole) {
  const uint8_t *x = (const uint8_t *)p + t->offset;
  const __m256i v = whole ? _mm256_loadu_si256((const __m256i *)(const void *)x)
                          : _mm256_maskz_loadu_epi8((__mmask32)((UINT64_C(1) << t->channels) - 1), x);
  return _mm256_xor_si256(v, _mm256_set1_epi8(-128));
}

/* Four rows of a column of 32 channels, four successive bytes for each channel; `rows` says how many differ. */
ERT_INLINE ymm_four column_of(const ert_columns_args *t, const void *const *in, const ptrdiff_t row[ERT_COLUMNS_DEPTH],
                              int rows, int whole) {
  const __m256i r0 = unsigned_bytes(t, in[0], whole), r1 = rows > 1 ? unsigned_bytes(t, in[row[1]], whole) : r0;
  const __m256i r2 = rows > 2 ? unsigned_bytes(t, in[row[2]], whole) : r0;
  const __m256i r3 = rows > 3 ? unsigned_bytes(t, in[row[3]], whole) : r2;
  const __m256i a = _mm256_unpacklo_epi8(r0, r1), b = _mm256_unpackhi_epi8(r0, r1);
  const __m256i c = _mm256_unpacklo_epi8(r2, r3), d = _mm256_unpackhi_epi8(r2, r3);
  return (ymm_four){_mm256_unpacklo_epi16(a, c), _mm256_unpackhi_epi16(a, c), _mm256_unpacklo_epi16(b, d),
                    _mm256_unpackhi_epi16(b, d)};
}

ERT_INLINE ymm_four add_column(ymm_four sum, ymm_four x, const int8_t *w) {
  const __m256i *v = (const __m256i *)(const void *)w;
  return (ymm_four){_mm256_dpbusd_epi32(sum.v0, x.v0, _mm256_loadu_si256(v)),
                    _mm256_dpbusd_epi32(sum.v1, x.v1, _mm256_loadu_si256(v + 1)),
                    _mm256_dpbusd_epi32(sum.v2, x.v2, _mm256_loadu_si256(v + 2)),
                    _mm256_dpbusd_epi32(sum.v3, x.v3, _mm256_loadu_si256(v + 3))};
}

ERT_INLINE ymm_four first_sums(const ert_columns_args *t) {
  const __m256i top = _mm256_set1_epi32(INT32_MIN), *b = t->scales;
  return (ymm_four){_mm256_xor_si256(_mm256_loadu_si256(b), top), _mm256_xor_si256(_mm256_loadu_si256(b + 1), top),
                    _mm256_xor_si256(_mm256_loadu_si256(b + 2), top), _mm256_xor_si256(_mm256_loadu_si256(b + 3), top)};
}

/* Rows 4 * q ... of the window; rows below it have weights of zero, and repeat the last one. */
ERT_INLINE void find_rows(const ert_columns_args *t, int32_t q, ptrdiff_t row[ERT_COLUMNS_DEPTH]) {
  const int32_t left = t->kernel_h - ERT_COLUMNS_DEPTH * q;
  for (int32_t i = 0; i < ERT_COLUMNS_DEPTH; i++) row[i] = (ptrdiff_t)(i < left ? i : left - 1) * t->columns;
}

/* Sums of four pixels of windows of `width` columns, none of them dilated. */
ERT_INLINE void four_pixels(const ert_columns_args *t, int32_t x, ymm_four *sums, int rows, int width, int stride,
                            int whole) {
  const int32_t quads = (t->kernel_h + ERT_COLUMNS_DEPTH - 1) / ERT_COLUMNS_DEPTH,
                step = quads * ERT_COLUMNS_DEPTH * ERT_COLUMNS_S8;
  ymm_four s0 = first_sums(t), s1 = s0, s2 = s0, s3 = s0;
  for (int32_t q = 0; q < quads; q++) {
    const int8_t *w = (const int8_t *)t->weights + q * ERT_COLUMNS_DEPTH * ERT_COLUMNS_S8;
    const void *const *in = t->in + (ptrdiff_t)ERT_COLUMNS_DEPTH * q * t->columns + (ptrdiff_t)x * stride;
    ptrdiff_t row[ERT_COLUMNS_DEPTH];
    find_rows(t, q, row);
#define COLUMN(c)                                                                                           \
  if ((c) < 3 * stride + width) {                                                                           \
    const ymm_four v = column_of(t, in + (c), row, rows, whole);                                            \
    if ((c) < width) s0 = add_column(s0, v, w + (c)*step);                                                  \
    if ((c) >= stride && (c) < stride + width) s1 = add_column(s1, v, w + ((c)-stride) * step);             \
    if ((c) >= 2 * stride && (c) < 2 * stride + width) s2 = add_column(s2, v, w + ((c)-2 * stride) * step); \
    if ((c) >= 3 * stride) s3 = add_column(s3, v, w + ((c)-3 * stride) * step);                             \
  }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5) COLUMN(6) COLUMN(7) COLUMN(8) COLUMN(9) COLUMN(10)
#undef COLUMN
  }
  sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/* Sums of one pixel of any window. */
ERT_APART void one_pixel(const ert_columns_args *t, int32_t x, ymm_four *sums) {
  const int32_t quads = (t->kernel_h + ERT_COLUMNS_DEPTH - 1) / ERT_COLUMNS_DEPTH;
  const int8_t *w = t->weights;
  ymm_four s = first_sums(t);
  for (int32_t kx = 0; kx < t->kernel_w; kx++) {
    const void *const *in = t->in + x * t->stride + kx * t->dilation;
    for (int32_t q = 0; q < quads; q++, w += ERT_COLUMNS_DEPTH * ERT_COLUMNS_S8) {
      ptrdiff_t row[ERT_COLUMNS_DEPTH];
      find_rows(t, q, row);
      s = add_column(s,
                     column_of(t, in + (ptrdiff_t)ERT_COLUMNS_DEPTH * q * t->columns, row, ERT_COLUMNS_DEPTH,
                               t->channels == ERT_COLUMNS_S8),
                     w);
    }
  }
  *sums = s;
}

ERT_INLINE void finish(const ert_columns_args *t, int32_t x, const ymm_four *sums, int32_t pixels, int signs) {
  const int32_t *table = t->scales;
  const ert_ymm_scales c0 = ert_ymm_scales_of(table + ERT_COLUMNS_S8, table + 2 * ERT_COLUMNS_S8, signs);
  const ert_ymm_scales c1 = ert_ymm_scales_of(table + ERT_COLUMNS_S8 + 8, table + 2 * ERT_COLUMNS_S8 + 8, signs);
  const ert_ymm_scales c2 = ert_ymm_scales_of(table + ERT_COLUMNS_S8 + 16, table + 2 * ERT_COLUMNS_S8 + 16, signs);
  const ert_ymm_scales c3 = ert_ymm_scales_of(table + ERT_COLUMNS_S8 + 24, table + 2 * ERT_COLUMNS_S8 + 24, signs);
  const __m256i zero_point = _mm256_set1_epi16((short)t->zero_point);
  const __m256i low = _mm256_set1_epi8((char)t->min), high = _mm256_set1_epi8((char)t->max);
  const __mmask32 some = (__mmask32)((UINT64_C(1) << t->channels) - 1);
  uint8_t *out = t->out + (ptrdiff_t)x * t->step;
  for (int32_t i = 0; i < pixels; i++, out += t->step) {
    const __m256i h0 = ert_ymm_requantize(sums[i].v0, &c0, signs), h1 = ert_ymm_requantize(sums[i].v1, &c1, signs);
    const __m256i h2 = ert_ymm_requantize(sums[i].v2, &c2, signs), h3 = ert_ymm_requantize(sums[i].v3, &c3, signs);
    const __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(h0, h1), zero_point);
    const __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(h2, h3), zero_point);
    const __m256i y = _mm256_max_epi8(_mm256_min_epi8(_mm256_packs_epi16(a, b), high), low);
    if (t->channels == ERT_COLUMNS_S8) _mm256_storeu_si256((__m256i *)(void *)out, y);
    else _mm256_mask_storeu_epi8(out, some, y);
  }
}

static void requantize_sums(const ert_columns_args *t, int32_t x, const ymm_four *sums, int32_t pixels) {
  if (t->min >= t->zero_point) finish(t, x, sums, pixels, 0);
  else finish(t, x, sums, pixels, 1);
}

ERT_INLINE void row_of_tiles(const ert_columns_args *t, int rows, int width, int stride, int whole) {
  ymm_four sums[ERT_COLUMNS_RUN];
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_RUN) {
    const int32_t n = t->pixels - x < ERT_COLUMNS_RUN ? t->pixels - x : ERT_COLUMNS_RUN;
    const int32_t from = n < ERT_COLUMNS_TILE ? t->pixels - ERT_COLUMNS_TILE : x,
                  pixels = n < ERT_COLUMNS_TILE ? ERT_COLUMNS_TILE : n;
    for (int32_t i = 0; i < pixels; i += ERT_COLUMNS_TILE) {
      const int32_t at = i + ERT_COLUMNS_TILE <= pixels ? i : pixels - ERT_COLUMNS_TILE;
      four_pixels(t, from + at, sums + at, rows, width, stride, whole);
    }
    requantize_sums(t, from, sums, pixels);
  }
}

ERT_APART void row_of_pixels(const ert_columns_args *t) {
  ymm_four sums[ERT_COLUMNS_RUN];
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_RUN) {
    const int32_t n = t->pixels - x < ERT_COLUMNS_RUN ? t->pixels - x : ERT_COLUMNS_RUN;
    for (int32_t i = 0; i < n; i++) one_pixel(t, x + i, sums + i);
    requantize_sums(t, x, sums, n);
  }
}

static void threes(const ert_columns_args *t) { row_of_tiles(t, 3, 3, 1, 1); }
static void threes_apart(const ert_columns_args *t) { row_of_tiles(t, 3, 3, 2, 1); }
static void fives(const ert_columns_args *t) { row_of_tiles(t, 4, 5, 1, 1); }
static void fives_apart(const ert_columns_args *t) { row_of_tiles(t, 4, 5, 2, 1); }
static void some_threes(const ert_columns_args *t) { row_of_tiles(t, 3, 3, 1, 0); }
static void some_threes_apart(const ert_columns_args *t) { row_of_tiles(t, 3, 3, 2, 0); }
static void some_fives(const ert_columns_args *t) { row_of_tiles(t, 4, 5, 1, 0); }
static void some_fives_apart(const ert_columns_args *t) { row_of_tiles(t, 4, 5, 2, 0); }

static void columns_s8(const ert_columns_args *t) {
  const int three = t->kernel_w == 3 && t->kernel_h == 3, whole = t->channels == ERT_COLUMNS_S8;
  const int tiles = t->pixels >= ERT_COLUMNS_TILE && t->dilation == 1 && t->stride <= 2 && (three || t->kernel_w == 5);
  if (!tiles) row_of_pixels(t);
  else if (three && t->stride == 1) (whole ? threes : some_threes)(t);
  else if (three) (whole ? threes_apart : some_threes_apart)(t);
  else if (t->stride == 1) (whole ? fives : some_fives)(t);
  else (whole ? fives_apart : some_fives_apart)(t);
}

ERT_END_avx512vnni

extern const ert_columns_kernel ert_columns_s8_avx512vnni;
const ert_columns_kernel ert_columns_s8_avx512vnni = {columns_s8, ERT_COLUMNS_S8, ERT_COLUMNS_DEPTH, 1};

#endif
