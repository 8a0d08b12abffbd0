/* SPDX-License-Identifier: Apache-2.0 */
/* Integer layers of NEON without dot products: tiles of 4 pixels x 4 channels, whose vectors have terms of K: their
 * lanes are added up at the end. */
#ifndef ERT_TILES_S8_NEON_H
#define ERT_TILES_S8_NEON_H

#include "tiles_arm.h"

#if ERT_HAS_neon

#if defined(__aarch64__)
enum { ERT_NEON_PIXELS = 4 };
#else
enum { ERT_NEON_PIXELS = 2 }; /* half as many registers */
#endif
enum { ERT_NEON_CHANNELS = 4 };

/* The sums of four vectors. */
ERT_INLINE int32x4_t ert_neon_across(const int32x4_t *v) {
#if defined(__aarch64__)
  return vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3]));
#else
  int32x2_t half[4];
  ERT_UNROLLED
  for (int o = 0; o < 4; o++) half[o] = vpadd_s32(vget_low_s32(v[o]), vget_high_s32(v[o]));
  return vcombine_s32(vpadd_s32(half[0], half[1]), vpadd_s32(half[2], half[3]));
#endif
}

#define ERT_NEON_STORE(i, lane)                        \
  if (first + i < pixels) {                            \
    const uint32_t word = vgetq_lane_u32(words, lane); \
    ERT_MEMMOVE(out[first + i], &word, 4);             \
  }

/* Outputs from sums of four channels with their biases. */
ERT_INLINE void ert_neon_store_four(const ert_tile_args *t, const int32x4_t *sums, const int pixels) {
  const int32_t *scales = t->scales;
  const int32x4_t multiplier = vld1q_s32(scales + 4), left = vnegq_s32(vld1q_s32(scales + 8));
  void *const *const out = t->out;
  int8x16_t y[(ERT_NEON_PIXELS + 3) / 4];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i += 4) {
    int16x4_t four[4];
    ERT_UNROLLED
    for (int j = 0; j < 4; j++)
      four[j] = i + j < pixels ? vqmovn_s32(ert_neon_rescale(sums[i + j], multiplier, left)) : four[0];
    y[i / 4] = ert_neon_finish(t, vcombine_s16(four[0], four[1]), vcombine_s16(four[2], four[3]));
  }
  ERT_UNROLLED
  for (int first = 0; first < pixels; first += 4) {
    const uint32x4_t words = vreinterpretq_u32_s8(y[first / 4]);
    ERT_NEON_STORE(0, 0)
    ERT_NEON_STORE(1, 1)
    ERT_NEON_STORE(2, 2)
    ERT_NEON_STORE(3, 3)
  }
}

#undef ERT_NEON_STORE

#endif
#endif
