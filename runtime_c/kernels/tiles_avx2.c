/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 6 pixels x 16 channels, 12 sums in registers; 2 loads of weights and 6 broadcasts for 12 multiplications. */
#include "tiles_x86.h"

#if ERT_HAS_avx2
#include <immintrin.h>

/* The channels of a pixel. */
typedef struct {
  __m256 low, high;
} sixteen;

ERT_BEGIN_avx2

/* min and max return their second operand for a NaN: a sum goes through. */
ERT_INLINE __m256 limited(const ert_tile_args *t, __m256 v) {
  return _mm256_max_ps(_mm256_set1_ps(t->low), _mm256_min_ps(_mm256_set1_ps(t->high), v));
}

ERT_INLINE void store(const ert_tile_args *t, float *out, sixteen v) {
  float rest[16];
  float *to = t->channels == 16 ? out : rest;
  _mm256_storeu_ps(to, limited(t, v.low));
  _mm256_storeu_ps(to + 8, limited(t, v.high));
  if (to == rest)
    for (int32_t o = 0; o < t->channels; o++) out[o] = rest[o];
}

ERT_INLINE sixteen add(sixteen a, const float *x, sixteen w) {
  const __m256 v = _mm256_broadcast_ss(x);
  return (sixteen){_mm256_fmadd_ps(v, w.low, a.low), _mm256_fmadd_ps(v, w.high, a.high)};
}

ERT_INLINE sixteen load(const float *x) { return (sixteen){_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)}; }

ERT_INLINE void tile(const ert_tile_args *t, int pixels) {
  const float *w = t->weights;
  const void *const *in = t->in;
  const sixteen b = load(t->scales);
  sixteen a[6] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) {
    const float *x[6];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    for (ptrdiff_t k = 0; k < t->run; k++, w += 16) {
      const sixteen v = load(w);
#define PIXEL(i) \
  if (i < pixels) a[i] = add(a[i], x[i] + k, v);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  }
#define PIXEL(i) \
  if (i < pixels) store(t, t->out[i], a[i]);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

static void tile1(const ert_tile_args *t) { tile(t, 1); }
static void tile2(const ert_tile_args *t) { tile(t, 2); }
static void tile3(const ert_tile_args *t) { tile(t, 3); }
static void tile4(const ert_tile_args *t) { tile(t, 4); }
static void tile5(const ert_tile_args *t) { tile(t, 5); }
static void tile6(const ert_tile_args *t) { tile(t, 6); }

ERT_END_avx2

static ert_tile_fn *const by_pixels[] = {tile1, tile2, tile3, tile4, tile5, tile6};
const ert_tiling ert_tiling_f32_avx2 = {by_pixels, 6, {16, 1, 4, 32, ERT_SCALES_F32}, NULL, 0};

#endif
