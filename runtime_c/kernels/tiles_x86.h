/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ERT_TILES_X86_H
#define ERT_TILES_X86_H

#include "tiles.h"

/* Tiles in 32 registers of 64 bytes: pixels, panels of channels, channels of a panel. */
enum { ERT_ZMM_PIXELS = 6, ERT_ZMM_PANELS = 4, ERT_ZMM_CHANNELS = 16 };

/* X(0) ... X(5): arrays whose indices are all literal stay in registers whatever the compiler's flags. */
#define ERT_EACH_PIXEL(X) X(0) X(1) X(2) X(3) X(4) X(5)

/* `by_pixels` of a tiling, from one function that is inlined for each count of pixels and of panels. */
#define ERT_ZMM_TILE(name, pixels)                                   \
  static void name##pixels(const ert_tile_args *t) {                 \
    if (t->channels > 3 * ERT_ZMM_CHANNELS) name(t, pixels, 4);      \
    else if (t->channels > 2 * ERT_ZMM_CHANNELS) name(t, pixels, 3); \
    else if (t->channels > ERT_ZMM_CHANNELS) name(t, pixels, 2);     \
    else name(t, pixels, 1);                                         \
  }
#define ERT_ZMM_TILES(name) \
  ERT_ZMM_TILE(name, 1)     \
  ERT_ZMM_TILE(name, 2)     \
  ERT_ZMM_TILE(name, 3)     \
  ERT_ZMM_TILE(name, 4)     \
  ERT_ZMM_TILE(name, 5)     \
  ERT_ZMM_TILE(name, 6)     \
  static ert_tile_fn *const name##_by_pixels[] = {name##1, name##2, name##3, name##4, name##5, name##6};

extern const ert_tiling ert_tiling_f32_avx2;
extern const ert_tiling ert_tiling_s8_avx2, ert_tiling_s8_avxvnni;
extern const ert_tiling ert_tiling_s8_avx512vnni;
extern const ert_tiling ert_tiling_f32_avx512vnni;

#endif
