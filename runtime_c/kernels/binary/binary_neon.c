/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of int8, sixteen at a time; sums and products of floats, four at a time. */
#include "binary/walk.h"
#include "tiles_arm.h"

#if ERT_HAS_neon

enum { AT_ONCE = 16, FLOATS_AT_ONCE = 4 };

/* Four sums from their constants, which are the parameters. */
typedef int32x4_t four_fn(const void *params, int32x4_t a, int32x4_t b);

ERT_INLINE int32x4_t four_linear(const void *params, int32x4_t a, int32x4_t b) {
  const ert_add_s8s8_linear_params *p = params;
  const int32x4_t first = vmlaq_n_s32(vdupq_n_s32(p->offset), a, p->a_factor);
  return vshlq_s32(vmlaq_n_s32(first, b, p->b_factor), vdupq_n_s32(-p->shift));
}

/* x * multiplier / 2^32 rounded half up: the doubling product of half of the multiplier would lose a bit, that of half
 * of x does not, as it is even. */
ERT_INLINE int32x4_t rescaled(int32x4_t half_x, int32_t multiplier, int32_t offset, int32_t shift) {
  const int32x4_t high = vqrdmulhq_n_s32(half_x, multiplier);
  return vshlq_s32(vaddq_s32(vsraq_n_s32(high, half_x, 31), vdupq_n_s32(offset)), vdupq_n_s32(-(shift & 31)));
}

/* Bases are even, and so is what is doubled. */
ERT_INLINE int32x4_t four_dense(const void *params, int32x4_t a, int32x4_t b) {
  const ert_add_s8s8_dense_params *p = params;
  const int32x4_t half_b = vaddq_s32(vshlq_n_s32(b, 20), vdupq_n_s32(p->b_base >> 1));
  const int32x4_t small = rescaled(half_b, p->b_multiplier, p->b_half, p->b_shift);
  const int32x4_t half_a = vaddq_s32(vshlq_n_s32(a, 19), vdupq_n_s32(p->a_base >> 1));
  return rescaled(vaddq_s32(half_a, small), p->multiplier, p->offset, p->shift);
}

ERT_INLINE int16x8_t eight(four_fn *four, const void *params, int16x8_t a, int16x8_t b) {
  const int32x4_t low = four(params, vmovl_s16(vget_low_s16(a)), vmovl_s16(vget_low_s16(b)));
  const int32x4_t high = four(params, vmovl_s16(vget_high_s16(a)), vmovl_s16(vget_high_s16(b)));
  return vcombine_s16(vqmovn_s32(low), vqmovn_s32(high));
}

ERT_INLINE void block(four_fn *four, const void *params, const int32_t *limits, const int8_t *a, const int8_t *b,
                      int8_t *out) {
  const int8x16_t x = vld1q_s8(a), y = vld1q_s8(b);
  const int16x8_t low = eight(four, params, vmovl_s8(vget_low_s8(x)), vmovl_s8(vget_low_s8(y)));
  const int16x8_t high = eight(four, params, vmovl_s8(vget_high_s8(x)), vmovl_s8(vget_high_s8(y)));
  const int8x16_t both = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
  vst1q_s8(out, vmaxq_s8(vminq_s8(both, vdupq_n_s8((int8_t)limits[1])), vdupq_n_s8((int8_t)limits[0])));
}

ERT_INLINE void add_row(four_fn *four, const void *params, const int32_t *limits, const int8_t *a, const int8_t *b,
                        int8_t *out, int32_t n) {
  int32_t i = 0;
  for (; i <= n - AT_ONCE; i += AT_ONCE) block(four, params, limits, a + i, b + i, out + i);
  if (i == n) return;
  int8_t rest[3][AT_ONCE] = {{0}}; /* nothing is read or written past the ends */
  ERT_MEMMOVE(rest[0], a + i, n - i);
  ERT_MEMMOVE(rest[1], b + i, n - i);
  block(four, params, limits, rest[0], rest[1], rest[2]);
  ERT_MEMMOVE(out + i, rest[2], n - i);
}

void ert_add_s8s8_linear16__neon(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_linear_params p = *(const ert_add_s8s8_linear_params *)(const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    add_row(four_linear, &p, &p.min, ert_row(&c->in[0], y), ert_row(&c->in[1], y), ert_out_row(&c->out, y),
            p.shape.w * p.shape.c);
}

void ert_add_s8s8_x16__neon(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_dense_params p = *(const ert_add_s8s8_dense_params *)(const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    add_row(four_dense, &p, &p.min, ert_row(&c->in[0], y), ert_row(&c->in[1], y), ert_out_row(&c->out, y),
            p.shape.w * p.shape.c);
}

/* Four items of an operand from item i on, or one that stands for all. */
ERT_INLINE float32x4_t items(const float *x, int32_t step, int32_t i) {
  return step ? vld1q_f32(x + i) : vdupq_n_f32(*x);
}

ERT_INLINE float32x4_t clamped(float32x4_t x, float low, float high) {
  return vmaxq_f32(vminq_f32(x, vdupq_n_f32(high)), vdupq_n_f32(low));
}

static float clamp(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static void add_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_add_f32_params p = *(const ert_add_f32_params *)(const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  int32_t i = 0;
  for (; i <= p.shape.c - FLOATS_AT_ONCE; i += FLOATS_AT_ONCE) {
    const float32x4_t other = vmulq_n_f32(items(b, p.shape.b_item, i), p.b_sign);
    vst1q_f32(out + i, clamped(vaddq_f32(items(a, p.shape.a_item, i), other), p.min, p.max));
  }
  for (; i < p.shape.c; i++) out[i] = clamp(a[i * p.shape.a_item] + p.b_sign * b[i * p.shape.b_item], p.min, p.max);
}

static void mul_f32(const ert_binary_shape *g, const void *va, const void *vb, void *vout) {
  const ert_mul_f32_params p = *(const ert_mul_f32_params *)(const void *)g;
  const float *a = va, *b = vb;
  float *out = vout;
  int32_t i = 0;
  for (; i <= p.shape.c - FLOATS_AT_ONCE; i += FLOATS_AT_ONCE)
    vst1q_f32(out + i, clamped(vmulq_f32(items(a, p.shape.a_item, i), items(b, p.shape.b_item, i)), p.min, p.max));
  for (; i < p.shape.c; i++) out[i] = clamp(a[i * p.shape.a_item] * b[i * p.shape.b_item], p.min, p.max);
}

void ert_add_f32_x4__neon(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, add_f32); }
void ert_mul_f32_x4__neon(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 4, mul_f32); }

#endif
