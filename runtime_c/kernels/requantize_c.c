/* SPDX-License-Identifier: Apache-2.0 */
#include "requantize.h"

void ert_clamp_row(int8_t *out, int32_t n, int32_t low, int32_t high) {
  for (; n > 0 && (low > INT8_MIN || high < INT8_MAX); n--, out++) *out = (int8_t)ert_clamp(*out, low, high);
}
