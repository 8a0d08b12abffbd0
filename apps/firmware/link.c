/* SPDX-License-Identifier: Apache-2.0 */
#include "link.h"

enum { LONGEST_RUN = 254 };

uint16_t link_crc(const uint8_t *bytes, int32_t n) {
  static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
                                     0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
  uint32_t crc = 0xffff;
  for (int32_t i = 0; i < n; i++) {
    crc = (crc << 4 ^ table[(crc >> 12 ^ bytes[i] >> 4) & 15]) & 0xffff;
    crc = (crc << 4 ^ table[(crc >> 12 ^ bytes[i]) & 15]) & 0xffff;
  }
  return (uint16_t)crc;
}

/* A block is a count and the bytes before the next zero; a zero is imagined after the last byte. */
void link_encode(const uint8_t *raw, int32_t n, void (*put)(uint8_t)) {
  for (int32_t at = 0; at <= n;) {
    int32_t run = 0;
    while (run < LONGEST_RUN && at + run < n && raw[at + run] != 0) run++;
    put((uint8_t)(run + 1));
    for (int32_t i = 0; i < run; i++) put(raw[at + i]);
    at += run < LONGEST_RUN ? run + 1 : run;
  }
  put(0);
}

static int32_t cobs_decode(uint8_t *bytes, int32_t n) {
  int32_t out = 0;
  for (int32_t at = 0; at < n;) {
    const int32_t run = bytes[at++] - 1;
    if (run < 0 || run > n - at) return LINK_ECOBS;
    for (int32_t i = 0; i < run; i++) bytes[out++] = bytes[at++];
    if (run < LONGEST_RUN && at < n) bytes[out++] = 0;
  }
  return out;
}

int32_t link_decode(uint8_t *bytes, int32_t n) {
  const int32_t raw = cobs_decode(bytes, n);
  if (raw < 0) return raw;
  const int32_t body = raw - LINK_CRC;
  if (body < LINK_HEAD) return LINK_ECRC;
  const uint32_t crc = (uint32_t)bytes[body] | (uint32_t)bytes[body + 1] << 8;
  return crc == link_crc(bytes, body) ? body : LINK_ECRC;
}
