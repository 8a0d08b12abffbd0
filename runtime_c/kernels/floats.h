/* SPDX-License-Identifier: Apache-2.0 */
/* Functions of floats on vectors of ERT_LANES of them, with the types of vectors that gcc and clang share: written once
 * for the instruction set that a build has them in. x86 has two: a file that defines ERT_WIDE before gets vectors of
 * 64 bytes. The formulas and the bounds of their errors are those of the portable kernels (exp.h, unary/elementary.h,
 * activation/activation.h) but where something else is said: both sides of a condition are computed, and bits are chosen,
 * so that what is not chosen may be anything. */
#ifndef ERT_FLOATS_H
#define ERT_FLOATS_H

#include "activation/activation.h"
#include "batch_matmul/batch_matmul.h"
#include "binary/arith.h"
#include "binary/walk.h"
#include "elementwise/elementwise.h"
#include "isa.h"
#include "normalize/normalize.h"
#include "power.h"
#include "reduce/reduce.h"
#include "rnn/rnn.h"
#include "softmax/log_softmax.h"
#include "softmax/softmax.h"
#include "state.h"
#include "svdf/svdf.h"
#include "unary/elementary.h"
#include "unary/unary.h"
#include "vectors.h"

#ifdef ERT_LANES

/* What is no work for vectors. */
void ert_arith_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1);
void ert_elementwise_any_x1__c(const ert_call *c, int32_t y0, int32_t y1);
void ert_reduce_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1);

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
#if ERT_LANES == 16
  return (ert_v)_mm512_mask_loadu_ps((__m512)ert_v_all(rest), (__mmask16)((1u << n) - 1u), p);
#else
  float held[ERT_LANES];
  for (int32_t i = 0; i < ERT_LANES; i++) held[i] = i < n ? p[i] : rest;
  return ert_v_load(held);
#endif
}

ERT_INLINE void ert_v_store_some(float *p, ert_v v, int32_t n) {
#if ERT_LANES == 16
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#else
  float held[ERT_LANES];
  ert_v_store(held, v);
  for (int32_t i = 0; i < n; i++) p[i] = held[i];
#endif
}

/* Which lanes hold what. */
#if ERT_LANES == 16
typedef __mmask16 ert_v_mask;

ERT_INLINE ert_v_mask ert_v_less(ert_v a, ert_v b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
ERT_INLINE ert_v_mask ert_v_same(ert_v a, ert_v b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ); }
ERT_INLINE ert_v_mask ert_v_other(ert_v a, ert_v b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_NEQ_UQ); }
ERT_INLINE ert_v_mask ert_v_at_most(ert_v a, ert_v b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
ERT_INLINE ert_v_mask ert_v_no_number(ert_v x) { return _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q); }
ERT_INLINE ert_v_mask ert_v_signs(ert_v_s32 x) { return _mm512_movepi32_mask((__m512i)x); }
ERT_INLINE int ert_v_all_true(ert_v_mask mask) { return mask == 0xffff; }
#else
typedef ert_v_s32 ert_v_mask; /* all bits of a lane */

ERT_INLINE ert_v_mask ert_v_less(ert_v a, ert_v b) { return a < b; }
ERT_INLINE ert_v_mask ert_v_same(ert_v a, ert_v b) { return a == b; }
ERT_INLINE ert_v_mask ert_v_other(ert_v a, ert_v b) { return a != b; }
ERT_INLINE ert_v_mask ert_v_at_most(ert_v a, ert_v b) { return a <= b; }
ERT_INLINE ert_v_mask ert_v_no_number(ert_v x) { return ~ert_v_same(x, x); }
ERT_INLINE ert_v_mask ert_v_signs(ert_v_s32 x) { return x >> 31; }

ERT_INLINE int ert_v_all_true(ert_v_mask mask) {
#if ERT_HAS_avx2
  return _mm256_movemask_ps((__m256)mask) == 0xff;
#elif ERT_HAS_simd128
  return wasm_i32x4_all_true((v128_t)mask);
#else
  return (mask[0] & mask[1] & mask[2] & mask[3]) != 0;
#endif
}
#endif

ERT_INLINE ert_v ert_v_choose(ert_v_mask mask, ert_v yes, ert_v no) {
#if ERT_LANES == 16
  return (ert_v)_mm512_mask_blend_ps(mask, (__m512)no, (__m512)yes);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)mask);
#else
  return (ert_v)((mask & (ert_v_s32)yes) | (~mask & (ert_v_s32)no));
#endif
}

/* b where either is no number. */
ERT_INLINE ert_v ert_v_min(ert_v a, ert_v b) {
#if ERT_LANES == 16
  return (ert_v)_mm512_min_ps((__m512)a, (__m512)b);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_min_ps((__m256)a, (__m256)b);
#elif ERT_HAS_simd128
  return (ert_v)wasm_f32x4_pmin((v128_t)b, (v128_t)a);
#else
  return ert_v_choose(a < b, a, b);
#endif
}

ERT_INLINE ert_v ert_v_max(ert_v a, ert_v b) {
#if ERT_LANES == 16
  return (ert_v)_mm512_max_ps((__m512)a, (__m512)b);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_max_ps((__m256)a, (__m256)b);
#elif ERT_HAS_simd128
  return (ert_v)wasm_f32x4_pmax((v128_t)b, (v128_t)a);
#else
  return ert_v_choose(a > b, a, b);
#endif
}

ERT_INLINE ert_v ert_v_magnitude(ert_v x) { return (ert_v)((ert_v_s32)x & 0x7fffffff); }

/* The sign of y on x, which has none. */
ERT_INLINE ert_v ert_v_signed_as(ert_v x, ert_v y) { return (ert_v)((ert_v_u32)x | ((ert_v_u32)y & 0x80000000u)); }

/* What has no order stays: NaN. */
ERT_INLINE ert_v ert_v_clip(ert_v x, ert_v low, ert_v high) {
#if ERT_HAS_neon /* whose minimum is NaN where an operand is */
  return (ert_v)vmaxq_f32(vminq_f32((float32x4_t)x, (float32x4_t)high), (float32x4_t)low);
#else
  return ert_v_max(low, ert_v_min(high, x));
#endif
}

/* a * b + c, in one instruction where there is one. */
ERT_INLINE ert_v ert_v_madd(ert_v a, ert_v b, ert_v c) {
#if ERT_LANES == 16
  return (ert_v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif ERT_HAS_relaxed
  return (ert_v)wasm_f32x4_relaxed_madd((v128_t)a, (v128_t)b, (v128_t)c);
#elif defined(__aarch64__)
  return (ert_v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return a * b + c;
#endif
}

/* c - a * b */
ERT_INLINE ert_v ert_v_less_product(ert_v a, ert_v b, ert_v c) {
#if ERT_LANES == 16
  return (ert_v)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif ERT_HAS_relaxed
  return (ert_v)wasm_f32x4_relaxed_nmadd((v128_t)a, (v128_t)b, (v128_t)c);
#elif defined(__aarch64__)
  return (ert_v)vfmsq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  return c - a * b;
#endif
}

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1) */
ERT_INLINE ert_v ert_v_polynomial(ert_v x, const float *c, int n) {
  ert_v sum = ert_v_all(c[n - 1]);
  ERT_UNROLLED
  for (int k = n - 2; k >= 0; k--) sum = ert_v_madd(sum, x, ert_v_all(c[k]));
  return sum;
}

#define ERT_POLYNOMIAL(x, ...) \
  ert_v_polynomial(x, (const float[]){__VA_ARGS__}, (int)(sizeof((const float[]){__VA_ARGS__}) / sizeof(float)))

/* The exact root. */
ERT_INLINE ert_v ert_v_root(ert_v x) {
#if ERT_LANES == 16
  return (ert_v)_mm512_sqrt_ps((__m512)x);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_sqrt_ps((__m256)x);
#elif ERT_HAS_simd128
  return (ert_v)wasm_f32x4_sqrt((v128_t)x);
#elif defined(__aarch64__)
  return (ert_v)vsqrtq_f32((float32x4_t)x);
#else
  return (ert_v){ert_sqrt(x[0]), ert_sqrt(x[1]), ert_sqrt(x[2]), ert_sqrt(x[3])}; /* no such instruction */
#endif
}

ERT_INLINE ert_v ert_v_from_s32(ert_v_s32 x) {
#if ERT_LANES == 16
  return (ert_v)_mm512_cvtepi32_ps((__m512i)x);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_cvtepi32_ps((__m256i)x);
#elif ERT_HAS_simd128
  return (ert_v)wasm_f32x4_convert_i32x4((v128_t)x);
#else
  return (ert_v)vcvtq_f32_s32((int32x4_t)x);
#endif
}

/* To whole numbers: down, or to the nearest, halves to the even one. */
ERT_INLINE ert_v ert_v_floor_of(ert_v x) {
#if ERT_LANES == 16
  return (ert_v)_mm512_floor_ps((__m512)x);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif ERT_HAS_simd128
  return (ert_v)wasm_f32x4_floor((v128_t)x);
#elif defined(__aarch64__)
  return (ert_v)vrndmq_f32((float32x4_t)x);
#else
  const ert_v whole = (ert_v)vcvtq_f32_s32(vcvtq_s32_f32((float32x4_t)x));
  const ert_v low = whole - ert_v_choose(whole > x, ert_v_all(1.0f), ert_v_all(0.0f));
  return ert_v_choose(ert_v_magnitude(x) < 8388608.0f, ert_v_signed_as(ert_v_magnitude(low), x), x);
#endif
}

ERT_INLINE ert_v ert_v_nearest(ert_v x) {
#if ERT_HAS_simd128
  return (ert_v)wasm_f32x4_nearest((v128_t)x);
#elif defined(__aarch64__)
  return (ert_v)vrndnq_f32((float32x4_t)x);
#else
  const ert_v size = ert_v_magnitude(x), whole = ert_v_all(8388608.0f), near = (size + whole) - whole;
  return ert_v_choose(ert_v_less(size, whole), ert_v_signed_as(near, x), x);
#endif
}

/* 2^n for n in [-126, 127] */
ERT_INLINE ert_v ert_v_power_of_two(ert_v_s32 n) { return (ert_v)(((ert_v_u32)n + 127u) << 23); }

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, so that e^r is within 2^-28 but for rounding. */
ERT_INLINE ert_v ert_v_exp_rest(ert_v r) {
  return ERT_POLYNOMIAL(r, 0.49999994f, 0.166665196f, 0.0416684002f, 0.00836885162f, 0.00138143206f);
}

ERT_INLINE ert_v ert_v_exp_near_zero(ert_v r) { return 1.0f + ert_v_madd(r * r, ert_v_exp_rest(r), r); }

/* x less n ln 2, of which the first part has few enough bits for n * part to be exact. */
ERT_INLINE ert_v ert_v_less_logs(ert_v x, ert_v n) {
  return ert_v_less_product(n, ert_v_all(-2.12194440e-4f), ert_v_less_product(n, ert_v_all(0.693359375f), x));
}

/* ert_exp of high + low, of which low is small. Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest bits. */
ERT_INLINE ert_v ert_v_exp_of_sum(ert_v high, ert_v low) {
  const ert_v x = ert_v_clip(high, ert_v_all(-104.0f), ert_v_all(89.0f)), magic = ert_v_all(12582912.0f);
  const ert_v shifted = ert_v_madd(x, ert_v_all(1.44269504f), magic), n = shifted - magic;
  const ert_v p = ert_v_exp_near_zero(ert_v_less_logs(x, n) + low);
#if ERT_LANES == 16
  return (ert_v)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
  const ert_v_s32 whole = (ert_v_s32)((ert_v_u32)shifted - (ert_v_u32)magic), half = whole >> 1;
  return p * ert_v_power_of_two(half) * ert_v_power_of_two((ert_v_s32)((ert_v_u32)whole - (ert_v_u32)half));
#endif
}

ERT_INLINE ert_v ert_v_exp_of(ert_v x) { return ert_v_exp_of_sum(x, (ert_v){0}); }

/* e^x for x <= 88 within 1 ulp as well, but 0 from about 2^-126 down. The integer comes with the bias of exponents. */
ERT_INLINE ert_v ert_v_exp_below(ert_v x) {
#if ERT_LANES == 16
  return ert_v_exp_of(x);
#else
#if ERT_HAS_neon
  const ert_v bounded = (ert_v)vmaxq_f32((float32x4_t)x, vdupq_n_f32(-88.0f));
#else
  const ert_v bounded = ert_v_max(ert_v_all(-88.0f), x);
#endif
  const ert_v magic = ert_v_all(12582912.0f + 127.0f);
  const ert_v shifted = ert_v_madd(bounded, ert_v_all(1.44269504f), magic);
  const ert_v p = ert_v_exp_near_zero(ert_v_less_logs(bounded, shifted - magic));
  return p * (ert_v)((ert_v_u32)shifted << 23);
#endif
}

/* e^x - 1 within 3 ulp: with x = n ln 2 + r it is 2^n (e^r - 1) + (2^n - 1), half of that where 2^n may be infinite. */
ERT_INLINE ert_v ert_v_exp_less_one(ert_v x) {
  const ert_v bounded = ert_v_clip(x, ert_v_all(-30.0f), ert_v_all(89.0f)), magic = ert_v_all(12582912.0f + 126.0f);
  const ert_v shifted = ert_v_madd(bounded, ert_v_all(1.44269504f), magic);
  const ert_v r = ert_v_less_logs(bounded, shifted - magic), power = (ert_v)((ert_v_u32)shifted << 23);
  const ert_v rest = ert_v_madd(r * r, ert_v_exp_rest(r), r);
  return 2.0f * ert_v_madd(power, rest, power - 0.5f);
}

/* 1 / (1 + e^-x), but 0 from about 2^-126 down, where e^-x is infinite. */
ERT_INLINE ert_v ert_v_logistic(ert_v x) { return 1.0f / (1.0f + ert_v_exp_below(ert_v_min(ert_v_all(88.7f), -x))); }

/* The same down to the least subnormal number. */
ERT_INLINE ert_v ert_v_logistic_to_least(ert_v x) {
  const ert_v e = ert_v_exp_of(-ert_v_magnitude(x));
  return ert_v_choose(ert_v_signs((ert_v_s32)x), e, ert_v_all(1.0f)) / (1.0f + e);
}

/* x P(x^2) / Q(x^2), a minimax fraction with relative error below 2^-25: within 6 ulp, the roundings of both included, for
 * half of what it takes by e^x. From 9.02 on tanh is 1. */
ERT_INLINE ert_v ert_v_tanh_of(ert_v x) {
  const ert_v z = ert_v_clip(x, ert_v_all(-9.02f), ert_v_all(9.02f)), u = z * z;
  const ert_v p = ERT_POLYNOMIAL(u, 1.0f, 0.133797186f, 0.00349403534f, 2.05834947e-5f, 1.3319091e-8f);
  const ert_v q = ERT_POLYNOMIAL(u, 1.0f, 0.467130338f, 0.0258710761f, 0.000328309414f, 7.76202717e-7f);
  return ert_v_clip(z * p / q, ert_v_all(-1.0f), ert_v_all(1.0f));
}

/* ert_log: x = m 2^e, m in [sqrt(1/2), sqrt(2)). */
ERT_INLINE ert_v ert_v_log_of(ert_v x) {
  const ert_v infinite = ert_v_all(ert_float_of(0x7f800000u)), none = {0};
  const ert_v_mask tiny = ert_v_less(x, ert_v_all(1.17549435e-38f));
  const ert_v_s32 bits = (ert_v_s32)((ert_v_u32)ert_v_choose(tiny, x * 16777216.0f, x) - 0x3f3504f3u);
  const ert_v f = (ert_v)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, f2 = f * f;
  const ert_v n = ert_v_from_s32(bits >> 23) - ert_v_choose(tiny, ert_v_all(24.0f), none);
  const ert_v p = ERT_POLYNOMIAL(f, 0.33333313f, -0.2500001f, 0.20002119f, -0.16667996f, 0.14219552f, -0.12405589f,
                                 0.11888162f, -0.11675652f, 0.0674664f);
  const ert_v small = ert_v_less_product(ert_v_all(0.5f), f2, ert_v_madd(n, ert_v_all(-2.12194440e-4f), f * f2 * p));
  const ert_v found = ert_v_madd(n, ert_v_all(0.693359375f), f + small);
  const ert_v above = ert_v_choose(ert_v_same(x, none), -infinite, ert_v_choose(ert_v_less(x, infinite), found, x));
  return ert_v_choose(ert_v_at_most(none, x), above, ert_v_all(ert_float_of(0x7fc00000u)));
}

/* Across lanes, halves onto each other: less to wait for than one after another. */
#define ERT_ACROSS(name, combined)                \
  ERT_INLINE float name(ert_v v) {                \
    float held[ERT_LANES];                        \
    ert_v_store(held, v);                         \
    ERT_UNROLLED                                  \
    for (int n = ERT_LANES / 2; n > 0; n /= 2) {  \
      ERT_UNROLLED                                \
      for (int k = 0; k < n; k++) {               \
        const float a = held[k], b = held[k + n]; \
        held[k] = combined;                       \
      }                                           \
    }                                             \
    return held[0];                               \
  }

ERT_ACROSS(ert_v_sum_of, a + b)
ERT_ACROSS(ert_v_most_of, a > b ? a : b)

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

#define ERT_FLOAT_ROWS(op, types, tile, isa) \
  void ert_##op##_##types##_##tile##__##isa(const ert_call *c, int32_t y0, int32_t y1) { ert_v_##op##_rows(c, y0, y1); }

/* The rows of an instruction set: functions with much to compute, then those with little for what they read and write. */
#define ERT_FUNCTIONS(tile, isa)                \
  ERT_FLOAT_ROWS(activation, f32, tile, isa)    \
  ERT_FLOAT_ROWS(unary, f32, tile, isa)         \
  ERT_FLOAT_ROWS(elementary, f32, tile, isa)    \
  ERT_FLOAT_ROWS(softmax, f32, tile, isa)       \
  ERT_FLOAT_ROWS(pixel_softmax, f32, tile, isa) \
  ERT_FLOAT_ROWS(log_softmax, f32, tile, isa)

#define ERT_FLOATS(tile, isa)                   \
  ERT_FLOAT_ROWS(normalize, f32, tile, isa)     \
  ERT_FLOAT_ROWS(batch_matmul, f32, tile, isa)  \
  ERT_FLOAT_ROWS(avg_pool2d, f32, tile, isa)    \
  ERT_FLOAT_ROWS(max_pool2d, f32, tile, isa)    \
  ERT_FLOAT_ROWS(l2_norm, f32, tile, isa)       \
  ERT_FLOAT_ROWS(resize, f32, tile, isa)        \
  ERT_FLOAT_ROWS(rnn, f32, tile, isa)           \
  ERT_FLOAT_ROWS(peephole_lstm, f32, tile, isa) \
  ERT_FLOAT_ROWS(svdf, f32, tile, isa)          \
  ERT_FLOAT_ROWS(minmax, f32, tile, isa)        \
  ERT_FLOAT_ROWS(arith, f32, tile, isa)         \
  ERT_FLOAT_ROWS(pow, f32, tile, isa)           \
  ERT_FLOAT_ROWS(power, f32, tile, isa)         \
  ERT_FLOAT_ROWS(elementwise, any, tile, isa)   \
  ERT_FLOAT_ROWS(reduce, f32, tile, isa)

ERT_END_LANES

#endif

#endif
