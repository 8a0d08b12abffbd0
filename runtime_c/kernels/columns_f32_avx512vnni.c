/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions of floats: tiles of four neighbouring pixels x 16 channels, whose columns are loaded once. The
 * last tile of a row goes over pixels that the one before has computed. */
#include "columns.h"

#if ERT_HAS_avx512vnni
#include <immintrin.h>

ERT_BEGIN_avx512vnni

ERT_INLINE __m512 column_of(const ert_columns_args *t, const void *p, int whole) {
  const float *x = (const float *)(const void *)((const uint8_t *)p + t->offset);
  return whole ? _mm512_loadu_ps(x) : _mm512_maskz_loadu_ps((__mmask16)((1u << t->channels) - 1), x);
}

/* min and max return their second operand for a NaN: a sum goes through. */
ERT_INLINE void store(const ert_columns_args *t, int32_t x, __m512 v, int whole) {
  float *out = (float *)(void *)(t->out + (ptrdiff_t)x * t->step);
  v = _mm512_max_ps(_mm512_set1_ps(t->low), _mm512_min_ps(_mm512_set1_ps(t->high), v));
  if (whole) _mm512_storeu_ps(out, v);
  else _mm512_mask_storeu_ps(out, (__mmask16)((1u << t->channels) - 1), v);
}

/* Four pixels of windows of `width` columns, none of them dilated. */
ERT_INLINE void four_pixels(const ert_columns_args *t, int32_t x, int width, int stride, int whole) {
  const float *w = t->weights;
  const void *const *in = t->in + (ptrdiff_t)x * stride;
  __m512 s0 = _mm512_loadu_ps(t->scales), s1 = s0, s2 = s0, s3 = s0;
  for (int32_t ky = 0; ky < t->kernel_h; ky++, in += t->columns, w += width * ERT_COLUMNS_F32) {
#define WEIGHT(i) _mm512_loadu_ps(w + (i)*ERT_COLUMNS_F32)
#define COLUMN(c)                                                                                           \
  if ((c) < 3 * stride + width) {                                                                           \
    const __m512 v = column_of(t, in[c], whole);                                                            \
    if ((c) < width) s0 = _mm512_fmadd_ps(v, WEIGHT(c), s0);                                                \
    if ((c) >= stride && (c) < stride + width) s1 = _mm512_fmadd_ps(v, WEIGHT((c)-stride), s1);             \
    if ((c) >= 2 * stride && (c) < 2 * stride + width) s2 = _mm512_fmadd_ps(v, WEIGHT((c)-2 * stride), s2); \
    if ((c) >= 3 * stride) s3 = _mm512_fmadd_ps(v, WEIGHT((c)-3 * stride), s3);                             \
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
    __m512 sum = _mm512_loadu_ps(t->scales);
    for (int32_t ky = 0; ky < t->kernel_h; ky++) {
      const void *const *in = t->in + (ptrdiff_t)ky * t->columns + (ptrdiff_t)x * t->stride;
      for (int32_t kx = 0; kx < t->kernel_w; kx++, w += ERT_COLUMNS_F32)
        sum = _mm512_fmadd_ps(column_of(t, in[(ptrdiff_t)kx * t->dilation], whole), _mm512_loadu_ps(w), sum);
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

ERT_END_avx512vnni

extern const ert_columns_kernel ert_columns_f32_avx512vnni;
const ert_columns_kernel ert_columns_f32_avx512vnni = {columns_f32, ERT_COLUMNS_F32, 1, 4};

#endif
