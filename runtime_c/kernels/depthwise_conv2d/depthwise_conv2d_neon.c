/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "tiles_arm.h"

#if ERT_HAS_neon

void ert_depthwise_conv2d_f32_4x16__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_f32(c, &ert_depthwise_f32_neon, y0, y1);
}

void ert_depthwise_conv2d_s8s8_4x16__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_s8_neon, y0, y1);
}

void ert_depthwise_conv2d_s8s8_4x16wide__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_s8_wide_neon, y0, y1);
}

#endif
