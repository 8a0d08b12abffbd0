/* SPDX-License-Identifier: Apache-2.0 */
/* What the tiles of NEON, with and without its later extensions, have in common. */
#ifndef ERT_TILES_ARM_H
#define ERT_TILES_ARM_H

#include "tiles.h"

#if ERT_HAS_neon
#include <arm_neon.h>

/* Sums to outputs without zero point: requantize.h's formula for right shifts of 1 to 31, given as `left` = -shift. */
ERT_INLINE int32x4_t ert_neon_rescale(int32x4_t sum, int32x4_t multiplier, int32x4_t left) {
  const int32x4_t high = vqrdmulhq_s32(sum, multiplier);
  return vrshlq_s32(vsraq_n_s32(high, high, 31), left);
}

/* Zero point and limits of sixteen outputs. */
ERT_INLINE int8x16_t ert_neon_finish(const ert_tile_args *t, int16x8_t a, int16x8_t b) {
  const int16x8_t zero_point = vdupq_n_s16((int16_t)t->zero_point);
  const int8x16_t x = vcombine_s8(vqmovn_s16(vqaddq_s16(a, zero_point)), vqmovn_s16(vqaddq_s16(b, zero_point)));
  return vmaxq_s8(vminq_s8(x, vdupq_n_s8((int8_t)t->max)), vdupq_n_s8((int8_t)t->min));
}

/* The same, but for wide int16 layers: these are rounded once, and `left` is 0. */
ERT_INLINE int32x4_t ert_neon_rescale_s16(int32x4_t sum, int32x4_t multiplier, int32x4_t left, int wide) {
  return wide ? vqrdmulhq_s32(sum, multiplier) : ert_neon_rescale(sum, multiplier, left);
}

/* Eight outputs of int16 from sums with their biases, in a panel of nr channels. */
ERT_INLINE int16x8_t ert_neon_outputs_s16(const ert_tile_args *t, const int32_t *scales, int32x4_t low, int32x4_t high,
                                          const int nr) {
  const int32_t *m = scales + nr, *shift = m + nr;
  const int wide = t->zero_point != 0;
  const int32x4_t a = ert_neon_rescale_s16(low, vld1q_s32(m), vnegq_s32(vld1q_s32(shift)), wide);
  const int32x4_t b = ert_neon_rescale_s16(high, vld1q_s32(m + 4), vnegq_s32(vld1q_s32(shift + 4)), wide);
  const int16x8_t y = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
  return vmaxq_s16(vminq_s16(y, vdupq_n_s16((int16_t)t->max)), vdupq_n_s16((int16_t)t->min));
}

/* Sums of eight channels in 16 bits; those of int4 weights are 16 times what they stand for. */
ERT_INLINE int16x8_t ert_neon_rescale_eight(const int32_t *scales, int32x4_t low, int32x4_t high, const int bits) {
  const int32x4_t m0 = vld1q_s32(scales + 8), m1 = vld1q_s32(scales + 12);
  const int32x4_t s0 = vnegq_s32(vld1q_s32(scales + 16)), s1 = vnegq_s32(vld1q_s32(scales + 20));
  if (bits == 4) low = vshrq_n_s32(low, 4), high = vshrq_n_s32(high, 4);
  return vcombine_s16(vqmovn_s32(ert_neon_rescale(low, m0, s0)), vqmovn_s32(ert_neon_rescale(high, m1, s1)));
}

/* Outputs of at most eight pixels from the sums of channels 0-3 and 4-7. */
ERT_INLINE void ert_neon_store_eight(const ert_tile_args *t, const int32x4_t *low, const int32x4_t *high,
                                     const int pixels, const int bits) {
  void *const *const out = t->out;
  int16x8_t y[9];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) y[i] = ert_neon_rescale_eight(t->scales, low[i], high[i], bits);
  y[pixels] = y[0];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i += 2) {
    const int8x16_t both = ert_neon_finish(t, y[i], y[i + 1]);
    vst1_s8(out[i], vget_low_s8(both));
    if (i + 1 < pixels) vst1_s8(out[i + 1], vget_high_s8(both));
  }
}

/* The same for floats: limits, then the outputs of channels 0-3 and 4-7. */
ERT_INLINE void ert_neon_store_floats(const ert_tile_args *t, const float32x4_t *low, const float32x4_t *high,
                                      const int pixels) {
  const float32x4_t least = vdupq_n_f32(t->low), most = vdupq_n_f32(t->high);
  void *const *const out = t->out;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    float *to = out[i];
    vst1q_f32(to, vmaxq_f32(vminq_f32(low[i], most), least));
    vst1q_f32(to + 4, vmaxq_f32(vminq_f32(high[i], most), least));
  }
}

/* The factors of a group's eight channels. */
ERT_INLINE void ert_neon_factors(const uint8_t *factors, int32x4_t *low, int32x4_t *high) {
  const uint16x8_t f = vmovl_u8(vld1_u8(factors));
  *low = vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(f)));
  *high = vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(f)));
}

/* Loops that must not wait for their operands on cores that execute in order are written instruction by instruction:
 * what is volatile stays in the order of the source, where compilers bring loads and their uses together. Addresses with
 * an index, as those cores take longer for loads that also change their address. */
#if defined(__aarch64__) && defined(__GNUC__)
#define ERT_NEON_ORDERED 1

/* A constant that stays in its register: compilers would rather load it where it is needed. */
#define ERT_NEON_KEEP(x) __asm__("" : "+w"(x))

/* The vector `at` bytes behind p. */
#define ERT_NEON_LOAD(x, p, at) __asm__ volatile("ldr %q0, [%1, %2]" : "=w"(x) : "r"(p), "r"(at) : "memory")

/* Two vectors, `at` a constant. */
#define ERT_NEON_LOAD_PAIR(x, y, p, at) \
  __asm__ volatile("ldp %q0, %q1, [%2, %3]" : "=&w"(x), "=&w"(y) : "r"(p), "i"(at) : "memory")
#else
#define ERT_NEON_ORDERED 0
#define ERT_NEON_KEEP(x) (void)(x)
#define ERT_NEON_LOAD(x, p, at) ERT_MEMMOVE(&(x), (const uint8_t *)(p) + (at), 16)
#define ERT_NEON_LOAD_PAIR(x, y, p, at) \
  do {                                  \
    ERT_NEON_LOAD(x, p, at);            \
    ERT_NEON_LOAD(y, p, (at) + 16);     \
  } while (0)
#endif

/* A word from any address. */
ERT_INLINE int32_t ert_neon_word(const void *p) {
  int32_t word;
  ERT_MEMMOVE(&word, p, 4);
  return word;
}

/* Float layers: with inputs that are packed first, where that pays. Only 64-bit cores have registers for it. */
#if ERT_NEON_ORDERED
extern const ert_tiling ert_tiling_f32_packed_neon;
#define ERT_NEON_FLOATS(packs) ((packs) ? &ert_tiling_f32_packed_neon : &ert_tiling_f32_neon)
#else
#define ERT_NEON_FLOATS(packs) ((void)(packs), &ert_tiling_f32_neon)
#endif

extern const ert_tiling ert_tiling_f32_neon;
extern const ert_tiling ert_tiling_f32f16_neon;
extern const ert_tiling ert_tiling_f32f16_neonfp16;
extern const ert_tiling ert_tiling_f32s8_neon;
extern const ert_tiling ert_tiling_f32s4_neon;
extern const ert_tiling ert_tiling_s8_neon;      /* weights above -128 */
extern const ert_tiling ert_tiling_s8_wide_neon; /* any weights */
extern const ert_tiling ert_tiling_s4_neon;
extern const ert_tiling ert_tiling_s16_neon;
extern const ert_tiling ert_tiling_s8_neondot;
extern const ert_tiling ert_tiling_s4_neondot;
extern const ert_tiling ert_tiling_s16_neondot;
extern const ert_tiling ert_tiling_s8_neoni8mm;
extern const ert_tiling ert_tiling_s4_neoni8mm;
extern const ert_tiling ert_depthwise_s8_neon;
extern const ert_tiling ert_depthwise_s8_wide_neon;
extern const ert_tiling ert_depthwise_s16_neon;

#endif
#endif
