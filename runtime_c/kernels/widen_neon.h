/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of float layers that are int8, int4 or float16 ones: vectors of floats from the bytes that hold them. */
#ifndef ERT_WIDEN_NEON_H
#define ERT_WIDEN_NEON_H

#include "tiles_arm.h"

#if ERT_HAS_neon

/* Where the second and the third byte of each word lie: 255 gives 0 for what is below them. */
typedef struct {
  uint8x16_t second, third;
} ert_neon_places;

ERT_INLINE ert_neon_places ert_neon_find_places(void) {
  static const uint32_t second[4] = {0x01ffffff, 0x05ffffff, 0x09ffffff, 0x0dffffff};
  const uint32x4_t at = vld1q_u32(second);
  ert_neon_places places = {vreinterpretq_u8_u32(at), vreinterpretq_u8_u32(vaddq_u32(at, vdupq_n_u32(1u << 24)))};
  ERT_NEON_KEEP(places.second);
  ERT_NEON_KEEP(places.third);
  return places;
}

#if ERT_NEON_ORDERED
/* Byte `term` of each word, as a word: 2^24 times its value, but for the last one. */
ERT_INLINE void ert_neon_spread(int8x16_t *y, int8x16_t v, const ert_neon_places *at, const int term) {
  if (term == 0) __asm__ volatile("shl %0.4s, %1.4s, #24" : "=w"(*y) : "w"(v));
  else if (term == 1) __asm__ volatile("tbl %0.16b, {%1.16b}, %2.16b" : "=w"(*y) : "w"(v), "w"(at->second));
  else if (term == 2) __asm__ volatile("tbl %0.16b, {%1.16b}, %2.16b" : "=w"(*y) : "w"(v), "w"(at->third));
  else __asm__ volatile("sshr %0.4s, %1.4s, #24" : "=w"(*y) : "w"(v));
}

/* What ert_neon_spread gives as floats; `sixteens`: bytes are 16 times what they stand for. */
ERT_INLINE void ert_neon_to_floats(float32x4_t *y, int8x16_t v, const int term, const int sixteens) {
  if (term < 3 && sixteens) __asm__ volatile("scvtf %0.4s, %1.4s, #28" : "=w"(*y) : "w"(v));
  else if (term < 3) __asm__ volatile("scvtf %0.4s, %1.4s, #24" : "=w"(*y) : "w"(v));
  else if (sixteens) __asm__ volatile("scvtf %0.4s, %1.4s, #4" : "=w"(*y) : "w"(v));
  else __asm__ volatile("scvtf %0.4s, %1.4s" : "=w"(*y) : "w"(v));
}

/* The lower or the upper four of eight half floats. */
ERT_INLINE void ert_neon_halves_to_floats(float32x4_t *y, int8x16_t v, const int upper) {
  if (upper) __asm__ volatile("fcvtl2 %0.4s, %1.8h" : "=w"(*y) : "w"(v));
  else __asm__ volatile("fcvtl %0.4s, %1.4h" : "=w"(*y) : "w"(v));
}

/* The low halves of bytes, 16 times their values, or the high halves. */
ERT_INLINE void ert_neon_take_half(int8x16_t *v, const int high) {
  if (high) __asm__ volatile("sshr %0.16b, %0.16b, #4" : "+w"(*v));
  else __asm__ volatile("shl %0.16b, %0.16b, #4" : "+w"(*v));
}
#else
ERT_INLINE void ert_neon_spread(int8x16_t *y, int8x16_t v, const ert_neon_places *at, const int term) {
  const int32x4_t words = vreinterpretq_s32_s8(v), top = vdupq_n_s32((int32_t)0xff000000u);
  (void)at;
  *y = vreinterpretq_s8_s32(term == 0   ? vshlq_n_s32(words, 24)
                            : term == 1 ? vandq_s32(vshlq_n_s32(words, 16), top)
                            : term == 2 ? vandq_s32(vshlq_n_s32(words, 8), top)
                                        : vshrq_n_s32(words, 24));
}

ERT_INLINE void ert_neon_to_floats(float32x4_t *y, int8x16_t v, const int term, const int sixteens) {
  const int32x4_t words = vreinterpretq_s32_s8(v);
  *y = term == 3 ? (sixteens ? vcvtq_n_f32_s32(words, 4) : vcvtq_f32_s32(words))
                 : (sixteens ? vcvtq_n_f32_s32(words, 28) : vcvtq_n_f32_s32(words, 24));
}

/* Exponents go from 15 to 127 and from 31 to 255; halves without one are multiples of 2^-24, as their vectors may
 * know no floats without one. */
ERT_INLINE void ert_neon_halves_to_floats(float32x4_t *y, int8x16_t v, const int upper) {
  const uint16x8_t halves = vreinterpretq_u16_s8(v);
  const uint32x4_t h = vmovl_u16(upper ? vget_high_u16(halves) : vget_low_u16(halves));
  const uint32x4_t sign = vshlq_n_u32(vandq_u32(h, vdupq_n_u32(0x8000)), 16);
  const uint32x4_t magnitude = vandq_u32(h, vdupq_n_u32(0x7fff)), rebias = vdupq_n_u32(112u << 23);
  const uint32x4_t special = vandq_u32(vcgeq_u32(magnitude, vdupq_n_u32(0x7c00)), rebias);
  const uint32x4_t normal = vaddq_u32(vaddq_u32(vshlq_n_u32(magnitude, 13), rebias), special);
  const uint32x4_t tiny = vreinterpretq_u32_f32(vcvtq_n_f32_u32(magnitude, 24));
  const uint32x4_t bits = vbslq_u32(vcltq_u32(magnitude, vdupq_n_u32(0x400)), tiny, normal);
  *y = vreinterpretq_f32_u32(vorrq_u32(bits, sign));
}

ERT_INLINE void ert_neon_take_half(int8x16_t *v, const int high) { *v = high ? vshrq_n_s8(*v, 4) : vshlq_n_s8(*v, 4); }
#endif

#endif
#endif
