/* SPDX-License-Identifier: Apache-2.0 */
#include "conv2d/conv2d.h"
#include "tiles_arm.h"

#if ERT_HAS_neonfp16 && ERT_HAS_neon

void ert_conv2d_f32f16_8x16__neonfp16(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_conv2d_f32(c, &ert_tiling_f32f16_neonfp16, y0, y1);
}

#endif
