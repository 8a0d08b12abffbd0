/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "tiles_arm.h"

#if ERT_HAS_neondot && ERT_HAS_neon

void ert_fully_connected_s8s8_8x8__neondot(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8_neondot, y0, y1);
}

void ert_fully_connected_s8s4_8x8__neondot(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s4_neondot, y0, y1);
}

void ert_fully_connected_s16s8_4x8__neondot(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s16_neondot, y0, y1);
}

#endif
