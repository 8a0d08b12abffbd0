/* SPDX-License-Identifier: Apache-2.0 */
#include "thumb2.h"

#if ERT_HAS_thumb2

void ert_copy_bytes(uint8_t *to, const uint8_t *from, int32_t n) {
  for (; n >= 16; n -= 16, from += 16, to += 16) {
    const uint32_t a = ert_load_word(from), b = ert_load_word(from + 4);
    const uint32_t d = ert_load_word(from + 8), e = ert_load_word(from + 12);
    ert_store_word(to, a), ert_store_word(to + 4, b), ert_store_word(to + 8, d), ert_store_word(to + 12, e);
  }
  if (n & 8) {
    const uint32_t a = ert_load_word(from), b = ert_load_word(from + 4);
    ert_store_word(to, a), ert_store_word(to + 4, b);
    from += 8, to += 8;
  }
  if (n & 4) {
    ert_store_word(to, ert_load_word(from));
    from += 4, to += 4;
  }
  if (n & 2) to[0] = from[0], to[1] = from[1], from += 2, to += 2;
  if (n & 1) to[0] = from[0];
}

void ert_fill_bytes(uint8_t *to, int32_t byte, int32_t n) {
  const uint32_t all = 0x01010101u * (uint8_t)byte;
  for (; n >= 8; n -= 8, to += 8) ert_store_word(to, all), ert_store_word(to + 4, all);
  if (n & 4) ert_store_word(to, all), to += 4;
  if (n & 2) to[0] = to[1] = (uint8_t)byte, to += 2;
  if (n & 1) to[0] = (uint8_t)byte;
}

#endif
