/* SPDX-License-Identifier: Apache-2.0 */
/* Eight floats at a time. min and max return their second operand for a NaN: a result goes through. */
#include "binary/walk.h"

#if ERT_HAS_avx2
#include <immintrin.h>

ERT_WALK_RUNS(ert_walk_runs_f32, float)

ERT_BEGIN_avx2

ERT_INLINE __m256 ymm_at(const float *x, int32_t step) { return step ? _mm256_loadu_ps(x) : _mm256_broadcast_ss(x); }

ERT_INLINE __m256 combined(__m256 a, __m256 b, int is_sum) {
  return is_sum ? _mm256_add_ps(a, b) : _mm256_mul_ps(a, b);
}

/* The last items go through memory of their own: others may lie behind them. */
ERT_INLINE void items(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n, __m256 sign,
                      float min, float max, int is_sum) {
  const __m256 low = _mm256_set1_ps(min), high = _mm256_set1_ps(max);
  const int32_t a_step = g->a_item, b_step = g->b_item;
  for (; n >= 8; n -= 8, a += 8 * a_step, b += 8 * b_step, out += 8) {
    const __m256 y = _mm256_xor_ps(ymm_at(b, b_step), sign);
    _mm256_storeu_ps(out, _mm256_max_ps(low, _mm256_min_ps(high, combined(ymm_at(a, a_step), y, is_sum))));
  }
  float rest[3][8] = {{0}};
  for (int32_t i = 0; i < n; i++) rest[0][i] = a[i * a_step], rest[1][i] = b[i * b_step];
  const __m256 y = _mm256_xor_ps(_mm256_loadu_ps(rest[1]), sign);
  _mm256_storeu_ps(rest[2], _mm256_max_ps(low, _mm256_min_ps(high, combined(_mm256_loadu_ps(rest[0]), y, is_sum))));
  for (int32_t i = 0; i < n; i++) out[i] = rest[2][i];
}

static void add_items(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const ert_add_f32_params *p = (const void *)g;
  items(g, a, b, out, n, _mm256_set1_ps(p->b_sign < 0 ? -0.0f : 0.0f), p->min, p->max, 1);
}

static void mul_items(const ert_binary_shape *g, const float *a, const float *b, float *out, int32_t n) {
  const ert_mul_f32_params *p = (const void *)g;
  items(g, a, b, out, n, _mm256_setzero_ps(), p->min, p->max, 0);
}

ERT_END_avx2

void ert_add_f32_x8__avx2(const ert_call *c, int32_t y0, int32_t y1) { ert_walk_runs_f32(c, y0, y1, add_items); }
void ert_mul_f32_x8__avx2(const ert_call *c, int32_t y0, int32_t y1) { ert_walk_runs_f32(c, y0, y1, mul_items); }

#endif
