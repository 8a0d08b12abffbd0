/* SPDX-License-Identifier: Apache-2.0 */
#include "columns.h"

#if ERT_HAS_avx512vnni

extern const ert_columns_kernel ert_columns_s8_avx512vnni, ert_columns_f32_avx512vnni, ert_columns_s16_avx512vnni;

void ert_depthwise_conv2d_s8s8_4x32__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s8_avx512vnni, y0, y1);
}

void ert_depthwise_conv2d_s16s8_4x16__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_s8(c, &ert_columns_s16_avx512vnni, y0, y1);
}

void ert_depthwise_conv2d_f32_4x16__avx512vnni(const ert_call *c, int32_t y0, int32_t y1) {
  ert_columns_f32(c, &ert_columns_f32_avx512vnni, y0, y1);
}

#endif
