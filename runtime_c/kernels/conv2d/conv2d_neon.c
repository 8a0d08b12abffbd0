/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d/conv2d.h"
#include "tiles_arm.h"

#if ERT_HAS_neon

void ert_conv2d_f32_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_f32_tiles_params *p = (const void *)c->params;
  const int packs = ert_tiles_packs(ert_tiles_runs(&p->g, 1, 4), p->g.out_c);
  ert_tiles_conv2d_f32(c, ERT_NEON_FLOATS(packs), y0, y1);
}

void ert_conv2d_f32s8_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32s8_neon, y0, y1);
}

void ert_conv2d_f32f16_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32f16_neon, y0, y1);
}

void ert_conv2d_f32s4_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32s4_neon, y0, y1);
}

void ert_conv2d_s8s8_4x4__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s8_neon, y0, y1);
}

void ert_conv2d_s8s8_4x4wide__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s8_wide_neon, y0, y1);
}

void ert_conv2d_s8s4_4x4__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s4_neon, y0, y1);
}

void ert_conv2d_s16s8_8x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s16_neon, y0, y1);
}

#endif
