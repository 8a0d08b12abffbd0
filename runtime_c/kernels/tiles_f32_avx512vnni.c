/* SPDX-License-Identifier: Apache-2.0 */
/* Floats: 6 pixels x up to 4 panels of 16 channels, 24 sums in registers; an input is broadcast once for four products of
 * vectors. Arrays whose indices are all literal stay in registers whatever the compiler's flags: hence EACH_PIXEL. */
#include "tiles_x86.h"

#if ERT_HAS_avx512vnni
#include <immintrin.h>

enum { PIXELS = 6, PANELS = 4, NR = 16 };

#define EACH_PIXEL(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* A vector for each panel that there is. */
typedef struct {
  __m512 p0, p1, p2, p3;
} vectors;

ERT_BEGIN_avx512vnni

    ERT_INLINE vectors
    load(const float *from, ptrdiff_t stride, int panels) {
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
ERT_INLINE void store_panel(const ert_tile *t, float *out, __m512 v, int p, int panels) {
  v = _mm512_max_ps(_mm512_set1_ps(t->low), _mm512_min_ps(_mm512_set1_ps(t->high), v));
  const int32_t left = t->channels - NR * p;
  if (p + 1 < panels || left >= NR) _mm512_storeu_ps(out + NR * p, v);
  else _mm512_mask_storeu_ps(out + NR * p, (__mmask16)((1u << left) - 1), v);
}

ERT_INLINE void store(const ert_tile *t, float *out, vectors v, int panels) {
  store_panel(t, out, v.p0, 0, panels);
  if (panels > 1) store_panel(t, out, v.p1, 1, panels);
  if (panels > 2) store_panel(t, out, v.p2, 2, panels);
  if (panels > 3) store_panel(t, out, v.p3, 3, panels);
}

ERT_INLINE void tile(const ert_tile *t, int pixels, int panels) {
  const ptrdiff_t panel = (ptrdiff_t)t->runs * t->run * NR;
  const float *w = t->weights;
  const void *const *in = t->in;
  const vectors b = load(t->scales, NR, panels);
  vectors a[PIXELS] = {b, b, b, b, b, b};
  for (int32_t r = 0; r < t->runs; r++, in += t->stride) {
    const float *x[PIXELS];
#define PIXEL(i) x[i] = i < pixels ? in[i] : NULL;
    EACH_PIXEL(PIXEL)
#undef PIXEL
    for (ptrdiff_t k = 0; k < t->run; k++, w += NR) {
      const vectors v = load(w, panel, panels);
#define PIXEL(i) if (i < pixels) a[i] = add(a[i], x[i] + k, v, panels);
      EACH_PIXEL(PIXEL)
#undef PIXEL
    }
  }
#define PIXEL(i) if (i < pixels) store(t, t->out[i], a[i], panels);
  EACH_PIXEL(PIXEL)
#undef PIXEL
}

#define TILES(pixels)                                  \
  static void tiles##pixels(const ert_tile *t) {       \
    if (t->channels > 3 * NR) tile(t, pixels, 4);      \
    else if (t->channels > 2 * NR) tile(t, pixels, 3); \
    else if (t->channels > NR) tile(t, pixels, 2);     \
    else tile(t, pixels, 1);                           \
  }
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)

ERT_END_avx512vnni

    static ert_tile_fn *const by_pixels[] = {tiles1, tiles2, tiles3, tiles4, tiles5, tiles6};
const ert_tiling ert_tiling_f32_avx512vnni = {by_pixels, PIXELS, NR *PANELS, 1, 4};

#endif
