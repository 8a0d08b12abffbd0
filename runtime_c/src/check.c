/* SPDX-License-Identifier: Apache-2.0 */
#include "ert.h"

/* CRC-32 (reflected 0xEDB88320), four bits at a time: 64 bytes of table. */
static uint32_t crc32(const uint8_t *p, size_t n) {
  static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                     0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                     0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  uint32_t crc = 0xffffffff;
  for (size_t i = 0; i < n; i++) {
    crc ^= p[i];
    crc = table[crc & 15] ^ (crc >> 4);
    crc = table[crc & 15] ^ (crc >> 4);
  }
  return ~crc;
}

static uint32_t word_at(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int ert_check(const void *bytes, size_t n_bytes) {
  const uint8_t *p = bytes;
  if (n_bytes < 16 || word_at(p + 8) > n_bytes || word_at(p + 8) < 16) return ERT_ETRUNCATED;
  return crc32(p + 16, word_at(p + 8) - 16) == word_at(p + 12) ? ERT_OK : ERT_ECHECKSUM;
}

const char *ert_message(int code) {
  static const char *const messages[] = {
      "ok",
      "fewer bytes than the header says",
      "not a .edge file",
      "written for another format version",
      "needs a feature that this runtime has not got",
      "the file or the arena is not 16-byte aligned",
      "an offset or a size points outside",
      "needs a kernel that is not in this build",
      "packed for an instruction set that this build has not got",
      "the parameters of a step contradict its views",
      "the arena is smaller than the model needs",
      "the bytes were damaged",
      "no input or output of that number",
      "the input is not one that is pushed in rows, or has fewer rows",
      "the input is not bound, or not one that can be",
  };
  const int n = (int)(sizeof messages / sizeof messages[0]);
  return code <= 0 && -code < n ? messages[-code] : "unknown error";
}
