/* SPDX-License-Identifier: Apache-2.0 */
#include "grouped_conv2d/grouped_conv2d.h"
#include "tiles_wasm.h"

#if ERT_HAS_simd128

void ert_grouped_conv2d_s8s8_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_grouped_conv2d_s8(c, ert_tiling_s8_simd128(), 8, y0, y1);
}

void ert_grouped_conv2d_f32_4x8__simd128(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_grouped_conv2d_f32(c, &ert_tiling_f32_simd128, 8, y0, y1);
}

#endif
