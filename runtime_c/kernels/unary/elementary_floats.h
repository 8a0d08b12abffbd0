/* SPDX-License-Identifier: Apache-2.0 */
/* elementary_c.c on vectors, with the same formulas unless said. */
#ifndef ERT_ELEMENTARY_FLOATS_H
#define ERT_ELEMENTARY_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

#define ERT_HALF_PI 1.57079637f

ERT_BEGIN_LANES

ERT_INLINE ert_v ert_v_sign_of(ert_v x) {
  return ert_v_choose(ert_v_less((ert_v){0}, ert_v_magnitude(x)), ert_v_signed_as(ert_v_all(1.0f), x), x);
}

typedef struct {
  ert_v sine, cosine;
} ert_v_wave;

/* Arguments that are too large for ert_v_wave_near: one by one. */
ERT_APART ert_v_wave ert_v_wave_far(ert_v x) {
  float in[ERT_LANES], sines[ERT_LANES], cosines[ERT_LANES];
  ert_v_store(in, x);
  for (int32_t k = 0; k < ERT_LANES; k++) {
    const ert_wave w = ert_wave_of(in[k]);
    sines[k] = w.sine, cosines[k] = w.cosine;
  }
  return (ert_v_wave){ert_v_load(sines), ert_v_load(cosines)};
}

/* x less n pi / 2, whose first three parts have 11 bits: exact but for the last two for n of 11 bits. */
ERT_INLINE ert_v_wave ert_v_wave_near(ert_v x) {
  const ert_v magic = ert_v_all(12582912.0f), shifted = ert_v_madd(x, ert_v_all(0.636619772f), magic);
  const ert_v n = shifted - magic;
  const ert_v high =
      ert_v_less_product(n, ert_v_all(4.8375129699707031e-4f), ert_v_less_product(n, ert_v_all(1.5703125f), x));
  const ert_v r = ert_v_less_product(n, ert_v_all(2.5633440682570896e-12f),
                                     ert_v_less_product(n, ert_v_all(7.5495336204767227e-8f), high));
  const ert_v z = r * r;
  const ert_v s = ert_v_madd(r * z, ERT_POLYNOMIAL(z, -0.16666655f, 0.008332178f, -0.000195173f), r);
  const ert_v rest = ERT_POLYNOMIAL(z, 0.041666646f, -0.0013887316f, 2.4433157e-05f);
  const ert_v c = ert_v_madd(z * z, rest, ert_v_less_product(ert_v_all(0.5f), z, ert_v_all(1.0f)));
  const ert_v_u32 quadrant = (ert_v_u32)shifted;
  const ert_v_mask odd = ert_v_signs((ert_v_s32)(quadrant << 31));
  const ert_v_u32 below = (quadrant & 2u) << 30, left = ((quadrant + 1u) & 2u) << 30;
  return (ert_v_wave){(ert_v)((ert_v_u32)ert_v_choose(odd, c, s) ^ below),
                      (ert_v)((ert_v_u32)ert_v_choose(odd, s, c) ^ left)};
}

ERT_INLINE ert_v_wave ert_v_wave_of(ert_v x) {
  const ert_v_wave near = ert_v_wave_near(x);
  return ert_v_all_true(ert_v_less(ert_v_magnitude(x), ert_v_all(2048.0f))) ? near : ert_v_wave_far(x);
}

ERT_INLINE ert_v ert_v_tan_of(ert_v x) {
  const ert_v_wave w = ert_v_wave_of(x);
  return w.sine / w.cosine;
}

ERT_INLINE ert_v ert_v_atan_of(ert_v x) {
  const ert_v size = ert_v_magnitude(x), none = {0};
  const ert_v_mask large = ert_v_less(ert_v_all(2.41421356f), size), middle = ert_v_less(ert_v_all(0.414213562f), size);
  const ert_v top = ert_v_choose(large, ert_v_all(-1.0f), ert_v_choose(middle, size - 1.0f, size));
  const ert_v below = ert_v_choose(large, size, ert_v_choose(middle, size + 1.0f, ert_v_all(1.0f)));
  const ert_v t = top / below, z = t * t;
  const ert_v half = ert_v_choose(middle, ert_v_all(ERT_HALF_PI / 2), none);
  const ert_v turn = ert_v_choose(large, ert_v_all(ERT_HALF_PI), half);
  const ert_v p = ERT_POLYNOMIAL(z, -0.33333316f, 0.1999849f, -0.14243849f, 0.10596002f, -0.060834534f);
  const ert_v angle = turn + ert_v_madd(t * z, p, t);
  return (ert_v)((ert_v_u32)angle ^ ((ert_v_u32)x & 0x80000000u));
}

ERT_INLINE ert_v ert_v_asin_rest(ert_v t) {
  const ert_v z = t * t;
  return t * z * ERT_POLYNOMIAL(z, 0.1666666f, 0.07500511f, 0.04451572f, 0.031817615f, 0.014402597f, 0.037565213f);
}

ERT_INLINE ert_v ert_v_asin_of(ert_v x) {
  const ert_v size = ert_v_magnitude(x), root = ert_v_root(0.5f * (1.0f - size));
  const ert_v_mask far = ert_v_less(ert_v_all(0.5f), size);
  const ert_v t = ert_v_choose(far, root, size), rest = ert_v_asin_rest(t);
  return ert_v_signed_as(ert_v_choose(far, ERT_HALF_PI - 2.0f * (t + rest), t + rest), x);
}

ERT_INLINE ert_v ert_v_acos_of(ert_v x) {
  const ert_v size = ert_v_magnitude(x), root = ert_v_root(0.5f * (1.0f - size));
  const ert_v_mask far = ert_v_less(ert_v_all(0.5f), size), below = ert_v_signs((ert_v_s32)x);
  const ert_v t = ert_v_choose(far, root, size), rest = ert_v_asin_rest(t), angle = 2.0f * (t + rest);
  const ert_v near = ERT_HALF_PI - (x - 4.37113883e-8f + ert_v_signed_as(rest, x));
  return ert_v_choose(far, ert_v_choose(below, 2.0f * ERT_HALF_PI - angle, angle), near);
}

ERT_INLINE ert_v ert_v_sinh_of(ert_v x) {
  const ert_v size = ert_v_magnitude(x), z = x * x;
  const ert_v q = ERT_POLYNOMIAL(z, 0.16666667f, 0.0083333505f, 0.00019836066f, 2.8174395e-06f);
  const ert_v half = ert_v_exp_of(0.5f * size), e = 0.5f * half * half;
  const ert_v far = ert_v_signed_as(e - 0.25f / e, x);
  return ert_v_choose(ert_v_less(size, ert_v_all(1.0f)), ert_v_madd(x * z, q, x), far);
}

ERT_INLINE ert_v ert_v_cosh_of(ert_v x) {
  const ert_v half = ert_v_exp_of(0.5f * ert_v_magnitude(x)), e = 0.5f * half * half;
  return e + 0.25f / e;
}

ERT_INLINE ert_v ert_v_log1p_of(ert_v x) {
  const ert_v u = 1.0f + x, none = {0}, lost = (x - (u - 1.0f)) / u;
  const ert_v infinite = ert_v_all(ert_float_of(0x7f800000u));
  const ert_v kept = ert_v_choose(ert_v_less(none, u), ert_v_choose(ert_v_less(u, infinite), lost, none), none);
  return ert_v_log_of(u) + kept;
}

ERT_INLINE ert_v ert_v_asinh_of(ert_v x) {
  const ert_v t = ert_v_magnitude(x), z = t * t;
  const ert_v_mask large = ert_v_less(ert_v_all(1e18f), t);
  const ert_v near = ert_v_log1p_of(t + z / (1.0f + ert_v_root(z + 1.0f)));
  return ert_v_signed_as(ert_v_choose(large, ert_v_log_of(t) + 0.693147182f, near), x);
}

ERT_INLINE ert_v ert_v_acosh_of(ert_v x) {
  const ert_v t = x - 1.0f, below = ert_v_all(-2.0f); /* log1p of which is NaN */
  const ert_v inside = ert_v_choose(ert_v_less(t, (ert_v){0}), below, t + ert_v_root(t * (t + 2.0f)));
  return ert_v_choose(ert_v_less(ert_v_all(1e18f), x), ert_v_log_of(x) + 0.693147182f, ert_v_log1p_of(inside));
}

ERT_INLINE ert_v ert_v_atanh_of(ert_v x) {
  const ert_v t = ert_v_magnitude(x);
  return ert_v_signed_as(0.5f * ert_v_log1p_of(2.0f * t / (1.0f - t)), x);
}

ERT_INLINE ert_v ert_v_softsign(ert_v x) {
  const ert_v size = ert_v_magnitude(x);
  const ert_v_mask large = ert_v_at_most(ert_v_all(1e30f), size);
  return ert_v_choose(large, ert_v_signed_as(ert_v_all(1.0f), x), x / (1.0f + size));
}

ERT_INLINE ert_v ert_v_shrunk(ert_v x, ert_v lambda, ert_v bias) {
  const ert_v none = {0}, inside = ert_v_choose(ert_v_no_number(x), x, none);
  return ert_v_choose(ert_v_less(x, -lambda), x + bias, ert_v_choose(ert_v_less(lambda, x), x - bias, inside));
}

#define ERT_ROWS_OF(kind, value) \
  case kind:                     \
    ERT_EACH_ROW(p, value)       \
    break;

/* Kinds that are a few instructions. */
ERT_INLINE int ert_v_light_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_elementary_f32_params *p = (const void *)c->params;
  const ert_v a = ert_v_all(p->a), b = ert_v_all(p->b), none = {0};
  switch (p->kind) {
    ERT_ROWS_OF(ERT_ABS, ert_v_magnitude(x))
    ERT_ROWS_OF(ERT_NEG, -x)
    ERT_ROWS_OF(ERT_SQUARE, x * x)
    ERT_ROWS_OF(ERT_SQRT, ert_v_root(x))
    ERT_ROWS_OF(ERT_RSQRT, 1.0f / ert_v_root(x))
    ERT_ROWS_OF(ERT_RECIPROCAL, 1.0f / x)
    ERT_ROWS_OF(ERT_FLOOR, ert_v_floor_of(x))
    ERT_ROWS_OF(ERT_CEIL, -ert_v_floor_of(-x))
    ERT_ROWS_OF(ERT_ROUND, ert_v_nearest(x))
    ERT_ROWS_OF(ERT_SIGN, ert_v_sign_of(x))
    ERT_ROWS_OF(ERT_SOFTSIGN, ert_v_softsign(x))
    ERT_ROWS_OF(ERT_THRESHOLDED_RELU, ert_v_choose(ert_v_at_most(x, a), none, x))
    ERT_ROWS_OF(ERT_SHRINK, ert_v_shrunk(x, a, b))
    default:
      return 0;
  }
  return 1;
}

ERT_APART void ert_v_elementary_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_elementary_f32_params *p = (const void *)c->params;
  const ert_v a = ert_v_all(p->a), none = {0};
  if (ert_v_light_rows(c, y0, y1)) return;
  switch (p->kind) {
    ERT_ROWS_OF(ERT_EXP, ert_v_exp_of(x))
    ERT_ROWS_OF(ERT_LOG, ert_v_log_of(x))
    ERT_ROWS_OF(ERT_SIN, ert_v_wave_of(x).sine)
    ERT_ROWS_OF(ERT_COS, ert_v_wave_of(x).cosine)
    ERT_ROWS_OF(ERT_TAN, ert_v_tan_of(x))
    ERT_ROWS_OF(ERT_ASIN, ert_v_asin_of(x))
    ERT_ROWS_OF(ERT_ACOS, ert_v_acos_of(x))
    ERT_ROWS_OF(ERT_ATAN, ert_v_atan_of(x))
    ERT_ROWS_OF(ERT_SINH, ert_v_sinh_of(x))
    ERT_ROWS_OF(ERT_COSH, ert_v_cosh_of(x))
    ERT_ROWS_OF(ERT_ASINH, ert_v_asinh_of(x))
    ERT_ROWS_OF(ERT_ACOSH, ert_v_acosh_of(x))
    ERT_ROWS_OF(ERT_ATANH, ert_v_atanh_of(x))
    ERT_ROWS_OF(ERT_CELU, ert_v_choose(ert_v_less(none, x), x, a * ert_v_exp_less_one(x / a)))
    ERT_ROWS_OF(ERT_LOG1P, ert_v_log1p_of(x))
    default:
      ERT_EACH_ROW(p, ert_v_exp_less_one(x))
  }
}

ERT_END_LANES

#endif

#endif
