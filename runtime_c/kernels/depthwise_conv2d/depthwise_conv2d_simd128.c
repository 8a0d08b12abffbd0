/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "tiles_wasm.h"

#if ERT_HAS_simd128

void ert_depthwise_conv2d_s8s8_3x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_tiling_s8_simd128, y0, y1);
}

void ert_depthwise_conv2d_f32_3x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_f32(c, &ert_depthwise_tiling_f32_simd128, y0, y1);
}

void ert_depthwise_conv2d_s16s8_3x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_tiling_s16_simd128, y0, y1);
}

#endif
