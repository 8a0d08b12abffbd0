/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ERT_TILES_X86_H
#define ERT_TILES_X86_H

#include "tiles.h"

/* Tiles in 32 registers of 64 bytes: pixels, panels of channels, channels of a panel. */
enum { ERT_ZMM_PIXELS = 6, ERT_ZMM_PANELS = 4, ERT_ZMM_CHANNELS = 16 };

/* X(0) ... X(5): arrays whose indices are all literal stay in registers whatever the compiler's flags. */
#define ERT_EACH_PIXEL(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* Between the loop that computes a sum and what is computed from it: else GCC 12 keeps the sum in two registers, and moves
 * or spills all of them in every turn. */
#define ERT_SETTLE(sum) __asm__("" : "+v"(sum))

/* Keeps compilers from loading what lies at p before it is its turn: at once, or after `sum`. Registers are scarce. */
#define ERT_IN_TURN(p) __asm__ volatile("" : "+r"(p))
#define ERT_IN_TURN_AFTER(p, sum) __asm__ volatile("" : "+r"(p), "+v"(sum))

/* Factors of groups are read too seldom for a processor to foresee it: 512 bytes before they are needed. */
#define ERT_FETCH_FACTORS(f) __builtin_prefetch((const void *)((uintptr_t)(f) + 512))

/* `by_pixels` of a tiling, from one function that is inlined for each count of pixels and of panels. */
#define ERT_ZMM_TILE(name, pixels)                                   \
  static void name##pixels(const ert_tile_args *t) {                 \
    if (t->channels > 3 * ERT_ZMM_CHANNELS) name(t, pixels, 4);      \
    else if (t->channels > 2 * ERT_ZMM_CHANNELS) name(t, pixels, 3); \
    else if (t->channels > ERT_ZMM_CHANNELS) name(t, pixels, 2);     \
    else name(t, pixels, 1);                                         \
  }
#define ERT_BY_FIVE(X, name) \
  X(name, 1)                 \
  X(name, 2)                 \
  X(name, 3)                 \
  X(name, 4)                 \
  X(name, 5)                 \
  static ert_tile_fn *const name##_by_pixels[] = {name##1, name##2, name##3, name##4, name##5};
#define ERT_BY_PIXELS(X, name) \
  X(name, 1)                   \
  X(name, 2)                   \
  X(name, 3)                   \
  X(name, 4)                   \
  X(name, 5)                   \
  X(name, 6)                   \
  static ert_tile_fn *const name##_by_pixels[] = {name##1, name##2, name##3, name##4, name##5, name##6};

/* Values that float kernels read as floats: weights, or the factors of their groups. */
typedef enum { ERT_X86_F32, ERT_X86_F16, ERT_X86_S8, ERT_X86_S4, ERT_X86_U8 } ert_x86_kind;

ERT_INLINE int32_t ert_x86_bits(ert_x86_kind kind) {
  return kind == ERT_X86_F32 ? 32 : kind == ERT_X86_F16 ? 16 : kind == ERT_X86_S4 ? 4 : 8;
}

/* Of a block of weights: KR. */
ERT_INLINE int32_t ert_x86_terms(ert_x86_kind kind) { return kind == ERT_X86_S4 ? 8 : 1; }

/* Whether sums are multiplied by scales. */
ERT_INLINE int ert_x86_scaled(ert_x86_kind kind) { return kind == ERT_X86_S8 || kind == ERT_X86_S4; }

extern const ert_tiling ert_tiling_f32_avx2, ert_tiling_f32f16_avx2, ert_tiling_f32s8_avx2, ert_tiling_f32s4_avx2;
extern const ert_tiling ert_tiling_s8_avx2, ert_tiling_s8s4_avx2, ert_tiling_s8_avxvnni, ert_tiling_s8s4_avxvnni;
extern const ert_tiling ert_tiling_s16_avx2, ert_tiling_s16_avxvnni, ert_tiling_s16_avx512vnni;
extern const ert_tiling ert_tiling_s8_avx512vnni, ert_tiling_s8s4_avx512vnni;
extern const ert_tiling ert_tiling_f32_avx512vnni, ert_tiling_f32f16_avx512vnni, ert_tiling_f32s8_avx512vnni;
extern const ert_tiling ert_tiling_f32s4_avx512vnni;

#endif
