/* SPDX-License-Identifier: Apache-2.0 */
/* Four sums in 59 instructions: 12 each (one product per rounding: 2 is the floor), loads, packing and the loop. */
#include "binary/walk.h"
#include "dsp.h"

#if ERT_HAS_dsp

#if defined(__ARM_FEATURE_DSP)

/* r0 a, r1 b, r2 out, r3 between the constants of b (below) and those of a and the sum (above, then the end of out). */
#define SCALED_B(y, turn)          \
  "sxtb.w r9, r8, ror #" turn      \
  "\n\t"                           \
  "add.w r9, r10, r9, lsl #21\n\t" \
  "smmlar " y                      \
  ", r9, r11, r12\n\t"             \
  "add.w " y ", " y                \
  ", r9, asr #31\n\t"              \
  "asr.w " y ", " y ", lr\n\t"
#define SUM(y, turn)               \
  "sxtb.w r9, r8, ror #" turn      \
  "\n\t"                           \
  "add.w r9, r10, r9, lsl #20\n\t" \
  "add.w r9, r9, " y               \
  ", lsl #1\n\t"                   \
  "smmlar " y                      \
  ", r9, r11, r12\n\t"             \
  "add.w " y ", " y                \
  ", r9, asr #31\n\t"              \
  "asr.w " y ", " y                \
  ", lr\n\t"                       \
  "ssat " y ", #8, " y "\n\t"
__attribute__((naked, noinline)) static void add_words(__attribute__((unused)) const int8_t *a,
                                                       __attribute__((unused)) const int8_t *b,
                                                       __attribute__((unused)) int8_t *out,
                                                       __attribute__((unused)) const int32_t *constants) {
  __asm__(
      "push {r4-r11, lr}\n"
      "1:\n\t"
      "ldr r8, [r1], #4\n\t"
      "ldmdb r3, {r10-r12, lr}\n\t" SCALED_B("r4", "0") SCALED_B("r5", "8") SCALED_B("r6", "16") SCALED_B("r7", "24")
      "ldr r8, [r0], #4\n\t"
      "ldm r3, {r10-r12, lr}\n\t" SUM("r4", "0") SUM("r5", "8") SUM("r6", "16") SUM("r7", "24")
      "bfi r4, r5, #8, #8\n\t"
      "bfi r4, r6, #16, #8\n\t"
      "bfi r4, r7, #24, #8\n\t"
      "str r4, [r2], #4\n\t"
      "ldr r8, [r3, #16]\n\t"
      "cmp r2, r8\n\t"
      "bne 1b\n\t"
      "pop {r4-r11, pc}");
}

/* n sums; 4 divides n. */
ERT_APART void add_run(const ert_add_s8s8_dense_params *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  const int32_t constants[] = {p->b_base,     p->b_multiplier, p->b_half, p->b_shift,        p->a_base,
                               p->multiplier, p->offset,       p->shift,  (int32_t)(out + n)};
  if (n > 0) add_words(a, b, out, constants + 4);
}

#else

static int32_t rounded(int32_t x, int32_t multiplier, int32_t offset, int32_t shift) {
  const uint32_t high = (uint32_t)ert_high_mac_rounded(x, multiplier, offset);
  return ert_shift_right((int32_t)(high + (uint32_t)(x >> 31)), shift);
}

ERT_APART void add_run(const ert_add_s8s8_dense_params *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  for (int32_t i = 0; i < n; i++) {
    const uint32_t wide_a = (uint32_t)p->a_base + ((uint32_t)a[i] << 20);
    const uint32_t wide_b = (uint32_t)p->b_base + ((uint32_t)b[i] << 21);
    const uint32_t y = (uint32_t)rounded((int32_t)wide_b, p->b_multiplier, p->b_half, p->b_shift);
    out[i] = (int8_t)ert_signed_byte(rounded((int32_t)(wide_a + 2 * y), p->multiplier, p->offset, p->shift));
  }
}

#endif

/* The last one to three items are summed in words of their own: others may lie behind them. */
ERT_APART void add_rest(const ert_add_s8s8_dense_params *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  int8_t words[3][4] = {{0}};
  for (int32_t i = 0; i < n; i++) words[0][i] = a[i], words[1][i] = b[i];
  add_run(p, words[0], words[1], words[2], 4);
  for (int32_t i = 0; i < n; i++) out[i] = words[2][i];
}

void ert_add_s8s8_x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_dense_params *p = (const void *)c->params;
  const int32_t n = p->shape.w * p->shape.c, whole = n & ~3;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *a = ert_row(&c->in[0], y), *b = ert_row(&c->in[1], y);
    int8_t *const out = ert_out_row(&c->out, y);
    add_run(p, a, b, out, whole);
    if (n > whole) add_rest(p, a + whole, b + whole, out + whole, n - whole);
    ert_clamp_row(out, n, p->min, p->max);
  }
}

#endif
