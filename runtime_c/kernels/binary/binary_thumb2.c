/* SPDX-License-Identifier: Apache-2.0 */
/* A sum of two items is 17 instructions: two products of 64 bits, whose roundings are 4 each, and what moves items. */
#include "binary/walk.h"
#include "thumb2.h"

#if ERT_HAS_thumb2

#if ERT_THUMB2_ASM

#define UNUSED __attribute__((unused))

/* r0 a, r1 b, r2 out; r4 to r7 the constants of b, r8 to r11 those of a and the sum. */
#define ITEM                                                                                          \
  "ldrsb r3, [r1], #1\n add r3, r4, r3, lsl #21\n smull r12, lr, r3, r5\n add lr, lr, r12, lsr #31\n" \
  "add lr, lr, r6\n add lr, lr, r3, asr #31\n asr lr, lr, r7\n"                                       \
  "ldrsb r3, [r0], #1\n add r3, r8, r3, lsl #20\n add r3, r3, lr, lsl #1\n smull r12, lr, r3, r9\n"   \
  "add lr, lr, r12, lsr #31\n add lr, lr, r10\n add lr, lr, r3, asr #31\n asr lr, lr, r11\n"          \
  "ssat lr, #8, lr\n strb lr, [r2], #1\n"

/* To the end of whole fours, then to the end of all: constants[8] and [9]. */
__attribute__((naked, noinline)) static void add_items(UNUSED const int8_t *a, UNUSED const int8_t *b,
                                                       UNUSED int8_t *out, UNUSED const int32_t *constants) {
  __asm__(
      ".syntax unified\n"
      "push {r3-r11, lr}\n"
      "ldm r3, {r4-r11}\n"
      "ldr r12, [r3, #32]\n cmp r2, r12\n beq 2f\n"
      "1:\n" ITEM ITEM ITEM ITEM
      "ldr r3, [sp]\n ldr r12, [r3, #32]\n cmp r2, r12\n bne 1b\n"
      "2: ldr r3, [sp]\n ldr r12, [r3, #36]\n cmp r2, r12\n beq 4f\n"
      "3:\n" ITEM
      "ldr r3, [sp]\n ldr r12, [r3, #36]\n cmp r2, r12\n bne 3b\n"
      "4: pop {r3-r11, pc}\n");
}

static void add_row(const ert_add_s8s8_dense_params *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  const int32_t constants[] = {
      p->b_base, p->b_multiplier,           p->b_half,         p->b_shift, p->a_base, p->multiplier, p->offset,
      p->shift,  (int32_t)(out + (n & ~3)), (int32_t)(out + n)};
  add_items(a, b, out, constants);
}

#else

static int32_t rounded(uint32_t wide, int32_t multiplier, int32_t offset, int32_t shift) {
  const int32_t x = (int32_t)wide;
  const int32_t high = (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << 31)) >> 32);
  return (int32_t)((uint32_t)high + (uint32_t)offset - (x < 0)) >> (shift & 31);
}

static void add_row(const ert_add_s8s8_dense_params *p, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  for (int32_t i = 0; i < n; i++) {
    const int32_t y = rounded((uint32_t)p->b_base + ((uint32_t)b[i] << 21), p->b_multiplier, p->b_half, p->b_shift);
    const uint32_t sum = (uint32_t)p->a_base + ((uint32_t)a[i] << 20) + 2 * (uint32_t)y;
    out[i] = (int8_t)ert_clamp(rounded(sum, p->multiplier, p->offset, p->shift), -128, 127);
  }
}

#endif

void ert_add_s8s8_x1__thumb2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_add_s8s8_dense_params *p = (const void *)c->params;
  const int32_t n = p->shape.w * p->shape.c;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *const out = ert_out_row(&c->out, y);
    add_row(p, ert_row(&c->in[0], y), ert_row(&c->in[1], y), out, n);
    ert_clamp_row(out, n, p->min, p->max);
  }
}

#endif
