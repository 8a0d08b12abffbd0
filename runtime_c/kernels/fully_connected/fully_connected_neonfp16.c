/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "tiles_arm.h"

#if ERT_HAS_neonfp16 && ERT_HAS_neon

void ert_fully_connected_f32f16_8x16__neonfp16(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_fully_connected_f32(c, &ert_tiling_f32f16_neonfp16, y0, y1);
}

#endif
