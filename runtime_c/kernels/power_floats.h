/* SPDX-License-Identifier: Apache-2.0 */
/* x^y on vectors, by logarithms of doubles as in power_c.c. Armv7-A has no vectors of doubles. */
#ifndef ERT_POWER_FLOATS_H
#define ERT_POWER_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

#if !ERT_HAS_neon || defined(__aarch64__)

typedef double ert_d __attribute__((vector_size(4 * ERT_LANES)));
typedef uint64_t ert_d_u64 __attribute__((vector_size(4 * ERT_LANES)));
typedef int64_t ert_d_s64 __attribute__((vector_size(4 * ERT_LANES)));

typedef struct {
  ert_d low, high;
} ert_d_pair;

ERT_INLINE ert_d_pair ert_d_from(ert_v x) {
#if ERT_LANES == 16
  return (ert_d_pair){(ert_d)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x)),
                      (ert_d)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1))};
#elif ERT_HAS_avx2
  return (ert_d_pair){(ert_d)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x)),
                      (ert_d)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1))};
#elif ERT_HAS_simd128
  const v128_t v = (v128_t)x;
  return (ert_d_pair){(ert_d)wasm_f64x2_promote_low_f32x4(v),
                      (ert_d)wasm_f64x2_promote_low_f32x4(wasm_i64x2_shuffle(v, v, 1, 1))};
#else
  return (ert_d_pair){(ert_d)vcvt_f64_f32(vget_low_f32((float32x4_t)x)), (ert_d)vcvt_high_f64_f32((float32x4_t)x)};
#endif
}

ERT_INLINE ert_v ert_d_to(ert_d low, ert_d high) {
#if ERT_LANES == 16
  const __m512 first = _mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low));
  return (ert_v)_mm512_insertf32x8(first, _mm512_cvtpd_ps((__m512d)high), 1);
#elif ERT_HAS_avx2
  return (ert_v)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high), _mm256_cvtpd_ps((__m256d)low));
#elif ERT_HAS_simd128
  return (ert_v)wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero((v128_t)low),
                                   wasm_f32x4_demote_f64x2_zero((v128_t)high), 0, 2);
#else
  return (ert_v)vcvt_high_f32_f64(vcvt_f32_f64((float64x2_t)low), (float64x2_t)high);
#endif
}

ERT_INLINE ert_d ert_d_polynomial(ert_d x, const double *c, int n) {
  ert_d sum = c[n - 1] - (ert_d){0};
  ERT_UNROLLED
  for (int k = n - 2; k >= 0; k--) sum = sum * x + c[k];
  return sum;
}

#define ERT_DOUBLE_POLYNOMIAL(x, ...) \
  ert_d_polynomial(x, (const double[]){__VA_ARGS__}, (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)))

/* log2 x for positive x: x = m 2^e, m in [sqrt(1/2), sqrt(2)). A number with the bits of 2^52 has an integer below them. */
ERT_INLINE ert_d ert_d_log2(ert_d x) {
  const uint64_t half = 0x3fe6a09e667f3bcdu, one = 0x3ff0000000000000u, whole = 0x4330000000000000u;
  const ert_d_u64 moved = (ert_d_u64)x + (one - half);
  const ert_d e = (ert_d)((moved >> 52) | whole) - (4503599627370496.0 + 1023.0);
  const ert_d m = (ert_d)((moved & 0xfffffffffffffu) + half), s = (m - 1.0) / (m + 1.0), z = s * s;
  const ert_d p = ERT_DOUBLE_POLYNOMIAL(z, 1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13);
  return e + s * 2.8853900817779268 * p;
}

/* 2^t, which is rounded to float32 afterwards: whatever is beyond its range becomes infinite or 0. */
ERT_INLINE ert_d ert_d_exp2(ert_d t) {
  const ert_d magic = 6755399441055744.0 - (ert_d){0}, low = -160.0 - (ert_d){0}, high = 160.0 - (ert_d){0};
  const ert_d_s64 below = t<low, above = t> high;
  const ert_d x = (ert_d)((below & (ert_d_s64)low) | (above & (ert_d_s64)high) | (~(below | above) & (ert_d_s64)t));
  const ert_d shifted = x + magic, u = (x - (shifted - magic)) * 0.6931471805599453;
  const ert_d p =
      ERT_DOUBLE_POLYNOMIAL(u, 1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320);
  return p * (ert_d)(((ert_d_u64)shifted + 1023u) << 52);
}

ERT_APART ert_v ert_v_power_one_by_one(ert_v x, ert_v y) {
  float a[ERT_LANES], b[ERT_LANES];
  ert_v_store(a, x), ert_v_store(b, y);
  for (int32_t k = 0; k < ERT_LANES; k++) a[k] = ert_pow(a[k], b[k]);
  return ert_v_load(a);
}

/* ert_pow; what is no number or an infinite power goes there. */
ERT_INLINE ert_v ert_v_power_of(ert_v x, ert_v y) {
  const ert_v infinite = ert_v_all(ert_float_of(0x7f800000u)), none = {0}, size = ert_v_magnitude(x);
  const ert_v known = ert_v_choose(ert_v_no_number(x), x, ert_v_magnitude(y));
  if (!ert_v_all_true(ert_v_less(known, infinite))) return ert_v_power_one_by_one(x, y);
  const ert_d_pair a = ert_d_from(size), b = ert_d_from(y);
  const ert_v found = ert_d_to(ert_d_exp2(ert_d_log2(a.low) * b.low), ert_d_exp2(ert_d_log2(a.high) * b.high));
  const ert_v_mask rises = ert_v_less(none, y);
  const ert_v at_zero = ert_v_choose(rises, none, infinite), at_end = ert_v_choose(rises, infinite, none);
  const ert_v inside = ert_v_choose(ert_v_less(size, infinite), found, at_end);
  const ert_v power = ert_v_choose(ert_v_same(size, none), at_zero, inside);
  const ert_v half = 0.5f * y;
  const ert_v_mask whole = ert_v_same(ert_v_floor_of(y), y), even = ert_v_same(ert_v_floor_of(half), half);
  const ert_v flipped = (ert_v)((ert_v_u32)power | ((ert_v_u32)x & 0x80000000u));
  const ert_v broken = ert_v_choose(ert_v_less(-infinite, x), ert_v_all(ert_float_of(0x7fc00000u)), power);
  const ert_v signed_power =
      ert_v_choose(whole, ert_v_choose(even, power, flipped), ert_v_choose(ert_v_less(x, none), broken, power));
  return ert_v_choose(ert_v_same(y, none), ert_v_all(1.0f), signed_power);
}

/* x^n by products, for n of 1 to 8. */
ERT_INLINE ert_v ert_v_whole_power_of(ert_v x, int32_t n) {
  const ert_d_pair a = ert_d_from(x);
  ert_d low = a.low, high = a.high;
  for (int32_t k = 1; k < n; k++) low *= a.low, high *= a.high;
  return ert_d_to(low, high);
}

ERT_APART void ert_v_power_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_power_f32_params *p = (const void *)c->params;
  const ert_v exponent = ert_v_all(p->a);
  const int32_t n = p->a >= 1 && p->a <= 8 ? (int32_t)p->a : 0;
  if (n > 0 && (float)n == p->a) ERT_EACH_ROW(p, ert_v_whole_power_of(x, n))
  else ERT_EACH_ROW(p, ert_v_power_of(x, exponent))
}

#else

ERT_INLINE ert_v ert_v_power_of(ert_v x, ert_v y) {
  return (ert_v){ert_pow(x[0], y[0]), ert_pow(x[1], y[1]), ert_pow(x[2], y[2]), ert_pow(x[3], y[3])};
}

ERT_APART void ert_v_power_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_power_f32_params *p = (const void *)c->params;
  const ert_v exponent = ert_v_all(p->a);
  ERT_EACH_ROW(p, ert_v_power_of(x, exponent))
}

#endif

ERT_END_LANES

#endif

#endif
