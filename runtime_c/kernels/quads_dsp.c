/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop takes 57 instructions for 64 products of two pixels, 32 of them multiply. */
#include "quads.h"
#include "blocks_dsp.h"

#if ERT_HAS_dsp

enum { BYTES = 0x00ff00ff, EVEN = 0x0f0f0f0f, LOWEST = 0x000f000f, ONES = 0x00010001 };

/* A tile, and what its sums begin with. */
typedef struct {
  ert_tile tile;
  int32_t start[8];
} started_tile;

/* Two pixels of `count` blocks of channels; the tile is a started_tile's. */
#if defined(__ARM_FEATURE_DSP)

/* clang-format off */
#define STEP                         \
  "ldr r12, [r1], #4\n\t"            \
  "ldrd r2, r3, [r0], #8\n\t"        \
  "smlad r4, r2, r12, r4\n\t"        \
  "smlad r8, r3, r12, r8\n\t"        \
  "uxtb16 lr, r12\n\t"               \
  "and r12, r12, #0x0f0f0f0f\n\t"    \
  "smlad r5, r2, lr, r5\n\t"         \
  "smlad r9, r3, lr, r9\n\t"         \
  "uxtb16 lr, r12\n\t"               \
  "smlad r6, r2, r12, r6\n\t"        \
  "smlad r10, r3, r12, r10\n\t"      \
  "smlad r7, r2, lr, r7\n\t"         \
  "smlad r11, r3, lr, r11\n\t"

/* r4-r7: sums of the first pixel with whole words, bytes, even nibbles and lowest nibbles; r8-r11: of the second. */
__attribute__((naked)) static void blocks(__attribute__((unused)) ert_tile *t) {
  __asm__ volatile(
      BLOCK_BEGIN
      "add r12, r12, #48\n\t"
      "ldm r12, {r4-r11}\n\t"
      BLOCK_LOOP(STEP STEP, "ldr r12, [sp]\n\tldr r12, [r12, #8]\n\t", "r12")
      "sub r4, r4, r5\n\tsub r8, r8, r9\n\tsub r5, r5, r7\n\tsub r9, r9, r11\n\t"
      "sub r6, r6, r7\n\tsub r10, r10, r11\n\tsub r4, r4, r6\n\tsub r8, r8, r10\n\t" /* 4096 d, 16 b, 256 c */
      BLOCK_FINISH("r7", "r11", "lsl #1") BLOCK_NEXT
      BLOCK_FINISH("r5", "r9", "asr #3") BLOCK_NEXT
      BLOCK_FINISH("r6", "r10", "asr #7") BLOCK_NEXT
      BLOCK_FINISH("r4", "r8", "asr #11")
      BLOCK_END("r7", "r5", "r6", "r4", "r11", "r9", "r10", "r8"));
}
/* clang-format on */

#endif

/* Sums of a pixel with whole words, bytes, even and lowest nibbles. */
typedef struct {
  int32_t whole, bytes, even, lowest;
} sums;

ERT_INLINE sums started(int32_t sum) {
  const uint32_t eights = (uint32_t)sum * (uint32_t)-8;
  return (sums){(int32_t)(eights * 0x111u), (int32_t)(eights * 0x11u), (int32_t)(eights * 0x101u), (int32_t)eights};
}

ERT_INLINE void add_word(sums *a, uint32_t x, uint32_t w) {
  a->whole = ert_dual_mac(x, w, a->whole);
  a->bytes = ert_dual_mac(x, w & BYTES, a->bytes);
  a->even = ert_dual_mac(x, w & EVEN, a->even);
  a->lowest = ert_dual_mac(x, w & LOWEST, a->lowest);
}

/* Twice the sum of channel j of a block. */
ERT_INLINE uint32_t twice(const sums *a, int32_t j) {
  const uint32_t lowest = (uint32_t)a->lowest, c = (uint32_t)a->even - lowest;
  switch (j) {
    case 0:
      return lowest << 1;
    case 1:
      return (uint32_t)((int32_t)((uint32_t)a->bytes - lowest) >> 3);
    case 2:
      return (uint32_t)((int32_t)c >> 7);
    default:
      return (uint32_t)((int32_t)((uint32_t)a->whole - (uint32_t)a->bytes - c) >> 11);
  }
}

#if !defined(__ARM_FEATURE_DSP)

/* Four channels of one pixel, whose words begin at x. */
static uint32_t block_of(const ert_tile *t, const uint32_t *x, const int32_t *start) {
  sums a = {start[0], start[1], start[2], start[3]};
  int32_t byte[4];
  for (int32_t k = 0; k < t->end - t->slots; k += 2) add_word(&a, x[k], t->w[k / 2]);
  for (int32_t j = 0; j < 4; j++) {
    const uint32_t *f = t->factors + 1 + 2 * j;
    byte[j] = ert_byte_of(f[0] + twice(&a, j), (int32_t)f[1], (int32_t)(t->factors[0] >> 8 * j & 255), t->round);
  }
  return ert_clamp_bytes(ert_four_bytes(byte[0], byte[1], byte[2], byte[3]), t->low, t->high);
}

static void blocks(ert_tile *t) {
  const int32_t *start = ((const started_tile *)(const void *)t)->start;
  for (; t->count > 0; t->count--, t->first += 4, t->second += 4, t->factors += ERT_PAIRS_FACTORS) {
    ert_store_word(t->first, block_of(t, t->slots, start));
    ert_store_word(t->second, block_of(t, t->slots + 1, start + 4));
    t->w += (t->end - t->slots) / 2;
  }
}

#endif

/* Sums of the halves of two windows' words. */
static void sum_words(const uint32_t *x, const uint32_t *end, int32_t *sum) {
  int32_t a = 0, b = 0;
#if defined(__ARM_FEATURE_DSP)
  uint32_t a0, b0, a1, b1;
  __asm__ volatile(
      "1:\n\t"
      "ldrd %[a0], %[b0], [%[x]], #8\n\t"
      "ldrd %[a1], %[b1], [%[x]], #8\n\t"
      "smlad %[a], %[a0], %[ones], %[a]\n\t"
      "smlad %[b], %[b0], %[ones], %[b]\n\t"
      "smlad %[a], %[a1], %[ones], %[a]\n\t"
      "smlad %[b], %[b1], %[ones], %[b]\n\t"
      "cmp %[x], %[end]\n\t"
      "bne 1b"
      : [a] "+r"(a), [b] "+r"(b), [x] "+r"(x), [a0] "=&r"(a0), [b0] "=&r"(b0), [a1] "=&r"(a1), [b1] "=&r"(b1)
      : [end] "r"(end), [ones] "r"(ONES)
      : "cc", "memory");
#else
  for (int32_t k = 0; k < end - x; k += 2) a = ert_dual_mac(x[k], ONES, a);
  for (int32_t k = 1; k < end - x; k += 2) b = ert_dual_mac(x[k], ONES, b);
#endif
  sum[0] = a, sum[1] = b;
}

static void start_with(int32_t *start, int32_t sum) {
  const sums a = started(sum);
  start[0] = a.whole, start[1] = a.bytes, start[2] = a.even, start[3] = a.lowest;
}

void ert_quads_two(ert_tile *layer, int32_t n_out, int8_t *first, int8_t *second) {
  started_tile t = {*layer, {0}};
  int32_t sum[2];
  sum_words(layer->slots, layer->end, sum);
  start_with(t.start, sum[0]);
  start_with(t.start + 4, sum[1]);
  ert_run_blocks(&t.tile, n_out, first, second, blocks);
}

ERT_INLINE int32_t sum_of_four(uint32_t four, int32_t sum) {
  return ert_dual_mac(ert_odd_bytes(four), ONES, ert_dual_mac(ert_even_bytes(four), ONES, sum));
}

/* Sum of n items, the last of them in `rest`. */
static int32_t sum_of(const int8_t *x, int32_t n, uint32_t rest) {
  int32_t sum = sum_of_four(rest, 0);
  for (; n >= 4; n -= 4, x += 4) sum = sum_of_four(ert_load_word(x), sum);
  return sum;
}

ERT_INLINE void add_four(sums *a, uint32_t four, const uint32_t *w) {
  add_word(a, ert_even_bytes(four), w[0]);
  add_word(a, ert_odd_bytes(four), w[1]);
}

/* Whole words of one pixel; returns the weights that follow. */
static const uint32_t *add_fours(sums *a, const int8_t *x, const int8_t *end, const uint32_t *w) {
#if defined(__ARM_FEATURE_DSP)
  int32_t a0 = a->whole, a1 = a->bytes, a2 = a->even, a3 = a->lowest;
  uint32_t even, odd, v0, v1, t;
/* clang-format off */
#define WORD(x, v)                              \
  "smlad %[a0], " x ", " v ", %[a0]\n\t"        \
  "uxtb16 %[t], " v "\n\t"                      \
  "and " v ", " v ", #0x0f0f0f0f\n\t"           \
  "smlad %[a1], " x ", %[t], %[a1]\n\t"         \
  "uxtb16 %[t], " v "\n\t"                      \
  "smlad %[a2], " x ", " v ", %[a2]\n\t"        \
  "smlad %[a3], " x ", %[t], %[a3]\n\t"
  if (x != end)
    __asm__ volatile(
        "1:\n\t"
        "ldr %[odd], [%[x]], #4\n\t"
        "ldrd %[v0], %[v1], [%[w]], #8\n\t"
        "sxtb16 %[even], %[odd]\n\t"
        "sxtb16 %[odd], %[odd], ror #8\n\t"
        WORD("%[even]", "%[v0]") WORD("%[odd]", "%[v1]")
        "cmp %[x], %[end]\n\t"
        "bne 1b"
        : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [x] "+r"(x), [w] "+r"(w), [even] "=&r"(even),
          [odd] "=&r"(odd), [v0] "=&r"(v0), [v1] "=&r"(v1), [t] "=&r"(t)
        : [end] "r"(end)
        : "cc", "memory");
#undef WORD
  /* clang-format on */
  *a = (sums){a0, a1, a2, a3};
#else
  for (; x != end; x += 4, w += 2) add_four(a, ert_load_word(x), w);
#endif
  return w;
}

void ert_quads_one(const ert_scales *s, const uint32_t *w, const int8_t *x, int32_t n, int32_t n_out, int8_t *out) {
  const int8_t *const end = x + (n & ~3);
  const uint32_t rest = ert_last_word(end, n & 3);
  const sums start = started(sum_of(x, n, rest));
  for (int32_t o = 0; o < n_out; o += ERT_PAIRS_BLOCK) {
    sums a = start;
    w = add_fours(&a, x, end, w);
    if (n & 3) add_four(&a, rest, w), w += 2;
    const int32_t some = n_out - o < ERT_PAIRS_BLOCK ? n_out - o : ERT_PAIRS_BLOCK;
    for (int32_t j = 0; j < some; j++) out[o + j] = ert_finish_doubled(s, o + j, twice(&a, j));
  }
}

#endif
