/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 6 pixels x up to 4 panels of 16 channels, 24 sums in registers; an input is broadcast once for four products of
 * vectors. */
#include "tiles_x86.h"

#if ERT_HAS_avx512vnni
#include <immintrin.h>

#define NR ERT_ZMM_CHANNELS

/* A vector for each panel that there is. */
typedef struct {
  __m512 p0, p1, p2, p3;
} vectors;

ERT_BEGIN_avx512vnni

ERT_INLINE vectors load(const float *from, ptrdiff_t stride, int panels) {
  vectors v;
  v.p0 = v.p1 = v.p2 = v.p3 = _mm512_loadu_ps(from);
  if (panels > 1) v.p1 = _mm512_loadu_ps(from + stride);
  if (panels > 2) v.p2 = _mm512_loadu_ps(from + 2 * stride);
  if (panels > 3) v.p3 = _mm512_loadu_ps(from + 3 * stride);
  return v;
}

ERT_INLINE vectors add(vectors a, const float *x, vectors w, int panels) {
  const __m512 v = _mm512_set1_ps(*x);
  a.p0 = _mm512_fmadd_ps(v, w.p0, a.p0);
  if (panels > 1) a.p1 = _mm512_fmadd_ps(v, w.p1, a.p1);
  if (panels > 2) a.p2 = _mm512_fmadd_ps(v, w.p2, a.p2);
  if (panels > 3) a.p3 = _mm512_fmadd_ps(v, w.p3, a.p3);
  return a;
}

/* The channels of panel p that there are. min and max return their second operand for a NaN: a sum goes through. */
ERT_INLINE void store_panel(const ert_tile_args *t, float *out, __m512 v, int p, int panels) {
  v = _mm512_max_ps(_mm512_set1_ps(t->low), _mm512_min_ps(_mm512_set1_ps(t->high), v));
  const int32_t left = t->channels - NR * p;
  if (p + 1 < panels || left >= NR) _mm512_storeu_ps(out + NR * p, v);
  else _mm512_mask_storeu_ps(out + NR * p, (__mmask16)((1u << left) - 1), v);
}

ERT_INLINE void store(const ert_tile_args *t, float *out, vectors v, int panels) {
  store_panel(t, out, v.p0, 0, panels);
  if (panels > 1) store_panel(t, out, v.p1, 1, panels);
  if (panels > 2) store_panel(t, out, v.p2, 2, panels);
  if (panels > 3) store_panel(t, out, v.p3, 3, panels);
}

ERT_INLINE void zmm_f32(const ert_tile_args *t, int pixels, int panels) {
  const ptrdiff_t panel = (ptrdiff_t)t->runs * t->run * NR;
  const float *w = t->weights;
  const void *const *in = t->in;
  const vectors b = load(t->scales, NR, panels);
  vectors a[ERT_ZMM_PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) {
    const float *x[ERT_ZMM_PIXELS];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
    ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    for (ptrdiff_t k = 0; k < t->run; k++, w += NR) {
      const vectors v = load(w, panel, panels);
#define PIXEL(i) \
  if (i < pixels) a[i] = add(a[i], x[i] + k, v, panels);
      ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  }
#define PIXEL(i) \
  if (i < pixels) store(t, t->out[i], a[i], panels);
  ERT_EACH_PIXEL(PIXEL)
#undef PIXEL
}

ERT_ZMM_TILES(zmm_f32)

ERT_END_avx512vnni

const ert_tiling ert_tiling_f32_avx512vnni = {
    zmm_f32_by_pixels, ERT_ZMM_PIXELS, {NR * ERT_ZMM_PANELS, 1, 4, 32, ERT_SCALES_F32}, NULL, 0};

#endif
