/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops take 64 instructions for 64 products of two pixels, of which 32 multiply and 16 widen weights; 22 for 16
 * of one pixel. */
#include "twos.h"
#include "blocks_dsp.h"

#if ERT_HAS_dsp

void ert_interleave_two(uint32_t *slots, const int8_t *a, const int8_t *b, int32_t bytes) {
  const int8_t *const end = a + (bytes & ~3);
#if defined(__ARM_FEATURE_DSP)
  uint32_t x, y;
  if (a != end)
    __asm__ volatile(
        "1:\n\t"
        "ldr %[x], [%[a]], #4\n\t"
        "ldr %[y], [%[b]], #4\n\t"
        "strd %[x], %[y], [%[to]], #8\n\t"
        "cmp %[a], %[end]\n\t"
        "bne 1b"
        : [a] "+r"(a), [b] "+r"(b), [to] "+r"(slots), [x] "=&r"(x), [y] "=&r"(y)
        : [end] "r"(end)
        : "cc", "memory");
#else
  for (; a != end; a += 4, b += 4, slots += 2) slots[0] = ert_load_word(a), slots[1] = ert_load_word(b);
#endif
  if (bytes & 3) slots[0] = ert_load_half(a), slots[1] = ert_load_half(b);
}

/* Two pixels of `count` blocks of channels; the tile's factors are scales as lanes.h has them, its low and high halves. */
#if defined(__ARM_FEATURE_DSP)

/* clang-format off */
/* r0 slots, r1 weights, r2 and r3 words of both pixels, r12 a word of weights, lr half of them widened. */
#define PAIR(first_a, first_b, second_a, second_b)    \
  "ldr r12, [r1], #4\n\t"                             \
  "sxtb16 lr, r12\n\t"                                \
  "smlad " first_a ", r2, lr, " first_a "\n\t"        \
  "smlad " second_a ", r3, lr, " second_a "\n\t"      \
  "sxtb16 r12, r12, ror #8\n\t"                       \
  "smlad " first_b ", r2, r12, " first_b "\n\t"       \
  "smlad " second_b ", r3, r12, " second_b "\n\t"
#define STEP "ldrd r2, r3, [r0], #8\n\t" PAIR("r4", "r5", "r8", "r9") PAIR("r6", "r7", "r10", "r11")
#define EACH(f) f("r4") f("r5") f("r6") f("r7") f("r8") f("r9") f("r10") f("r11")
#define DOUBLED(a) "lsl " a ", " a ", #1\n\t"
#define AWAY_FROM_ZERO(a) "add " a ", " a ", " a ", asr #31\n\t"
#define SATURATED(a) "ssat " a ", #16, " a "\n\t"
#define HALVED(a) "add " a ", " a ", #1\n\tssat " a ", #16, " a ", asr #1\n\t"
#define MULTIPLIED                                         \
  "smmulr r4, r4, r1\n\tsmmulr r8, r8, r1\n\t"             \
  "smmulr r5, r5, r2\n\tsmmulr r9, r9, r2\n\t"             \
  "smmulr r6, r6, r3\n\tsmmulr r10, r10, r3\n\t"           \
  "smmulr r7, r7, lr\n\tsmmulr r11, r11, lr\n\t"
/* A shift less one is its complement. */
#define SHIFTED                                            \
  "ldr r0, [r0]\n\tmvn r0, r0\n\t"                         \
  "asr r4, r4, r0\n\tasr r8, r8, r0\n\tlsr r0, r0, #8\n\t" \
  "asr r5, r5, r0\n\tasr r9, r9, r0\n\tlsr r0, r0, #8\n\t" \
  "asr r6, r6, r0\n\tasr r10, r10, r0\n\tlsr r0, r0, #8\n\t" \
  "asr r7, r7, r0\n\tasr r11, r11, r0\n\t"
#define WIDE MULTIPLIED EACH(SATURATED)
#define NARROW EACH(DOUBLED) MULTIPLIED EACH(AWAY_FROM_ZERO) SHIFTED EACH(HALVED)
#define TWO(a, b)                                          \
  "pkhbt " a ", " a ", " b ", lsl #16\n\t"                 \
  "ssub16 r2, " a ", r0\n\tsel " a ", " a ", r0\n\t"       \
  "ssub16 r2, r1, " a "\n\tsel " a ", " a ", r1\n\t"

/* r4-r7: sums of the first pixel, r8-r11: of the second. */
#define BLOCKS(name, rescaled)                                                        \
  __attribute__((naked)) static void name(__attribute__((unused)) ert_tile *t) {      \
    __asm__ volatile(                                                                 \
        "push {r0, r4-r11, lr}\n"                                                     \
        "1:\n\t"                                                                      \
        "ldr r12, [sp]\n\t"                                                           \
        "ldm r12, {r0-r3}\n\t"                                                        \
        "ldm r3, {r4-r7}\n\t"                                                         \
        "mov r8, r4\n\tmov r9, r5\n\tmov r10, r6\n\tmov r11, r7\n\t"                  \
        "sub r2, r2, r0\n\t"                                                          \
        "tst r2, #16\n\t"                                                             \
        "bne 3f\n"                                                                    \
        "2:\n\t" STEP STEP                                                            \
        "3:\n\t" STEP STEP                                                            \
        "ldr r12, [sp]\n\t"                                                           \
        "ldr lr, [r12, #8]\n\t"                                                       \
        "cmp r0, lr\n\t"                                                              \
        "bne 2b\n\t"                                                                  \
        "str r1, [r12, #4]\n\t"                                                       \
        "ldr r0, [r12, #12]\n\t"                                                      \
        "add r2, r0, #36\n\t"                                                         \
        "str r2, [r12, #12]\n\t"                                                      \
        "add r0, r0, #16\n\t"                                                         \
        "ldm r0!, {r1-r3, lr}\n\t" rescaled                                           \
        "ldrd r0, r1, [r12, #32]\n\t"                                                 \
        TWO("r4", "r5") TWO("r6", "r7") TWO("r8", "r9") TWO("r10", "r11")             \
        "ldrd r0, r1, [r12, #20]\n\t"                                                 \
        "ldr r2, [r12, #28]\n\t"                                                      \
        "str r4, [r0], #4\n\t"                                                        \
        "str r6, [r0], #4\n\t"                                                        \
        "str r8, [r1], #4\n\t"                                                        \
        "str r10, [r1], #4\n\t"                                                       \
        "subs r2, r2, #1\n\t"                                                         \
        "strd r0, r1, [r12, #20]\n\t"                                                 \
        "str r2, [r12, #28]\n\t"                                                      \
        "bne 1b\n\t"                                                                  \
        "pop {r0, r4-r11, pc}");                                                      \
  }
/* clang-format on */

BLOCKS(blocks_wide, WIDE)
BLOCKS(blocks_narrow, NARROW)

#endif

#if !defined(__ARM_FEATURE_DSP)

/* Four channels of one pixel, whose words begin at x. */
static void block_of(const ert_tile *t, const uint32_t *x, int32_t wide, int8_t *to) {
  const ert_four_lanes *f = (const void *)t->factors;
  const uint32_t *w = t->w;
  int32_t sums[4] = {f->bias[0], f->bias[1], f->bias[2], f->bias[3]};
  for (int32_t k = 0; k < t->end - t->slots; k += 2)
    for (int32_t j = 0; j < 4; j += 2, w++) {
      sums[j] = ert_dual_mac(x[k], ert_even_bytes(*w), sums[j]);
      sums[j + 1] = ert_dual_mac(x[k], ert_odd_bytes(*w), sums[j + 1]);
    }
  for (int32_t j = 0; j < 4; j++) {
    const int32_t y = ert_signed_half(ert_rescale_half(sums[j], f->multiplier[j], f->shift[j], wide));
    ((int16_t *)(void *)to)[j] = (int16_t)ert_clamp(y, (int16_t)t->low, (int16_t)t->high);
  }
}

static void blocks_twin(ert_tile *t, int32_t wide) {
  for (; t->count > 0; t->count--, t->first += 8, t->second += 8, t->factors += sizeof(ert_four_lanes) / 4) {
    block_of(t, t->slots, wide, t->first);
    block_of(t, t->slots + 1, wide, t->second);
    t->w += t->end - t->slots;
  }
}

static void blocks_wide(ert_tile *t) { blocks_twin(t, 1); }
static void blocks_narrow(ert_tile *t) { blocks_twin(t, 0); }

#endif

/* All channels of two pixels; the last of them by way of a buffer where they are no whole block. */
ERT_INLINE void two_pixels(ert_tile *t, int32_t n_out, int8_t *to_first, int8_t *to_second, ert_blocks_fn *blocks) {
  const int32_t rest = n_out % ERT_PAIRS_BLOCK;
  t->w = t->all_w, t->factors = t->all_factors;
  t->first = to_first, t->second = to_second, t->count = n_out / ERT_PAIRS_BLOCK;
  if (t->count) blocks(t);
  if (rest == 0) return;
  int16_t items[2 * ERT_PAIRS_BLOCK], *const first = (void *)t->first, *const second = (void *)t->second;
  t->first = (void *)items, t->second = (void *)(items + ERT_PAIRS_BLOCK), t->count = 1;
  blocks(t);
  for (int32_t j = 0; j < rest; j++) first[j] = items[j], second[j] = items[ERT_PAIRS_BLOCK + j];
}

void ert_twos_two_wide(ert_tile *layer, int32_t n_out, int8_t *first, int8_t *second) {
  two_pixels(layer, n_out, first, second, blocks_wide);
}

void ert_twos_two(ert_tile *layer, int32_t n_out, int8_t *first, int8_t *second) {
  two_pixels(layer, n_out, first, second, blocks_narrow);
}

ERT_INLINE const uint32_t *add_two(int32_t *a, uint32_t x, const uint32_t *w) {
  a[0] = ert_dual_mac(x, ert_even_bytes(w[0]), a[0]);
  a[1] = ert_dual_mac(x, ert_odd_bytes(w[0]), a[1]);
  a[2] = ert_dual_mac(x, ert_even_bytes(w[1]), a[2]);
  a[3] = ert_dual_mac(x, ert_odd_bytes(w[1]), a[3]);
  return w + 2;
}

/* Sums of a block for one pixel; `rest` are the last words of x where n is no multiple of 4. */
static const uint32_t *dot_1x4(const uint32_t *w, const int16_t *x, int32_t n, const uint32_t *rest, int32_t *sums) {
  const int16_t *const end = x + (n & ~3);
#if defined(__ARM_FEATURE_DSP)
  int32_t a0 = sums[0], a1 = sums[1], a2 = sums[2], a3 = sums[3];
  uint32_t y, v0, v1, t;
#define HALF_STEP                       \
  "ldrd %[v0], %[v1], [%[w]], #8\n\t"   \
  "ldr %[y], [%[x]], #4\n\t"            \
  "sxtb16 %[t], %[v0]\n\t"              \
  "smlad %[a0], %[y], %[t], %[a0]\n\t"  \
  "sxtb16 %[v0], %[v0], ror #8\n\t"     \
  "smlad %[a1], %[y], %[v0], %[a1]\n\t" \
  "sxtb16 %[t], %[v1]\n\t"              \
  "smlad %[a2], %[y], %[t], %[a2]\n\t"  \
  "sxtb16 %[v1], %[v1], ror #8\n\t"     \
  "smlad %[a3], %[y], %[v1], %[a3]\n\t"
  if (x != end)
    __asm__ volatile("1:\n\t" HALF_STEP HALF_STEP
                     "cmp %[x], %[end]\n\t"
                     "bne 1b"
                     : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [x] "+r"(x), [w] "+r"(w),
                       [y] "=&r"(y), [v0] "=&r"(v0), [v1] "=&r"(v1), [t] "=&r"(t)
                     : [end] "r"(end)
                     : "cc", "memory");
#undef HALF_STEP
  sums[0] = a0, sums[1] = a1, sums[2] = a2, sums[3] = a3;
#else
  for (; x != end; x += 2) w = add_two(sums, ert_load_word(x), w);
#endif
  return n & 3 ? add_two(sums, rest[1], add_two(sums, rest[0], w)) : w;
}

void ert_twos_one(const ert_call *c, const ert_lanes_s16 *scales, const uint32_t *w, const int16_t *x, int32_t n,
                  int32_t n_out, int16_t *out) {
  const ert_four_lanes *f = ert_blob(c, scales->scales);
  uint32_t rest[2] = {0, 0};
  for (int32_t i = 0; i < (n & 3); i++) rest[i >> 1] |= (uint32_t)(uint16_t)x[(n & ~3) + i] << 16 * (i & 1);
  for (int32_t o = 0; o < n_out; o += ERT_PAIRS_BLOCK, f++) {
    int32_t sums[4] = {f->bias[0], f->bias[1], f->bias[2], f->bias[3]};
    w = dot_1x4(w, x, n, rest, sums);
    for (int32_t j = 0; j < 4 && o + j < n_out; j++)
      out[o + j] = (int16_t)ert_clamp(ert_rescale_half(sums[j], f->multiplier[j], f->shift[j], scales->wide),
                                      scales->min, scales->max);
  }
}

#endif
