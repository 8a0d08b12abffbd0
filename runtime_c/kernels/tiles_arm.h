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

extern const ert_tiling ert_tiling_f32_neon;
extern const ert_tiling ert_tiling_f32f16_neon;
extern const ert_tiling ert_tiling_f32s8_neon;
extern const ert_tiling ert_tiling_f32s4_neon;
extern const ert_tiling ert_tiling_s8_neon;      /* weights above -128 */
extern const ert_tiling ert_tiling_s8_wide_neon; /* any weights */
extern const ert_tiling ert_tiling_s4_neon;
extern const ert_tiling ert_tiling_s8_neondot;
extern const ert_tiling ert_tiling_s4_neondot;
extern const ert_tiling ert_depthwise_s8_neon;
extern const ert_tiling ert_depthwise_s8_wide_neon;

#endif
#endif
