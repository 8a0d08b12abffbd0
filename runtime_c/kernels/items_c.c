/* SPDX-License-Identifier: Apache-2.0 */
#include "items.h"

int32_t ert_item_size(int32_t dtype) {
  static const uint8_t sizes[] = {4, 2, 1, 1, 2, 4, 8, 1};
  return ert_within(dtype, ERT_F32, ERT_BOOL) ? sizes[dtype] : 0;
}

int64_t ert_load_item(const void *items, int32_t i, int32_t dtype) {
  switch (dtype) {
    case ERT_S8:
      return ((const int8_t *)items)[i];
    case ERT_U8:
      return ((const uint8_t *)items)[i];
    case ERT_BOOL:
      return ((const uint8_t *)items)[i] != 0;
    case ERT_S16:
      return ((const int16_t *)items)[i];
    case ERT_S32:
      return ((const int32_t *)items)[i];
    default:
      return ((const int64_t *)items)[i];
  }
}

void ert_store_item(void *items, int32_t i, int32_t dtype, int64_t value) {
  switch (dtype) {
    case ERT_S8:
    case ERT_U8:
      ((uint8_t *)items)[i] = (uint8_t)value;
      return;
    case ERT_BOOL:
      ((uint8_t *)items)[i] = value != 0;
      return;
    case ERT_S16:
      ((int16_t *)items)[i] = (int16_t)value;
      return;
    case ERT_S32:
      ((int32_t *)items)[i] = (int32_t)value;
      return;
    default:
      ((int64_t *)items)[i] = value;
  }
}
