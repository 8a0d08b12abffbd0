/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops take 54 instructions for 64 products of two pixels (32 of them multiply: 0.5 per product is the floor
 * of SMLAD), 19 for 16 of one pixel. */
#include "blocks_dsp.h"

#if ERT_HAS_dsp

static void widen_words(uint32_t *slots, uint32_t a, uint32_t b) {
  slots[0] = ert_even_bytes(a), slots[1] = ert_even_bytes(b);
  slots[2] = ert_odd_bytes(a), slots[3] = ert_odd_bytes(b);
}

void ert_widen_two(uint32_t *slots, const int8_t *a, const int8_t *b, int32_t n) {
  const int8_t *const end = a + (n & ~3);
#if defined(__ARM_FEATURE_DSP)
  uint32_t a0, b0, a1, b1;
  if (a != end)
    __asm__ volatile(
        "1:\n\t"
        "ldr %[a1], [%[a]], #4\n\t"
        "ldr %[b1], [%[b]], #4\n\t"
        "sxtb16 %[a0], %[a1]\n\t"
        "sxtb16 %[b0], %[b1]\n\t"
        "strd %[a0], %[b0], [%[to]], #8\n\t"
        "sxtb16 %[a1], %[a1], ror #8\n\t"
        "sxtb16 %[b1], %[b1], ror #8\n\t"
        "strd %[a1], %[b1], [%[to]], #8\n\t"
        "cmp %[a], %[end]\n\t"
        "bne 1b"
        : [a] "+r"(a), [b] "+r"(b), [to] "+r"(slots), [a0] "=&r"(a0), [b0] "=&r"(b0), [a1] "=&r"(a1), [b1] "=&r"(b1)
        : [end] "r"(end)
        : "cc", "memory");
#else
  for (; a != end; a += 4, b += 4, slots += 4) widen_words(slots, ert_load_word(a), ert_load_word(b));
#endif
  if (n & 3) widen_words(slots, ert_last_word(a, n & 3), ert_last_word(b, n & 3));
}

/* Two pixels of `count` blocks of channels. */
#if defined(__ARM_FEATURE_DSP)

/* clang-format off */
#define PAIR(whole_a, low_a, whole_b, low_b)       \
  "ldr r12, [r1], #4\n\t"                          \
  "smlad " whole_a ", r2, r12, " whole_a "\n\t"    \
  "smlad " whole_b ", r3, r12, " whole_b "\n\t"    \
  "sxtb16 r12, r12\n\t"                            \
  "smlad " low_a ", r2, r12, " low_a "\n\t"        \
  "smlad " low_b ", r3, r12, " low_b "\n\t"
#define STEP "ldrd r2, r3, [r0], #8\n\t" PAIR("r4", "r5", "r8", "r9") PAIR("r6", "r7", "r10", "r11")

/* r4-r7: sums of the first pixel (pair by pair those of whole words, of low bytes), r8-r11: of the second. */
__attribute__((naked)) static void blocks(__attribute__((unused)) ert_tile *t) {
  __asm__ volatile(
      BLOCK_BEGIN
      "mov r4, #0\n\tmov r5, #0\n\tmov r6, #0\n\tmov r7, #0\n\t"
      "mov r8, #0\n\tmov r9, #0\n\tmov r10, #0\n\tmov r11, #0\n\t"
      BLOCK_LOOP(STEP STEP, "", "lr")
      "sub r4, r4, r5\n\tsub r8, r8, r9\n\tsub r6, r6, r7\n\tsub r10, r10, r11\n\t" /* 256 * B */
      BLOCK_FINISH("r5", "r9", "lsl #1") BLOCK_NEXT
      BLOCK_FINISH("r4", "r8", "asr #7") BLOCK_NEXT
      BLOCK_FINISH("r7", "r11", "lsl #1") BLOCK_NEXT
      BLOCK_FINISH("r6", "r10", "asr #7")
      BLOCK_END("r5", "r4", "r7", "r6", "r9", "r8", "r11", "r10"));
}
/* clang-format on */

#else

/* Four channels of one pixel, whose words begin at x. */
static uint32_t block_of(const ert_tile *t, const uint32_t *x) {
  int32_t whole[2] = {0}, low[2] = {0}, byte[4];
  const uint32_t *w = t->w;
  for (int32_t k = 0; k < t->end - t->slots; k += 2)
    for (int32_t pair = 0; pair < 2; pair++, w++) {
      whole[pair] = ert_dual_mac(x[k], *w, whole[pair]);
      low[pair] = ert_dual_mac(x[k], ert_even_bytes(*w), low[pair]);
    }
  for (int32_t j = 0; j < 4; j++) {
    const uint32_t first = (uint32_t)low[j >> 1];
    const uint32_t sum = j & 1 ? (uint32_t)((int32_t)((uint32_t)whole[j >> 1] - first) >> 7) : first << 1;
    const uint32_t *f = t->factors + 1 + 2 * j;
    byte[j] = ert_byte_of(f[0] + sum, (int32_t)f[1], (int32_t)(t->factors[0] >> 8 * j & 255), t->round);
  }
  return ert_clamp_bytes(ert_four_bytes(byte[0], byte[1], byte[2], byte[3]), t->low, t->high);
}

static void blocks(ert_tile *t) {
  for (; t->count > 0; t->count--, t->first += 4, t->second += 4, t->factors += ERT_PAIRS_FACTORS) {
    ert_store_word(t->first, block_of(t, t->slots));
    ert_store_word(t->second, block_of(t, t->slots + 1));
    t->w += t->end - t->slots;
  }
}

#endif

void ert_pairs_two(ert_tile *layer, int32_t n_out, int8_t *first, int8_t *second) {
  ert_run_blocks(layer, n_out, first, second, blocks);
}

/* Sums of a block for one pixel: of each pair the words as they are, and their low bytes. */
typedef struct {
  int32_t whole[2], low[2];
} sums;

/* Twice the sum of channel j of a block. */
ERT_INLINE uint32_t twice(const sums *a, int32_t j) {
  const uint32_t low = (uint32_t)a->low[j >> 1];
  return j & 1 ? (uint32_t)((int32_t)((uint32_t)a->whole[j >> 1] - low) >> 7) : low << 1;
}

/* One pixel of two pairs; `rest` is the last word of x where n is no multiple of 4. */
ERT_INLINE const uint32_t *dot_1x4(const uint32_t *w, const int8_t *x, int32_t n, uint32_t rest, sums *a) {
  const int8_t *const end = x + (n & ~3);
  int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
#if defined(__ARM_FEATURE_DSP)
  uint32_t even, odd, v0, v1;
#define HALF_STEP(x)                  \
  "ldrd %[v0], %[v1], [%[w]], #8\n\t" \
  "smlad %[a0], " x                   \
  ", %[v0], %[a0]\n\t"                \
  "sxtb16 %[v0], %[v0]\n\t"           \
  "smlad %[a2], " x                   \
  ", %[v1], %[a2]\n\t"                \
  "sxtb16 %[v1], %[v1]\n\t"           \
  "smlad %[a1], " x                   \
  ", %[v0], %[a1]\n\t"                \
  "smlad %[a3], " x ", %[v1], %[a3]\n\t"
  if (x != end)
    __asm__ volatile("1:\n\t"
                     "ldr %[odd], [%[x]], #4\n\t"
                     "sxtb16 %[even], %[odd]\n\t"
                     "sxtb16 %[odd], %[odd], ror #8\n\t" HALF_STEP("%[even]") HALF_STEP("%[odd]")
                     "cmp %[x], %[end]\n\t"
                     "bne 1b"
                     : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [x] "+r"(x), [w] "+r"(w),
                       [even] "=&r"(even), [odd] "=&r"(odd), [v0] "=&r"(v0), [v1] "=&r"(v1)
                     : [end] "r"(end)
                     : "cc", "memory");
#undef HALF_STEP
#else
  for (; x != end; x += 4, w += 4) {
    const uint32_t even = ert_even_bytes(ert_load_word(x)), odd = ert_odd_bytes(ert_load_word(x));
    a0 = ert_dual_mac(odd, w[2], ert_dual_mac(even, w[0], a0));
    a1 = ert_dual_mac(odd, ert_even_bytes(w[2]), ert_dual_mac(even, ert_even_bytes(w[0]), a1));
    a2 = ert_dual_mac(odd, w[3], ert_dual_mac(even, w[1], a2));
    a3 = ert_dual_mac(odd, ert_even_bytes(w[3]), ert_dual_mac(even, ert_even_bytes(w[1]), a3));
  }
#endif
  if (n & 3) {
    const uint32_t low = ert_even_bytes(rest), high = ert_odd_bytes(rest);
    a0 = ert_dual_mac(high, w[2], ert_dual_mac(low, w[0], a0));
    a1 = ert_dual_mac(high, ert_even_bytes(w[2]), ert_dual_mac(low, ert_even_bytes(w[0]), a1));
    a2 = ert_dual_mac(high, w[3], ert_dual_mac(low, w[1], a2));
    a3 = ert_dual_mac(high, ert_even_bytes(w[3]), ert_dual_mac(low, ert_even_bytes(w[1]), a3));
    w += 4;
  }
  *a = (sums){{a0, a2}, {a1, a3}};
  return w;
}

void ert_pairs_add(const uint32_t *w, const int8_t *x, int32_t n, int32_t n_out, uint32_t *doubled) {
  const uint32_t rest = ert_last_word(x + (n & ~3), n & 3);
  sums a;
  for (int32_t o = 0; o < n_out; o += ERT_PAIRS_BLOCK) {
    w = dot_1x4(w, x, n, rest, &a);
    for (int32_t j = 0; j < ERT_PAIRS_BLOCK; j++) *doubled++ += twice(&a, j);
  }
}

void ert_pairs_finish(const ert_scales *s, const uint32_t *doubled, int32_t n_out, int8_t *out) {
  for (int32_t o = 0; o < n_out; o++) out[o] = ert_finish_doubled(s, o, doubled[o]);
}

void ert_pairs_one(const ert_scales *s, const uint32_t *w, const int8_t *x, int32_t n, int32_t n_out, int8_t *out) {
  const uint32_t rest = ert_last_word(x + (n & ~3), n & 3);
  sums a;
  for (int32_t o = 0; o < n_out; o += ERT_PAIRS_BLOCK) {
    w = dot_1x4(w, x, n, rest, &a);
    const int32_t some = n_out - o < ERT_PAIRS_BLOCK ? n_out - o : ERT_PAIRS_BLOCK;
    for (int32_t j = 0; j < some; j++) out[o + j] = ert_finish_doubled(s, o + j, twice(&a, j));
  }
}

#endif
