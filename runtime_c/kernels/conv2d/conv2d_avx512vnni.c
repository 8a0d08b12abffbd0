/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d/conv2d.h"
#include "tiles_x86.h"

#if ERT_HAS_avx512vnni

void ert_conv2d_s8s8_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s8_avx512vnni, y0, y1);
}

void ert_conv2d_f32_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32_avx512vnni, y0, y1);
}

void ert_conv2d_s8s4_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s8s4_avx512vnni, y0, y1);
}

void ert_conv2d_f32s4_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32s4_avx512vnni, y0, y1);
}

void ert_conv2d_f32s8_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32s8_avx512vnni, y0, y1);
}

void ert_conv2d_f32f16_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32f16_avx512vnni, y0, y1);
}

void ert_conv2d_s16s8_6x64__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s16_avx512vnni, y0, y1);
}

#endif
