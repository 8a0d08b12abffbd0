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

/* A word from any address. */
ERT_INLINE int32_t ert_neon_word(const void *p) {
  int32_t word;
  ERT_MEMMOVE(&word, p, 4);
  return word;
}

extern const ert_tiling ert_tiling_f32_neon;
extern const ert_tiling ert_tiling_s8_neon;      /* weights above -128 */
extern const ert_tiling ert_tiling_s8_wide_neon; /* any weights */
extern const ert_tiling ert_tiling_s8_neondot;
extern const ert_tiling ert_depthwise_s8_neon;
extern const ert_tiling ert_depthwise_s8_wide_neon;

#endif
#endif
