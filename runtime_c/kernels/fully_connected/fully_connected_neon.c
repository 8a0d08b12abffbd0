/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "tiles_arm.h"

#if ERT_HAS_neon

void ert_fully_connected_f32_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32_tiles_params *p = (const void *)c->params;
  const int packs = y1 - y0 > 1 && ert_tiles_packs(1, p->out_c);
  ert_tiles_fully_connected_f32(c, ERT_NEON_FLOATS(packs), y0, y1);
}

void ert_fully_connected_f32s8_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32s8_neon, y0, y1);
}

void ert_fully_connected_f32f16_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32f16_neon, y0, y1);
}

void ert_fully_connected_f32s4_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32s4_neon, y0, y1);
}

void ert_fully_connected_s8s8_4x4__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8_neon, y0, y1);
}

void ert_fully_connected_s8s8_4x4wide__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8_wide_neon, y0, y1);
}

void ert_fully_connected_s8s4_4x4__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s4_neon, y0, y1);
}

void ert_fully_connected_s16s8_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s16_neon, y0, y1);
}

#endif
