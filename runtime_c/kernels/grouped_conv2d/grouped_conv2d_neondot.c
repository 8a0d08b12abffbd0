/* SPDX-License-Identifier: Apache-2.0 */
#include "grouped_conv2d/grouped_conv2d.h"
#include "tiles_arm.h"

#if ERT_HAS_neondot && ERT_HAS_neon

void ert_grouped_conv2d_s8s8_8x8__neondot(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_grouped_conv2d_s8(c, &ert_tiling_s8_neondot, 8, y0, y1);
}

#endif
