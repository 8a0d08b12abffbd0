/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over pixels, 32 channels at a time: they stay in registers along a row. Narrower images, maxima and what else is
 * rare go the portable way. */
#include "reduce/reduce.h"
#include "accumulate.h"

#if ERT_HAS_avx2
#include <immintrin.h>

enum { CHANNELS_AT_ONCE = 32, MOST_BYTES = 256 }; /* 256 bytes add up to 16 bits at most */

void ert_reduce_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1);
void ert_reduce_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1);

typedef struct {
  __m256i offset, multiplier, zero_point, min, max;
  __m128i left, right;
  int rounds; /* whether the shift is to the right, after a first rounding */
} finishing;

ERT_BEGIN_avx2

static void add_to(uint32_t *acc, __m256i sums) {
  const __m256i low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sums));
  const __m256i high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sums, 1));
  _mm256_storeu_si256((void *)acc, _mm256_add_epi32(_mm256_loadu_si256((void *)acc), low));
  _mm256_storeu_si256((void *)(acc + 8), _mm256_add_epi32(_mm256_loadu_si256((void *)(acc + 8)), high));
}

/* 32 channels of n pixels. */
static void sum_block_s8(uint32_t *acc, const int8_t *x, int32_t n, int32_t stride) {
  for (int32_t left = n; left > 0; left -= MOST_BYTES) {
    __m256i a = _mm256_setzero_si256(), b = a;
    for (int32_t w = left < MOST_BYTES ? left : MOST_BYTES; w > 0; w--, x += stride) {
      a = _mm256_add_epi16(a, _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)x)));
      b = _mm256_add_epi16(b, _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(x + 16))));
    }
    add_to(acc, a);
    add_to(acc + 16, b);
  }
}

static void sum_row_s8(const ert_reduce_shape *g, const int8_t *x, uint32_t *acc) {
  int32_t i = 0;
  for (; i <= g->inner - CHANNELS_AT_ONCE; i += CHANNELS_AT_ONCE) sum_block_s8(acc + i, x + i, g->width, g->inner);
  for (int32_t w = 0; i < g->inner && w < g->width; w++) ert_sum_s8(acc + i, x + w * g->inner + i, g->inner - i);
}

/* The high products of eight sums, those of even lanes and those of odd ones apart. */
ERT_INLINE __m256i doubling_product(__m256i x, __m256i multiplier) {
  const __m256i half = _mm256_set1_epi64x(1 << 30);
  const __m256i even = _mm256_add_epi64(_mm256_mul_epi32(x, multiplier), half);
  const __m256i odd = _mm256_add_epi64(_mm256_mul_epi32(_mm256_srli_epi64(x, 32), multiplier), half);
  return _mm256_blend_epi32(_mm256_srli_epi64(even, 31), _mm256_slli_epi64(odd, 1), 0xaa);
}

/* requantize.h's rescale of eight sums. */
ERT_INLINE __m256i finished(const finishing *f, __m256i sums) {
  const __m256i x = _mm256_sll_epi32(_mm256_add_epi32(sums, f->offset), f->left);
  __m256i high = doubling_product(x, f->multiplier);
  if (f->rounds) {
    const __m256i halves = _mm256_sra_epi32(_mm256_add_epi32(high, _mm256_srai_epi32(high, 31)), f->right);
    high = _mm256_srai_epi32(_mm256_add_epi32(halves, _mm256_set1_epi32(1)), 1);
  }
  return _mm256_max_epi32(f->min, _mm256_min_epi32(f->max, _mm256_add_epi32(high, f->zero_point)));
}

static void finish_s8(const ert_reduce_s8_params *p, const uint32_t *acc, int8_t *out) {
  const finishing f = {
      _mm256_set1_epi32(p->offset),      _mm256_set1_epi32(p->multiplier),
      _mm256_set1_epi32(p->zero_point),  _mm256_set1_epi32(p->min),
      _mm256_set1_epi32(p->max),         _mm_cvtsi32_si128(p->shift < 0 ? 0 : p->shift & 31),
      _mm_cvtsi32_si128(~p->shift & 31), p->shift < 0,
  };
  for (int32_t i = 0; i < p->shape.inner; i += 8) {
    const int32_t n = p->shape.inner - i < 8 ? p->shape.inner - i : 8;
    int32_t items[8] = {0};
    ERT_MEMMOVE(items, acc + i, n * 4);
    _mm256_storeu_si256((void *)items, finished(&f, _mm256_loadu_si256((const void *)items)));
    for (int32_t k = 0; k < n; k++) out[i + k] = (int8_t)items[k];
  }
}

void ert_reduce_s8_x32__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_s8_params *p = (const void *)c->params;
  const ert_reduce_shape *g = &p->shape;
  if (g->kind != ERT_REDUCE_REQUANTIZE || g->inner < CHANNELS_AT_ONCE) {
    ert_reduce_s8_x1__c(c, y0, y1);
    return;
  }
  uint32_t *acc = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / g->in_rows, r = y - row * g->in_rows;
    if (r == 0) ERT_MEMSET(acc, 0, g->inner * 4);
    sum_row_s8(g, ert_row(&c->in[0], y), acc);
    if (r == g->in_rows - 1) finish_s8(p, acc, ert_out_row(&c->out, row));
  }
}

/* 32 channels of n pixels. */
static void sum_block_f32(float *acc, const float *x, int32_t n, int32_t stride) {
  __m256 sum[4];
  for (int k = 0; k < 4; k++) sum[k] = _mm256_loadu_ps(acc + 8 * k);
  for (int32_t w = 0; w < n; w++, x += stride)
    for (int k = 0; k < 4; k++) sum[k] = _mm256_add_ps(sum[k], _mm256_loadu_ps(x + 8 * k));
  for (int k = 0; k < 4; k++) _mm256_storeu_ps(acc + 8 * k, sum[k]);
}

static void sum_row_f32(const ert_reduce_shape *g, const float *x, float *acc) {
  int32_t i = 0;
  for (; i <= g->inner - CHANNELS_AT_ONCE; i += CHANNELS_AT_ONCE) sum_block_f32(acc + i, x + i, g->width, g->inner);
  for (int32_t w = 0; i < g->inner && w < g->width; w++) ert_sum_f32(acc + i, x + w * g->inner + i, g->inner - i);
}

void ert_reduce_f32_x32__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_f32_params *p = (const void *)c->params;
  const ert_reduce_shape *g = &p->shape;
  if (g->kind != ERT_REDUCE_REQUANTIZE || g->inner < CHANNELS_AT_ONCE) {
    ert_reduce_f32_x1__c(c, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / g->in_rows, r = y - row * g->in_rows;
    float *out = ert_out_row(&c->out, row);
    if (r == 0) ERT_MEMSET(out, 0, g->inner * 4);
    sum_row_f32(g, ert_row(&c->in[0], y), out);
    for (int32_t i = 0; r == g->in_rows - 1 && i < g->inner; i++) out[i] *= p->scale;
  }
}

ERT_END_avx2

#endif
