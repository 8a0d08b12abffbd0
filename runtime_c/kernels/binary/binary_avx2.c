/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int8, 32 at a time: for eight of them two loads that widen, two products, two sums and a shift.
 * Sums and products of floats, eight at a time. */
#include "binary/walk.h"

#if ERT_HAS_avx2
#include <immintrin.h>

enum { SUMS_AT_ONCE = 32 };

typedef struct {
  __m256i low, high;
} limits;

typedef struct {
  __m256i a_factor, b_factor, offset;
  __m128i shift;
} linear;

typedef struct {
  __m256i base, multiplier, offset;
  __m128i shift;
} rounding;

typedef struct {
  rounding a, b;
} dense;

ERT_BEGIN_avx2

/* Eight sums from their constants. */
typedef __m256i eight_fn(const void *constants, const int8_t *a, const int8_t *b);

ERT_INLINE __m256i wide(const int8_t *x) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)x)); }

ERT_INLINE __m256i eight_linear(const void *constants, const int8_t *a, const int8_t *b) {
  const linear *k = constants;
  const __m256i first = _mm256_add_epi32(_mm256_mullo_epi32(wide(a), k->a_factor), k->offset);
  return _mm256_sra_epi32(_mm256_add_epi32(first, _mm256_mullo_epi32(wide(b), k->b_factor)), k->shift);
}

/* binary.h's rescale of dense sums. */
ERT_INLINE __m256i rescaled(const rounding *k, __m256i x) {
  const __m256i half = _mm256_set1_epi64x((int64_t)1 << 31);
  const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, k->multiplier), half);
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), k->multiplier), half);
  const __m256i high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
  const __m256i moved = _mm256_add_epi32(_mm256_add_epi32(high, k->offset), _mm256_srai_epi32(x, 31));
  return _mm256_sra_epi32(moved, k->shift);
}

ERT_INLINE __m256i eight_dense(const void *constants, const int8_t *a, const int8_t *b) {
  const dense *k = constants;
  const __m256i small = rescaled(&k->b, _mm256_add_epi32(_mm256_slli_epi32(wide(b), 21), k->b.base));
  const __m256i large = _mm256_add_epi32(_mm256_slli_epi32(wide(a), 20), k->a.base);
  return rescaled(&k->a, _mm256_add_epi32(large, _mm256_add_epi32(small, small)));
}

/* Packing works within halves: the fours come out as 0 2 4 6 1 3 5 7 of the eight that went in. */
ERT_INLINE void block(eight_fn *eight, const void *k, const limits *l, const int8_t *a, const int8_t *b, int8_t *out) {
  const __m256i first = _mm256_packs_epi32(eight(k, a, b), eight(k, a + 8, b + 8));
  const __m256i last = _mm256_packs_epi32(eight(k, a + 16, b + 16), eight(k, a + 24, b + 24));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, last), order);
  _mm256_storeu_si256((void *)out, _mm256_max_epi8(l->low, _mm256_min_epi8(l->high, bytes)));
}

ERT_INLINE void add_row(eight_fn *eight, const void *k, const limits *l, const int8_t *a, const int8_t *b, int8_t *out,
                        int32_t n) {
  int32_t i = 0;
  for (; i <= n - SUMS_AT_ONCE; i += SUMS_AT_ONCE) block(eight, k, l, a + i, b + i, out + i);
  if (i == n) return;
  int8_t rest[3][SUMS_AT_ONCE] = {{0}}; /* nothing is read or written past the ends */
  ERT_MEMMOVE(rest[0], a + i, n - i);
  ERT_MEMMOVE(rest[1], b + i, n - i);
  block(eight, k, l, rest[0], rest[1], rest[2]);
  ERT_MEMMOVE(out + i, rest[2], n - i);
}

ERT_INLINE limits limits_of(int32_t min, int32_t max) {
  return (limits){_mm256_set1_epi8((char)min), _mm256_set1_epi8((char)max)};
}

void ert_add_s8s8_x32__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_linear_params *p = (const void *)c->params;
  const limits l = limits_of(p->min, p->max);
  const linear k = {_mm256_set1_epi32(p->a_factor), _mm256_set1_epi32(p->b_factor), _mm256_set1_epi32(p->offset),
                    _mm_cvtsi32_si128(p->shift)};
  for (int32_t y = y0; y < y1; y++)
    add_row(eight_linear, &k, &l, ert_row(&c->in[0], y), ert_row(&c->in[1], y), ert_out_row(&c->out, y),
            p->shape.w * p->shape.c);
}

void ert_add_s8s8_x8__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_dense_params *p = (const void *)c->params;
  const limits l = limits_of(p->min, p->max);
  const dense k = {{_mm256_set1_epi32(p->a_base), _mm256_set1_epi32(p->multiplier), _mm256_set1_epi32(p->offset),
                    _mm_cvtsi32_si128(p->shift & 31)},
                   {_mm256_set1_epi32(p->b_base), _mm256_set1_epi32(p->b_multiplier), _mm256_set1_epi32(p->b_half),
                    _mm_cvtsi32_si128(p->b_shift & 31)}};
  for (int32_t y = y0; y < y1; y++)
    add_row(eight_dense, &k, &l, ert_row(&c->in[0], y), ert_row(&c->in[1], y), ert_out_row(&c->out, y),
            p->shape.w * p->shape.c);
}

/* Eight items of an operand from item i on, or one that stands for all. */
ERT_INLINE __m256 items(const float *x, int32_t step, int32_t i) {
  return step ? _mm256_loadu_ps(x + i) : _mm256_set1_ps(*x);
}

ERT_INLINE __m256 clamped(__m256 x, float low, float high) { /* min and max give their second operand for a NaN */
  return _mm256_max_ps(_mm256_set1_ps(low), _mm256_min_ps(_mm256_set1_ps(high), x));
}

static float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static void add_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_add_f32_params *p = (const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  const __m256 sign = _mm256_set1_ps(p->b_sign);
  int32_t i = 0;
  for (; i <= g->c - 8; i += 8) {
    const __m256 sum = _mm256_add_ps(items(a, g->a_item, i), _mm256_mul_ps(sign, items(b, g->b_item, i)));
    _mm256_storeu_ps(out + i, clamped(sum, p->min, p->max));
  }
  for (; i < g->c; i++) out[i] = clamp(a[i * g->a_item] + p->b_sign * b[i * g->b_item], p->min, p->max);
}

static void mul_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_mul_f32_params *p = (const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  int32_t i = 0;
  for (; i <= g->c - 8; i += 8) {
    const __m256 product = _mm256_mul_ps(items(a, g->a_item, i), items(b, g->b_item, i));
    _mm256_storeu_ps(out + i, clamped(product, p->min, p->max));
  }
  for (; i < g->c; i++) out[i] = clamp(a[i * g->a_item] * b[i * g->b_item], p->min, p->max);
}

void ert_add_f32_x8__avx2(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, add_f32); }
void ert_mul_f32_x8__avx2(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, mul_f32); }

ERT_END_avx2

#endif
