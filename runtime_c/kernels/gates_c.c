/* SPDX-License-Identifier: Apache-2.0 */
#include "gates.h"

/* (table at |x| / 2^bits) * 2^bits; `most` past its end. A file may hold any table: sums wrap. */
static uint32_t interpolated(const uint16_t *table, int32_t x, int32_t bits, uint32_t most) {
  const uint32_t magnitude = x < 0 ? 0u - (uint32_t)x : (uint32_t)x, at = magnitude >> bits;
  if (at >= ERT_SIGMOID_ENTRIES - 1) return most;
  const uint32_t a = table[at], b = table[at + 1];
  return (a << bits) + (magnitude & ((1u << bits) - 1u)) * (b - a);
}

int16_t ert_sigmoid16(const uint16_t *table, int32_t x) {
  const uint32_t y = interpolated(table, x, 9, (uint32_t)INT16_MAX << 10);
  return (int16_t)((x < 0 ? (1u << 25) - y + (1u << 9) - 1u : y + (1u << 9)) >> 10);
}

int16_t ert_tanh16(const uint16_t *table, int32_t x) {
  const uint32_t y = interpolated(table, x, 8, (uint32_t)UINT16_MAX << 8) - (1u << 23);
  return (int16_t)((int32_t)((x < 0 ? 0u - y - 1u : y) + (1u << 7)) >> 8);
}
