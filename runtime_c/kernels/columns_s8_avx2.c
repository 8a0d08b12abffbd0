/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions of int8 in sixteen registers: tiles of two neighbouring pixels, whose columns are loaded once. The
 * last tile of a row goes over a pixel that the one before has computed. */
#include "columns.h"
#include "tiles_ymm.h"

#if ERT_HAS_avx2

enum { PAIR = 2 };

/* Channels of a panel in interleaved order, eight in each. */
typedef struct {
  __m256i v0, v1, v2, v3;
} ymm_four;

ERT_BEGIN_avx2

/* The bytes of the channels that there are: nothing is read or written behind them. */
ERT_APART void copy_some(uint8_t *to, const uint8_t *x, int32_t n) {
  if (n & 16) ERT_MEMMOVE(to, x, 16), to += 16, x += 16;
  if (n & 8) ERT_MEMMOVE(to, x, 8), to += 8, x += 8;
  if (n & 4) ERT_MEMMOVE(to, x, 4), to += 4, x += 4;
  for (int32_t i = 0; i < (n & 3); i++) to[i] = x[i];
}

ERT_APART __m256i some_bytes(const uint8_t *x, int32_t n) {
  uint8_t bytes[ERT_COLUMNS_S8] = {0};
  copy_some(bytes, x, n);
  return _mm256_loadu_si256((const __m256i *)(const void *)bytes);
}

ERT_INLINE __m256i bytes_at(const ert_columns_args *t, const void *p, int whole, int kind) {
  const uint8_t *x = (const uint8_t *)p + t->offset;
  const __m256i v = whole ? _mm256_loadu_si256((const __m256i *)(const void *)x) : some_bytes(x, t->channels);
  return kind == ERT_VNNI ? _mm256_xor_si256(v, _mm256_set1_epi8(-128)) : v;
}

/* Four rows of a column of 32 channels, four successive bytes for each channel; `rows` says how many differ. */
ERT_INLINE ymm_four column_of(const ert_columns_args *t, const void *const *in, const ptrdiff_t row[ERT_COLUMNS_DEPTH],
                              int rows, int whole, int kind) {
  const __m256i r0 = bytes_at(t, in[0], whole, kind), r1 = rows > 1 ? bytes_at(t, in[row[1]], whole, kind) : r0;
  const __m256i r2 = rows > 2 ? bytes_at(t, in[row[2]], whole, kind) : r0;
  const __m256i r3 = rows > 3 ? bytes_at(t, in[row[3]], whole, kind) : r2;
  const __m256i a = _mm256_unpacklo_epi8(r0, r1), b = _mm256_unpackhi_epi8(r0, r1);
  const __m256i c = _mm256_unpacklo_epi8(r2, r3), d = _mm256_unpackhi_epi8(r2, r3);
  return (ymm_four){_mm256_unpacklo_epi16(a, c), _mm256_unpackhi_epi16(a, c), _mm256_unpacklo_epi16(b, d),
                    _mm256_unpackhi_epi16(b, d)};
}

/* `x` is a column, `m` what products take of it (tiles_ymm.h). */
ERT_INLINE ymm_four add_column(ymm_four sum, ymm_four x, ymm_four m, const int8_t *w, int kind) {
  const __m256i *v = (const __m256i *)(const void *)w;
  return (ymm_four){ymm_dot(sum.v0, x.v0, m.v0, _mm256_loadu_si256(v), kind),
                    ymm_dot(sum.v1, x.v1, m.v1, _mm256_loadu_si256(v + 1), kind),
                    ymm_dot(sum.v2, x.v2, m.v2, _mm256_loadu_si256(v + 2), kind),
                    ymm_dot(sum.v3, x.v3, m.v3, _mm256_loadu_si256(v + 3), kind)};
}

ERT_INLINE ymm_four prepared(ymm_four x, int kind) {
  if (kind == ERT_VNNI) return x;
  return (ymm_four){_mm256_abs_epi8(x.v0), _mm256_abs_epi8(x.v1), _mm256_abs_epi8(x.v2), _mm256_abs_epi8(x.v3)};
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

/* Sums of two pixels of windows of `width` columns, none of them dilated. */
ERT_INLINE void two_pixels(const ert_columns_args *t, int32_t x, ymm_four *sums, int rows, int width, int stride,
                           int whole, int kind) {
  const int32_t quads = (t->kernel_h + ERT_COLUMNS_DEPTH - 1) / ERT_COLUMNS_DEPTH,
                step = quads * ERT_COLUMNS_DEPTH * ERT_COLUMNS_S8;
  ymm_four s0 = first_sums(t), s1 = s0;
  for (int32_t q = 0; q < quads; q++) {
    const int8_t *w = (const int8_t *)t->weights + q * ERT_COLUMNS_DEPTH * ERT_COLUMNS_S8;
    const void *const *in = t->in + (ptrdiff_t)ERT_COLUMNS_DEPTH * q * t->columns + (ptrdiff_t)x * stride;
    ptrdiff_t row[ERT_COLUMNS_DEPTH];
    find_rows(t, q, row);
#define COLUMN(c)                                                                             \
  if ((c) < stride + width) {                                                                 \
    const ymm_four v = column_of(t, in + (c), row, rows, whole, kind), m = prepared(v, kind); \
    if ((c) < width) s0 = add_column(s0, v, m, w + (c)*step, kind);                           \
    if ((c) >= stride) s1 = add_column(s1, v, m, w + ((c)-stride) * step, kind);              \
  }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5) COLUMN(6)
#undef COLUMN
  }
  sums[0] = s0, sums[1] = s1;
}

/* Sums of one pixel of any window. */
ERT_INLINE void one_pixel(const ert_columns_args *t, int32_t x, ymm_four *sums, int kind) {
  const int32_t quads = (t->kernel_h + ERT_COLUMNS_DEPTH - 1) / ERT_COLUMNS_DEPTH;
  const int8_t *w = t->weights;
  ymm_four s = first_sums(t);
  for (int32_t kx = 0; kx < t->kernel_w; kx++) {
    const void *const *in = t->in + x * t->stride + kx * t->dilation;
    for (int32_t q = 0; q < quads; q++, w += ERT_COLUMNS_DEPTH * ERT_COLUMNS_S8) {
      ptrdiff_t row[ERT_COLUMNS_DEPTH];
      find_rows(t, q, row);
      const ymm_four v = column_of(t, in + (ptrdiff_t)ERT_COLUMNS_DEPTH * q * t->columns, row, ERT_COLUMNS_DEPTH,
                                   t->channels == ERT_COLUMNS_S8, kind);
      s = add_column(s, v, prepared(v, kind), w, kind);
    }
  }
  *sums = s;
}

ERT_INLINE void finish(const ert_columns_args *t, int32_t x, const ymm_four *sums, int32_t pixels, int signs) {
  const int32_t *table = t->scales;
  const ert_avx2_scales c0 = ert_avx2_scales_of(table + ERT_COLUMNS_S8, table + 2 * ERT_COLUMNS_S8, signs);
  const ert_avx2_scales c1 = ert_avx2_scales_of(table + ERT_COLUMNS_S8 + 8, table + 2 * ERT_COLUMNS_S8 + 8, signs);
  const ert_avx2_scales c2 = ert_avx2_scales_of(table + ERT_COLUMNS_S8 + 16, table + 2 * ERT_COLUMNS_S8 + 16, signs);
  const ert_avx2_scales c3 = ert_avx2_scales_of(table + ERT_COLUMNS_S8 + 24, table + 2 * ERT_COLUMNS_S8 + 24, signs);
  const __m256i zero_point = _mm256_set1_epi16((short)t->zero_point);
  const __m256i low = _mm256_set1_epi8((char)t->min), high = _mm256_set1_epi8((char)t->max);
  uint8_t *out = t->out + (ptrdiff_t)x * t->step;
  for (int32_t i = 0; i < pixels; i++, out += t->step) {
    const __m256i h0 = ert_avx2_requantize(sums[i].v0, &c0, signs), h1 = ert_avx2_requantize(sums[i].v1, &c1, signs);
    const __m256i h2 = ert_avx2_requantize(sums[i].v2, &c2, signs), h3 = ert_avx2_requantize(sums[i].v3, &c3, signs);
    const __m256i a = _mm256_adds_epi16(_mm256_packs_epi32(h0, h1), zero_point);
    const __m256i b = _mm256_adds_epi16(_mm256_packs_epi32(h2, h3), zero_point);
    const __m256i y = _mm256_max_epi8(_mm256_min_epi8(_mm256_packs_epi16(a, b), high), low);
    uint8_t rest[ERT_COLUMNS_S8], *to = t->channels == ERT_COLUMNS_S8 ? out : rest;
    _mm256_storeu_si256((__m256i *)(void *)to, y);
    if (to == rest) copy_some(out, rest, t->channels);
  }
}

static void requantize_sums(const ert_columns_args *t, int32_t x, const ymm_four *sums, int32_t pixels) {
  if (t->min >= t->zero_point) finish(t, x, sums, pixels, 0);
  else finish(t, x, sums, pixels, 1);
}

ERT_INLINE void row_of_tiles(const ert_columns_args *t, int rows, int width, int stride, int whole, int kind) {
  ymm_four sums[ERT_COLUMNS_RUN];
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_RUN) {
    const int32_t n = t->pixels - x < ERT_COLUMNS_RUN ? t->pixels - x : ERT_COLUMNS_RUN;
    const int32_t from = n < PAIR ? t->pixels - PAIR : x, pixels = n < PAIR ? PAIR : n;
    for (int32_t i = 0; i < pixels; i += PAIR) {
      const int32_t at = i + PAIR <= pixels ? i : pixels - PAIR;
      two_pixels(t, from + at, sums + at, rows, width, stride, whole, kind);
    }
    requantize_sums(t, from, sums, pixels);
  }
}

ERT_INLINE void row_of_pixels(const ert_columns_args *t, int kind) {
  ymm_four sums[ERT_COLUMNS_RUN];
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_RUN) {
    const int32_t n = t->pixels - x < ERT_COLUMNS_RUN ? t->pixels - x : ERT_COLUMNS_RUN;
    for (int32_t i = 0; i < n; i++) one_pixel(t, x + i, sums + i, kind);
    requantize_sums(t, x, sums, n);
  }
}

/* `whole` is a literal in each call, for loads of whole panels without a branch. */
ERT_INLINE void row_of_panel(const ert_columns_args *t, int whole, int kind) {
  const int three = t->kernel_w == 3 && t->kernel_h == 3;
  if (three && t->stride == 1) row_of_tiles(t, 3, 3, 1, whole, kind);
  else if (three) row_of_tiles(t, 3, 3, 2, whole, kind);
  else if (t->stride == 1) row_of_tiles(t, 4, 5, 1, whole, kind);
  else row_of_tiles(t, 4, 5, 2, whole, kind);
}

ERT_INLINE void any_row(const ert_columns_args *t, int kind) {
  const int shaped = (t->kernel_w == 3 && t->kernel_h == 3) || t->kernel_w == 5;
  if (!shaped || t->pixels < PAIR || t->dilation != 1 || t->stride > 2) row_of_pixels(t, kind);
  else if (t->channels == ERT_COLUMNS_S8) row_of_panel(t, 1, kind);
  else row_of_panel(t, 0, kind);
}

static void signed_row(const ert_columns_args *t) { any_row(t, ERT_SIGNED); }
static void vnni_row(const ert_columns_args *t) { any_row(t, ERT_VNNI); }

ERT_END_avx2

extern const ert_columns_kernel ert_columns_s8_avx2, ert_columns_s8_avxvnni;
const ert_columns_kernel ert_columns_s8_avx2 = {signed_row, ERT_COLUMNS_S8, ERT_COLUMNS_DEPTH, 1};
const ert_columns_kernel ert_columns_s8_avxvnni = {vnni_row, ERT_COLUMNS_S8, ERT_COLUMNS_DEPTH, 1};

#endif
