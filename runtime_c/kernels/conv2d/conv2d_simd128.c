/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d/conv2d.h"
#include "tiles_wasm.h"

#if ERT_HAS_simd128

void ert_conv2d_s8s8_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, ert_tiling_s8_simd128(), y0, y1);
}

void ert_conv2d_f32_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32_simd128, y0, y1);
}

void ert_conv2d_s8s4_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, ert_tiling_s8s4_simd128(), y0, y1);
}

void ert_conv2d_f32s8_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32s8_simd128, y0, y1);
}

void ert_conv2d_f32f16_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32f16_simd128, y0, y1);
}

void ert_conv2d_f32s4_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32s4_simd128, y0, y1);
}

void ert_conv2d_s16s8_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_s8(c, &ert_tiling_s16_simd128, y0, y1);
}

#endif
