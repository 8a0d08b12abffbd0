/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"
#include "tiles_arm.h"

#if ERT_HAS_neon

extern const ert_columns_kernel ert_columns_f32_neon;

void ert_depthwise_conv2d_f32_7x8__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_f32(c, &ert_columns_f32_neon, y0, y1);
}

void ert_depthwise_conv2d_s8s8_4x16__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_s8_neon, y0, y1);
}

void ert_depthwise_conv2d_s8s8_4x16wide__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_s8_wide_neon, y0, y1);
}

void ert_depthwise_conv2d_s16s8_4x16__neon(const ert_call *c, int32_t y0, int32_t y1) {
  ert_tiles_depthwise_s8(c, &ert_depthwise_s16_neon, y0, y1);
}

#endif
