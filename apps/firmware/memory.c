/* SPDX-License-Identifier: Apache-2.0 */
/* The four functions that a freestanding compiler may call. Copies matter: a convolution gathers its window with
 * memcpy. Words are used where the core reads them at any address, or where both ends are aligned. */
#include <stddef.h>
#include <stdint.h>

#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

#if defined(__ARM_FEATURE_UNALIGNED)
enum { ANY_ADDRESS = 1 };
#else
enum { ANY_ADDRESS = 0 };
#endif

/* Four words at any address; the attribute keeps the compiler from assuming more. */
#if defined(__ARM_FEATURE_UNALIGNED)
typedef struct __attribute__((packed, may_alias)) {
  uint32_t w;
} word;
#else
typedef struct __attribute__((may_alias)) {
  uint32_t w;
} word;
#endif

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

/* From the front, each part read before it is written: `to` may also lie in front of an overlapping `from`. */
static inline void copy_forward(uint8_t *d, const uint8_t *s, size_t bytes) {
#if defined(__ARM_FEATURE_MVE)
  for (; bytes >= 16; bytes -= 16, s += 16, d += 16) vstrbq_u8(d, vldrbq_u8(s));
  const mve_pred16_t tail = vctp8q((uint32_t)bytes);
  vstrbq_p_u8(d, vldrbq_z_u8(s, tail), tail);
#else
  if (ANY_ADDRESS || (((uintptr_t)d | (uintptr_t)s) & 3) == 0) {
    for (; bytes >= 16; bytes -= 16, s += 16, d += 16) {
      const word *from4 = (const void *)s;
      word *to4 = (void *)d;
      const word a = from4[0], b = from4[1], c = from4[2], e = from4[3];
      to4[0] = a, to4[1] = b, to4[2] = c, to4[3] = e;
    }
    for (; bytes >= 4; bytes -= 4, s += 4, d += 4) *(word *)(void *)d = *(const word *)(const void *)s;
  }
  for (; bytes > 0; bytes--) *d++ = *s++;
#endif
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) { return memmove(to, from, bytes); }

void *memset(void *to, int byte, size_t bytes) {
  uint8_t *d = to;
#if defined(__ARM_FEATURE_MVE)
  const uint8x16_t all = vdupq_n_u8((uint8_t)byte);
  for (; bytes >= 16; bytes -= 16, d += 16) vstrbq_u8(d, all);
  vstrbq_p_u8(d, all, vctp8q((uint32_t)bytes));
#else
  const word all = {0x01010101u * (uint8_t)byte};
  if (ANY_ADDRESS || ((uintptr_t)d & 3) == 0)
    for (; bytes >= 4; bytes -= 4, d += 4) *(word *)(void *)d = all;
  for (; bytes > 0; bytes--) *d++ = (uint8_t)byte;
#endif
  return to;
}

void *memmove(void *to, const void *from, size_t bytes) {
  uint8_t *d = to;
  const uint8_t *s = from;
  if ((uintptr_t)d - (uintptr_t)s >= bytes) {
    copy_forward(d, s, bytes);
  } else {
    for (size_t i = bytes; i > 0; i--) d[i - 1] = s[i - 1];
  }
  return to;
}

int memcmp(const void *a, const void *b, size_t bytes) {
  const uint8_t *x = a, *y = b;
  for (size_t i = 0; i < bytes; i++)
    if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
  return 0;
}
