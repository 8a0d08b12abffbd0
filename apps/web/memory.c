/* SPDX-License-Identifier: Apache-2.0 */
/* What a freestanding compiler may call. Engines carry out memory.copy in a call of their own: pixels and short rows
 * are moved by words instead, all of them read before the first one is written, since both ends may overlap. */
#include <stddef.h>
#include <stdint.h>

#define ANYWHERE __attribute__((packed, may_alias))
typedef struct ANYWHERE {
  uint32_t a;
} word;
typedef struct ANYWHERE {
  uint64_t a;
} pair;
typedef struct ANYWHERE {
  uint64_t a, b;
} quad;

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);

/* The first and the last item of `type`, which lie over one another where there are fewer bytes than two of them. */
#define MOVE_ENDS(type)                                                                   \
  do {                                                                                    \
    const type first = *(const type *)s, last = *(const type *)(s + bytes - sizeof last); \
    *(type *)d = first;                                                                   \
    *(type *)(d + bytes - sizeof last) = last;                                            \
  } while (0)

static void move_short(uint8_t *d, const uint8_t *s, size_t bytes) {
  if (bytes >= 16) MOVE_ENDS(quad);
  else if (bytes >= 8) MOVE_ENDS(pair);
  else if (bytes >= 4) MOVE_ENDS(word);
  else if (bytes) {
    const uint8_t first = s[0], middle = s[bytes / 2], last = s[bytes - 1];
    d[0] = first;
    d[bytes / 2] = middle;
    d[bytes - 1] = last;
  }
}

void *memmove(void *to, const void *from, size_t bytes) {
  if (bytes > 2 * sizeof(quad)) return __builtin_memmove(to, from, bytes);
  move_short(to, from, bytes);
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) { return memmove(to, from, bytes); }

void *memset(void *to, int byte, size_t bytes) { return __builtin_memset(to, byte, bytes); }
