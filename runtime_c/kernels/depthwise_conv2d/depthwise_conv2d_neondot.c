/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"
#include "tiles_arm.h"

#if ERT_HAS_neondot && ERT_HAS_neon

extern const ert_columns_kernel ert_columns_s8_neondot;

void ert_depthwise_conv2d_s8s8_1x16__neondot(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s8_neondot, y0, y1);
}

#endif
