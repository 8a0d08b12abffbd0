/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 6 pixels x 16 channels, 12 sums in registers; 2 loads of weights and 6 broadcasts for 12 multiplications. */
#include "tiles_x86.h"

#if ERT_HAS_avx2
#include <immintrin.h>

ERT_BEGIN_avx2

static void store(const ert_tile_args *t, float *out, __m256 a, __m256 b) {
  const __m256 low = _mm256_set1_ps(t->low), high = _mm256_set1_ps(t->high);
  float both[16];
  /* min and max return their second operand for a NaN: the sum goes through. */
  _mm256_storeu_ps(both, _mm256_max_ps(low, _mm256_min_ps(high, a)));
  _mm256_storeu_ps(both + 8, _mm256_max_ps(low, _mm256_min_ps(high, b)));
  if (t->channels == 16) {
    _mm256_storeu_ps(out, _mm256_loadu_ps(both));
    _mm256_storeu_ps(out + 8, _mm256_loadu_ps(both + 8));
  } else {
    for (int32_t o = 0; o < t->channels; o++) out[o] = both[o];
  }
}

ERT_INLINE void tile(const ert_tile_args *t, int32_t pixels) {
  const float *w = t->weights, *bias = t->scales;
  __m256 a[6], b[6];
  for (int i = 0; i < pixels; i++) a[i] = _mm256_loadu_ps(bias), b[i] = _mm256_loadu_ps(bias + 8);
  for (int32_t r = 0; r < t->runs; r++) {
    const float *x[6];
    for (int i = 0; i < pixels; i++) x[i] = t->in[r * t->stride + i];
    for (int32_t k = 0; k < t->run; k++, w += 16) {
      const __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8);
      for (int i = 0; i < pixels; i++) {
        const __m256 v = _mm256_broadcast_ss(x[i] + k);
        a[i] = _mm256_fmadd_ps(v, w0, a[i]);
        b[i] = _mm256_fmadd_ps(v, w1, b[i]);
      }
    }
  }
  for (int i = 0; i < pixels; i++) store(t, t->out[i], a[i], b[i]);
}

static void tile1(const ert_tile_args *t) { tile(t, 1); }
static void tile2(const ert_tile_args *t) { tile(t, 2); }
static void tile3(const ert_tile_args *t) { tile(t, 3); }
static void tile4(const ert_tile_args *t) { tile(t, 4); }
static void tile5(const ert_tile_args *t) { tile(t, 5); }
static void tile6(const ert_tile_args *t) { tile(t, 6); }

/* Sixteen channels of a pixel. */
static void depthwise(const ert_tile_args *t) {
  const float *w = t->weights, *bias = t->scales;
  __m256 a = _mm256_loadu_ps(bias), b = _mm256_loadu_ps(bias + 8);
  for (int32_t r = 0; r < t->runs; r++, w += 16) {
    const float *x = (const float *)((const uint8_t *)t->in[r * t->stride] + t->offset);
    float rest[16] = {0};
    if (t->channels < 16) {
      for (int32_t o = 0; o < t->channels; o++) rest[o] = x[o];
      x = rest;
    }
    a = _mm256_fmadd_ps(_mm256_loadu_ps(x), _mm256_loadu_ps(w), a);
    b = _mm256_fmadd_ps(_mm256_loadu_ps(x + 8), _mm256_loadu_ps(w + 8), b);
  }
  store(t, t->out[0], a, b);
}

ERT_END_avx2

static ert_tile_fn *const one_pixel[] = {depthwise};
const ert_tiling ert_depthwise_f32_avx2 = {one_pixel, 1, 16, 1, 4};

static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4, tile5, tile6};
const ert_tiling ert_tiling_f32_avx2 = {by_pixels, 6, 16, 1, 4};

#endif
