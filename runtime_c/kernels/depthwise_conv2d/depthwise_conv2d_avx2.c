/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "tiles_x86.h"

#if ERT_HAS_avx2

void ert_depthwise_conv2d_f32_1x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_f32(c, &ert_depthwise_f32_avx2, y0, y1);
}

#endif
