/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "tiles_x86.h"

#if ERT_HAS_avx2

void ert_fully_connected_f32_6x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32_avx2, y0, y1);
}

void ert_fully_connected_s8s8_4x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8_avx2, y0, y1);
}

void ert_fully_connected_s8s8_6x16__avxvnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8_avxvnni, y0, y1);
}

void ert_fully_connected_s8s4_5x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8s4_avx2, y0, y1);
}

void ert_fully_connected_s8s4_5x16__avxvnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s8s4_avxvnni, y0, y1);
}

void ert_fully_connected_f32s4_6x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32s4_avx2, y0, y1);
}

void ert_fully_connected_f32s8_6x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32s8_avx2, y0, y1);
}

void ert_fully_connected_f32f16_6x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32f16_avx2, y0, y1);
}

void ert_fully_connected_s16s8_6x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s16_avx2, y0, y1);
}

void ert_fully_connected_s16s8_6x16__avxvnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_s8(c, &ert_tiling_s16_avxvnni, y0, y1);
}

#endif
