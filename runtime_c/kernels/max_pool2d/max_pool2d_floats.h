/* SPDX-License-Identifier: Apache-2.0 */
/* The float rows of max_pool2d_c.c on vectors, as those of max_pool2d_bytes.h. */
#ifndef ERT_MAX_POOL2D_FLOATS_H
#define ERT_MAX_POOL2D_FLOATS_H

#include "floats.h"
#include "max_pool2d/max_pool2d.h"
#include "pool_vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

/* -infinity */
ERT_INLINE ert_v ert_v_least(void) { return (ert_v)((ert_v_u32){0} + 0xff800000u); }

/* A NaN on either side stays. */
ERT_INLINE ert_v ert_v_larger(ert_v most, ert_v x) {
#if ERT_HAS_avx2
  const __m256 a = (__m256)x, larger = _mm256_max_ps(a, (__m256)most); /* of a NaN and a number the second */
  return (ert_v)_mm256_blendv_ps(larger, a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
#elif ERT_HAS_neon
  return (ert_v)vmaxq_f32((float32x4_t)x, (float32x4_t)most);
#else
  return (ert_v)wasm_f32x4_max((v128_t)x, (v128_t)most);
#endif
}

ERT_INLINE void ert_v_max_block(const ert_v_window *w, int32_t o, const int blocks, const ert_max_pool2d_f32_params *p,
                                float *out) {
  const ert_v low = ert_v_all(p->min), high = ert_v_all(p->max);
  ert_v most[ERT_V_MOST_BLOCKS];
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) most[k] = ert_v_least();
  for (int32_t y = 0; y < w->rows; y++) {
    const float *at = (const float *)ert_row(w->in, w->first_row + y) + w->first + o;
    for (int32_t x = w->columns; x > 0; x--, at += w->step) {
      ERT_UNROLLED
      for (int k = 0; k < blocks; k++) most[k] = ert_v_larger(most[k], ert_v_load(at + k * ERT_LANES));
    }
  }
  ERT_UNROLLED
  for (int k = 0; k < blocks; k++) ert_v_store(out + o + k * ERT_LANES, ert_v_clip(most[k], low, high));
}

/* A window of few channels at the end of its row, or whose output is. */
ERT_APART void ert_v_max_last(const ert_v_window *w, const ert_max_pool2d_f32_params *p, float *out) {
  ert_v most = ert_v_least();
  for (int32_t y = 0; y < w->rows; y++) {
    const float *at = (const float *)ert_row(w->in, w->first_row + y) + w->first;
    for (int32_t x = 0; x < w->columns; x++, at += w->step)
      most = ert_v_larger(most, ert_v_load_some(at, w->step, 0.0f));
  }
  ert_v_store_some(out, ert_v_clip(most, ert_v_all(p->min), ert_v_all(p->max)), w->step);
}

ERT_APART void ert_v_max_pool2d_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels) {
      const ert_v_window w = ert_v_window_of(c, &p->g, y, x, ERT_LANES);
      if (w.is_last) ert_v_max_last(&w, p, out);
      else ERT_EACH_BLOCK(ert_v_max_block, ERT_LANES, &w, p, out);
    }
  }
}

ERT_END_LANES

#endif

#endif
