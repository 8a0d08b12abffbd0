/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of floats on vectors of ERT_LANES of them, with the types of vectors that gcc and clang share: written once
 * for the instruction set that a build has them in (a build has one). The formulas and
 * the bounds of their errors are those of the portable kernels (exp.h, activation/activation.h, unary/unary.h): both sides
 * of a condition are computed, and bits are chosen, so that what is not chosen may be anything. */
#ifndef ERT_FLOATS_H
#define ERT_FLOATS_H

#include "activation/activation.h"
#include "batch_matmul/batch_matmul.h"
#include "isa.h"
#include "normalize/normalize.h"
#include "softmax/softmax.h"
#include "unary/unary.h"
#include "vectors.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

typedef float ert_v __attribute__((vector_size(4 * ERT_LANES)));
typedef int32_t ert_v_s32 __attribute__((vector_size(4 * ERT_LANES)));
typedef uint32_t ert_v_u32 __attribute__((vector_size(4 * ERT_LANES)));
typedef float ert_v_at __attribute__((vector_size(4 * ERT_LANES), aligned(4), may_alias)); /* in memory */

ERT_INLINE ert_v ert_v_all(float x) { return x - (ert_v){0}; }

ERT_INLINE ert_v ert_v_load(const float *p) { return *(const ert_v_at *)(const void *)p; }

ERT_INLINE void ert_v_store(float *p, ert_v v) { *(ert_v_at *)(void *)p = v; }

/* The first n of a vector; the others are `rest`. */
ERT_INLINE ert_v ert_v_load_some(const float *p, int32_t n, float rest) {
  float held[ERT_LANES];
  for (int32_t i = 0; i < ERT_LANES; i++) held[i] = i < n ? p[i] : rest;
  return ert_v_load(held);
}

ERT_INLINE void ert_v_store_some(float *p, ert_v v, int32_t n) {
  float held[ERT_LANES];
  ert_v_store(held, v);
  for (int32_t i = 0; i < n; i++) p[i] = held[i];
}

ERT_INLINE ert_v ert_v_choose(ert_v_s32 mask, ert_v yes, ert_v no) {
  return (ert_v)((mask & (ert_v_s32)yes) | (~mask & (ert_v_s32)no));
}

ERT_INLINE ert_v ert_v_magnitude(ert_v x) { return (ert_v)((ert_v_s32)x & 0x7fffffff); }

/* What has no order stays: NaN. */
ERT_INLINE ert_v ert_v_clip(ert_v x, ert_v low, ert_v high) {
#if ERT_HAS_avx2
  return (ert_v)_mm256_max_ps((__m256)low, _mm256_min_ps((__m256)high, (__m256)x));
#elif ERT_HAS_neon
  return (ert_v)vmaxq_f32(vminq_f32((float32x4_t)x, (float32x4_t)high), (float32x4_t)low);
#else
  return (ert_v)wasm_f32x4_pmax(wasm_f32x4_pmin((v128_t)x, (v128_t)high), (v128_t)low);
#endif
}

/* 2^n for n in [-126, 127] */
ERT_INLINE ert_v ert_v_power_of_two(ert_v_s32 n) { return (ert_v)(((ert_v_u32)n + 127u) << 23); }

/* ert_exp. Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest bits. */
ERT_INLINE ert_v ert_v_exp_of(ert_v x) {
  const ert_v bounded = ert_v_clip(x, ert_v_all(-104.0f), ert_v_all(89.0f)), magic = ert_v_all(12582912.0f);
  const ert_v shifted = bounded * 1.44269504f + magic, n = shifted - magic;
  const ert_v r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
  const ert_v q = 0.49999994f + r * (0.166665196f + r * (0.0416684002f + r * (0.00836885162f + r * 0.00138143206f)));
  const ert_v p = 1.0f + (r + r * r * q);
  const ert_v_s32 whole = (ert_v_s32)((ert_v_u32)shifted - (ert_v_u32)magic), half = whole >> 1;
  return p * ert_v_power_of_two(half) * ert_v_power_of_two((ert_v_s32)((ert_v_u32)whole - (ert_v_u32)half));
}

ERT_INLINE ert_v ert_v_logistic(ert_v x) {
  const ert_v e = ert_v_exp_of(-ert_v_magnitude(x));
  return ert_v_choose(x < 0, e, ert_v_all(1.0f)) / (1.0f + e);
}

ERT_INLINE ert_v ert_v_tanh_of(ert_v x) {
  const ert_v z = ert_v_magnitude(x), u = x * x;
  const ert_v q = -0.333333292f + u * (0.133327945f + u * (-0.0538540691f + u * (0.0210100786f - u * 0.00611318793f)));
  const ert_v far = 1.0f - 2.0f / (ert_v_exp_of(2.0f * z) + 1.0f);
  return ert_v_choose(z < 0.625f, x + x * u * q, ert_v_choose(x < 0, -far, far));
}

ERT_INLINE float ert_v_sum_of(ert_v v) {
  float held[ERT_LANES], sum = 0.0f;
  ert_v_store(held, v);
  for (int32_t k = 0; k < ERT_LANES; k++) sum += held[k];
  return sum;
}

/* a * b + c, in one instruction where there is one. */
ERT_INLINE ert_v ert_v_madd(ert_v a, ert_v b, ert_v c) {
#if ERT_HAS_avx2
  return (ert_v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif ERT_HAS_relaxed
  return (ert_v)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c);
#elif defined(__aarch64__)
  return (ert_v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

/* A function on every item of rows: p is the kernel's parameters. */
#define ERT_EACH_ROW(params, value)                                   \
  for (int32_t y = y0; y < y1; y++) {                                 \
    const float *in = ert_row(&c->in[0], y);                          \
    float *out = ert_out_row(&c->out, y);                             \
    int32_t k = 0;                                                    \
    for (; k + ERT_LANES <= (params)->n; k += ERT_LANES) {            \
      const ert_v x = ert_v_load(in + k);                             \
      ert_v_store(out + k, value);                                    \
    }                                                                 \
    if (k < (params)->n) {                                            \
      const ert_v x = ert_v_load_some(in + k, (params)->n - k, 0.0f); \
      ert_v_store_some(out + k, value, (params)->n - k);              \
    }                                                                 \
  }

/* The rows of an instruction set. */
#define ERT_FLOAT_ROW(op, tile, isa, rows) \
  void ert_##op##_f32_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1); }

#define ERT_FLOATS(tile, isa)                                       \
  ERT_FLOAT_ROW(activation, tile, isa, ert_v_activation_rows)       \
  ERT_FLOAT_ROW(avg_pool2d, tile, isa, ert_v_avg_pool_rows)         \
  ERT_FLOAT_ROW(batch_matmul, tile, isa, ert_v_batch_matmul_rows)   \
  ERT_FLOAT_ROW(l2_norm, tile, isa, ert_v_l2_norm_rows)             \
  ERT_FLOAT_ROW(max_pool2d, tile, isa, ert_v_max_pool_rows)         \
  ERT_FLOAT_ROW(normalize, tile, isa, ert_v_normalize_rows)         \
  ERT_FLOAT_ROW(pixel_softmax, tile, isa, ert_v_pixel_softmax_rows) \
  ERT_FLOAT_ROW(reduce, tile, isa, ert_v_reduce_rows)               \
  ERT_FLOAT_ROW(resize, tile, isa, ert_v_resize_rows)               \
  ERT_FLOAT_ROW(softmax, tile, isa, ert_v_softmax_rows)             \
  ERT_FLOAT_ROW(unary, tile, isa, ert_v_unary_rows)

ERT_END_LANES

#endif

#endif
