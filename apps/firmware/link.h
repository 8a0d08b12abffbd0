/* SPDX-License-Identifier: Apache-2.0 */
/* Frames on a serial link. Raw: kind, sequence number, payload, CRC-16 (CCITT, 0x1021, from 0xffff, low byte first).
 * On the wire: the raw bytes COBS-encoded, so that 0 never occurs in them, then one 0. */
#ifndef LINK_H
#define LINK_H

#include <stdint.h>

enum {
  LINK_HEAD = 2,
  LINK_CRC = 2,
  LINK_CHUNK = 256,                                  /* tensor bytes in one frame */
  LINK_RAW = LINK_HEAD + LINK_CHUNK + 12 + LINK_CRC, /* 12: row, offset and what is watched */
  LINK_WIRE = LINK_RAW + LINK_RAW / 254 + 1          /* longest COBS encoding, without its 0 */
};

enum { LINK_ECRC = -101, LINK_ELONG = -102, LINK_ECOBS = -103 };

uint16_t link_crc(const uint8_t *bytes, int32_t n);

/* Writes n raw bytes, COBS-encoded, and the closing 0. */
void link_encode(const uint8_t *raw, int32_t n, void (*put)(uint8_t));

/* Decodes in place n wire bytes (without the 0) and checks the CRC: bytes of head and payload, or negative LINK_E. */
int32_t link_decode(uint8_t *bytes, int32_t n);

#endif
