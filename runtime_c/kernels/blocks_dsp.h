/* SPDX-License-Identifier: Apache-2.0 */
/* What pairs_dsp.c, quads_dsp.c and twos_dsp.c share: two pixels of blocks of four channels, from sums to stored bytes. */
#ifndef ERT_BLOCKS_DSP_H
#define ERT_BLOCKS_DSP_H

#include "dsp.h"
#include "lanes.h"
#include "pairs.h"

/* A byte from twice the sum with its bias; `round` is 1 + 2 * zero_point. */
ERT_INLINE int32_t ert_byte_of(uint32_t doubled, int32_t multiplier, int32_t shift, int32_t round) {
  const int32_t high = ert_high_word((int32_t)doubled, multiplier);
  const int32_t shifted = ert_shift_right((int32_t)((uint32_t)high + (uint32_t)(high >> 31)), shift);
  return ert_half_byte((int32_t)((uint32_t)shifted + (uint32_t)round));
}

/* An output of an int16 layer before it is clamped, from its sum: the formulas of twos.h. */
ERT_INLINE int32_t ert_rescale_half(int32_t sum, int32_t multiplier, int32_t shift, int32_t wide) {
  if (wide) return ert_high_word(sum, multiplier);
  const int32_t high = ert_high_word((int32_t)((uint32_t)sum << 1), multiplier);
  const int32_t halves = ert_shift_right((int32_t)((uint32_t)high + (uint32_t)(high >> 31)), ~shift);
  return (int32_t)((uint32_t)halves + 1) >> 1;
}

/* Channel o from twice its sum; biases of the scales doubled, shifts less one. */
ERT_INLINE int8_t ert_finish_doubled(const ert_scales *s, int32_t o, uint32_t doubled) {
  const int32_t round = (int32_t)(1u + 2u * (uint32_t)s->zero_point), i = o * s->step;
  const int32_t byte = ert_byte_of((uint32_t)s->bias[o] + doubled, s->multiplier[i], s->shift[i], round);
  return (int8_t)ert_clamp(byte, s->min, s->max);
}

/* Up to four bytes of a vector, zeros behind them. */
ERT_INLINE uint32_t ert_last_word(const int8_t *x, int32_t n) {
  uint32_t word = 0;
  for (int32_t i = 0; i < n; i++) word |= (uint32_t)(uint8_t)x[i] << 8 * i;
  return word;
}

/* What the loops over blocks read and advance; their assembly knows the order of the fields. */
typedef struct {
  const uint32_t *slots, *w, *end;
  const uint32_t *factors;
  int32_t round;
  int8_t *first, *second;
  int32_t count;
  uint32_t low, high; /* four times the least and the greatest byte */
  const uint32_t *all_w, *all_factors;
} ert_tile;

typedef void ert_blocks_fn(ert_tile *t);

/* All channels of two pixels; the last of them by way of a buffer where they are no whole block. */
ERT_INLINE void ert_run_blocks(ert_tile *t, int32_t n_out, int8_t *to_first, int8_t *to_second, ert_blocks_fn *blocks) {
  const int32_t rest = n_out % ERT_PAIRS_BLOCK;
  t->w = t->all_w, t->factors = t->all_factors;
  t->first = to_first, t->second = to_second, t->count = n_out / ERT_PAIRS_BLOCK;
  if (t->count) blocks(t);
  if (rest == 0) return;
  int8_t bytes[2 * ERT_PAIRS_BLOCK], *const first = t->first, *const second = t->second;
  t->first = bytes, t->second = bytes + ERT_PAIRS_BLOCK, t->count = 1;
  blocks(t);
  t->first = first, t->second = second;
  for (int32_t j = 0; j < rest; j++) first[j] = bytes[j], second[j] = bytes[ERT_PAIRS_BLOCK + j];
}

/* The tile of a layer; that of quads has parameters of the same layout. */
ERT_INLINE ert_tile ert_tile_of(const ert_call *c, const ert_pairs_rescale *r, int32_t n) {
  const uint32_t *slots = c->scratch;
  return (ert_tile){.slots = slots,
                    .end = slots + ((n + 3) & ~3),
                    .round = (int32_t)(1u + 2u * (uint32_t)r->zero_point),
                    .low = (uint8_t)r->min * 0x01010101u,
                    .high = (uint8_t)r->max * 0x01010101u,
                    .all_w = ert_blob(c, r->weights),
                    .all_factors = ert_blob(c, r->factors)};
}

/* The tile of a layer of int16: its factors are scales as lanes.h has them, low and high two halves. Of the slots, the
 * words behind a window of n items are zeros. */
ERT_INLINE ert_tile ert_twos_tile_of(const ert_call *c, const ert_lanes_s16 *s, int32_t weights, int32_t n) {
  uint32_t *const slots = c->scratch, *const end = slots + ((n + 3) & ~3);
  end[-2] = end[-1] = 0;
  return (ert_tile){.slots = slots,
                    .end = end,
                    .low = (uint16_t)s->min * 0x00010001u,
                    .high = (uint16_t)s->max * 0x00010001u,
                    .all_w = ert_blob(c, weights),
                    .all_factors = ert_blob(c, s->scales)};
}

/* Two pixels of n_out channels from two windows that ert_widen_two has widened into the tile's slots. */
typedef void ert_two_pixels_fn(ert_tile *layer, int32_t n_out, int8_t *first, int8_t *second);
ert_two_pixels_fn ert_pairs_two, ert_quads_two;
ert_two_pixels_fn ert_twos_two, ert_twos_two_wide; /* of int16 */

#if defined(__ARM_FEATURE_DSP)

/* clang-format off */
/* r0: slots, r1: weights, r2 and r3: halves of both pixels, r12: words of weights, lr: end of the slots. */
#define BLOCK_BEGIN                  \
  "push {r0, r4-r11, lr}\n"          \
  "1:\n\t"                           \
  "ldr r12, [sp]\n\t"                \
  "ldm r12, {r0, r1, lr}\n\t"
/* Turns of two steps, two at a time; an odd one comes first. `end` is a register, after `find_end`. */
#define BLOCK_LOOP(two_steps, find_end, end) \
  "sub r2, lr, r0\n\t"               \
  "tst r2, #16\n\t"                  \
  "bne 3f\n"                         \
  "2:\n\t" two_steps                 \
  "3:\n\t" two_steps                 \
  find_end                           \
  "cmp r0, " end "\n\t"              \
  "bne 2b\n\t"                       \
  "ldr r12, [sp]\n\t"                \
  "str r1, [r12, #4]\n\t"            \
  "ldrd r0, r1, [r12, #12]\n\t"      \
  "ldr lr, [r0], #4\n\t"
/* The bytes of a channel for both pixels, from sums that `shift` doubles and brings to their place. */
#define BLOCK_FINISH(a, b, shift)           \
  "ldrd r2, r3, [r0], #8\n\t"               \
  "add " a ", r2, " a ", " shift "\n\t"     \
  "add " b ", r2, " b ", " shift "\n\t"     \
  "smmulr " a ", " a ", r3\n\t"             \
  "smmulr " b ", " b ", r3\n\t"             \
  "add " a ", " a ", " a ", asr #31\n\t"    \
  "add " b ", " b ", " b ", asr #31\n\t"    \
  "asr " a ", " a ", lr\n\t"                \
  "asr " b ", " b ", lr\n\t"                \
  "add " a ", " a ", r1\n\t"                \
  "add " b ", " b ", r1\n\t"                \
  "ssat " a ", #8, " a ", asr #1\n\t"       \
  "ssat " b ", #8, " b ", asr #1\n\t"
#define BLOCK_NEXT "lsr lr, lr, #8\n\t"
/* Bytes together, clamped, stored; the next block. */
#define BLOCK_END(a0, a1, a2, a3, b0, b1, b2, b3) \
  "str r0, [r12, #12]\n\t"                        \
  "bfi " a0 ", " a1 ", #8, #8\n\t"                \
  "bfi " a0 ", " a2 ", #16, #8\n\t"               \
  "bfi " a0 ", " a3 ", #24, #8\n\t"               \
  "bfi " b0 ", " b1 ", #8, #8\n\t"                \
  "bfi " b0 ", " b2 ", #16, #8\n\t"               \
  "bfi " b0 ", " b3 ", #24, #8\n\t"               \
  "ldrd r0, r1, [r12, #32]\n\t"                   \
  "ssub8 r2, " a0 ", r0\n\t"                      \
  "sel " a0 ", " a0 ", r0\n\t"                    \
  "ssub8 r2, r1, " a0 "\n\t"                      \
  "sel " a0 ", " a0 ", r1\n\t"                    \
  "ssub8 r2, " b0 ", r0\n\t"                      \
  "sel " b0 ", " b0 ", r0\n\t"                    \
  "ssub8 r2, r1, " b0 "\n\t"                      \
  "sel " b0 ", " b0 ", r1\n\t"                    \
  "ldrd r0, r1, [r12, #20]\n\t"                   \
  "ldr r2, [r12, #28]\n\t"                        \
  "str " a0 ", [r0], #4\n\t"                      \
  "str " b0 ", [r1], #4\n\t"                      \
  "subs r2, r2, #1\n\t"                           \
  "strd r0, r1, [r12, #20]\n\t"                   \
  "str r2, [r12, #28]\n\t"                        \
  "bne 1b\n\t"                                    \
  "pop {r0, r4-r11, pc}"
/* clang-format on */

#endif

#endif
