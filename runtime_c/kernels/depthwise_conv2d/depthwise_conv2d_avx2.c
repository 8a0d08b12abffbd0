/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#if ERT_HAS_avx2

extern const ert_columns_kernel ert_columns_f32_avx2, ert_columns_s8_avx2, ert_columns_s8_avxvnni;
extern const ert_columns_kernel ert_columns_s16_avx2, ert_columns_s16_avxvnni;

void ert_depthwise_conv2d_f32_4x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_f32(c, &ert_columns_f32_avx2, y0, y1);
}

void ert_depthwise_conv2d_s8s8_2x32__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s8_avx2, y0, y1);
}

void ert_depthwise_conv2d_s16s8_4x16__avx2(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s16_avx2, y0, y1);
}

void ert_depthwise_conv2d_s16s8_4x16__avxvnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s16_avxvnni, y0, y1);
}

void ert_depthwise_conv2d_s8s8_2x32__avxvnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s8_avxvnni, y0, y1);
}

#endif
