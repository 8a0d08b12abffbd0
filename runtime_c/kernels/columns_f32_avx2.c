/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions of floats: tiles of four neighbouring pixels x 16 channels, whose columns are loaded once. The
 * last tile of a row goes over pixels that the one before has computed. */
#include "columns.h"

#if ERT_HAS_avx2
#include <immintrin.h>

typedef struct {
  __m256 low, high;
} eights;

ERT_BEGIN_avx2

ERT_APART eights some_floats(const float *x, int32_t n) {
  float rest[ERT_COLUMNS_F32] = {0};
  for (int32_t o = 0; o < n; o++) rest[o] = x[o];
  return (eights){_mm256_loadu_ps(rest), _mm256_loadu_ps(rest + 8)};
}

ERT_INLINE eights column_of(const ert_columns_args *t, const void *p, int whole) {
  const float *x = (const float *)(const void *)((const uint8_t *)p + t->offset);
  return whole ? (eights){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)} : some_floats(x, t->channels);
}

ERT_INLINE eights add_column(eights sum, eights x, const float *w) {
  return (eights){_mm256_fmadd_ps(x.low, _mm256_loadu_ps(w), sum.low),
                  _mm256_fmadd_ps(x.high, _mm256_loadu_ps(w + 8), sum.high)};
}

/* min and max return their second operand for a NaN: a sum goes through. */
ERT_INLINE __m256 limited(const ert_columns_args *t, __m256 v) {
  return _mm256_max_ps(_mm256_set1_ps(t->low), _mm256_min_ps(_mm256_set1_ps(t->high), v));
}

ERT_INLINE void store(const ert_columns_args *t, int32_t x, eights v, int whole) {
  float *out = (float *)(void *)(t->out + (ptrdiff_t)x * t->step), rest[ERT_COLUMNS_F32], *to = whole ? out : rest;
  _mm256_storeu_ps(to, limited(t, v.low));
  _mm256_storeu_ps(to + 8, limited(t, v.high));
  for (int32_t o = 0; !whole && o < t->channels; o++) out[o] = rest[o];
}

ERT_INLINE eights first_sum(const ert_columns_args *t) {
  const float *bias = t->scales;
  return (eights){_mm256_loadu_ps(bias), _mm256_loadu_ps(bias + 8)};
}

/* Four pixels of windows of `width` columns, none of them dilated. */
ERT_INLINE void four_pixels(const ert_columns_args *t, int32_t x, int width, int stride, int whole) {
  const float *w = t->weights;
  const void *const *in = t->in + (ptrdiff_t)x * stride;
  eights s0 = first_sum(t), s1 = s0, s2 = s0, s3 = s0;
  for (int32_t ky = 0; ky < t->kernel_h; ky++, in += t->columns, w += width * ERT_COLUMNS_F32) {
#define WEIGHT(i) w + (i)*ERT_COLUMNS_F32
#define COLUMN(c)                                                                                      \
  if ((c) < 3 * stride + width) {                                                                      \
    const eights v = column_of(t, in[c], whole);                                                       \
    if ((c) < width) s0 = add_column(s0, v, WEIGHT(c));                                                \
    if ((c) >= stride && (c) < stride + width) s1 = add_column(s1, v, WEIGHT((c)-stride));             \
    if ((c) >= 2 * stride && (c) < 2 * stride + width) s2 = add_column(s2, v, WEIGHT((c)-2 * stride)); \
    if ((c) >= 3 * stride) s3 = add_column(s3, v, WEIGHT((c)-3 * stride));                             \
  }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5) COLUMN(6) COLUMN(7) COLUMN(8) COLUMN(9) COLUMN(10)
#undef COLUMN
#undef WEIGHT
  }
  store(t, x, s0, whole), store(t, x + 1, s1, whole), store(t, x + 2, s2, whole), store(t, x + 3, s3, whole);
}

/* Pixels of any windows. */
ERT_APART void row_of_pixels(const ert_columns_args *t) {
  const int whole = t->channels == ERT_COLUMNS_F32;
  for (int32_t x = 0; x < t->pixels; x++) {
    const float *w = t->weights;
    eights sum = first_sum(t);
    for (int32_t ky = 0; ky < t->kernel_h; ky++) {
      const void *const *in = t->in + (ptrdiff_t)ky * t->columns + (ptrdiff_t)x * t->stride;
      for (int32_t kx = 0; kx < t->kernel_w; kx++, w += ERT_COLUMNS_F32)
        sum = add_column(sum, column_of(t, in[(ptrdiff_t)kx * t->dilation], whole), w);
    }
    store(t, x, sum, whole);
  }
}

ERT_INLINE void row_of_tiles(const ert_columns_args *t, int width, int stride, int whole) {
  for (int32_t x = 0; x < t->pixels; x += ERT_COLUMNS_TILE)
    four_pixels(t, x + ERT_COLUMNS_TILE <= t->pixels ? x : t->pixels - ERT_COLUMNS_TILE, width, stride, whole);
}

static void threes(const ert_columns_args *t) { row_of_tiles(t, 3, 1, 1); }
static void threes_apart(const ert_columns_args *t) { row_of_tiles(t, 3, 2, 1); }
static void fives(const ert_columns_args *t) { row_of_tiles(t, 5, 1, 1); }
static void fives_apart(const ert_columns_args *t) { row_of_tiles(t, 5, 2, 1); }
static void sevens(const ert_columns_args *t) { row_of_tiles(t, 7, 1, 1); }
static void some_threes(const ert_columns_args *t) { row_of_tiles(t, 3, 1, 0); }
static void some_threes_apart(const ert_columns_args *t) { row_of_tiles(t, 3, 2, 0); }
static void some_fives(const ert_columns_args *t) { row_of_tiles(t, 5, 1, 0); }
static void some_fives_apart(const ert_columns_args *t) { row_of_tiles(t, 5, 2, 0); }
static void some_sevens(const ert_columns_args *t) { row_of_tiles(t, 7, 1, 0); }

/* Whether four pixels at once are computed: windows as wide as there are functions for. */
static int has_tiles(const ert_columns_args *t) {
  if (t->pixels < ERT_COLUMNS_TILE || t->dilation != 1) return 0;
  return t->kernel_w == 7 ? t->stride == 1 : t->stride <= 2 && (t->kernel_w == 3 || t->kernel_w == 5);
}

static void columns_f32(const ert_columns_args *t) {
  const int three = t->kernel_w == 3, whole = t->channels == ERT_COLUMNS_F32;
  if (!has_tiles(t)) row_of_pixels(t);
  else if (t->kernel_w == 7) (whole ? sevens : some_sevens)(t);
  else if (three && t->stride == 1) (whole ? threes : some_threes)(t);
  else if (three) (whole ? threes_apart : some_threes_apart)(t);
  else if (t->stride == 1) (whole ? fives : some_fives)(t);
  else (whole ? fives_apart : some_fives_apart)(t);
}

ERT_END_avx2

extern const ert_columns_kernel ert_columns_f32_avx2;
const ert_columns_kernel ert_columns_f32_avx2 = {columns_f32, ERT_COLUMNS_F32, 1, 4};

#endif
