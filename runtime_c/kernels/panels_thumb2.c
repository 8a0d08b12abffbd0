/* SPDX-License-Identifier: Apache-2.0 */
#include "panels.h"
#include "thumb2.h"

#if ERT_HAS_thumb2

typedef ert_panel_walk walk;

enum { SCALES = 20 }; /* bytes of multiplier[4], shift[4] */

#if ERT_THUMB2_ASM

#define NAKED __attribute__((naked, noinline))
#define UNUSED __attribute__((unused))

/* A sum to a byte: its multiplier in lr, shift in r1, twice in r12. */
#define FINISH(a)                                                                                            \
  "lsl " a ", " a ", #1\n smull r3, " a ", " a ", lr\n add " a ", " a ", r3, lsr #31\n add " a ", " a ", " a \
  ", asr #31\n asr " a ", " a ", r1\n add " a ", " a ", r12\n ssat " a ", #8, " a ", asr #1\n"

/* One weight of four channels: r0, r1 and r2 walk along the first pixel, the second and the panel. */
#define TAP_2X4                                                       \
  "ldrsb r3, [r0], #1\n ldrsb r12, [r1], #1\n"                        \
  "ldrsb lr, [r2], #1\n mla r4, r3, lr, r4\n mla r8, r12, lr, r8\n"   \
  "ldrsb lr, [r2], #1\n mla r5, r3, lr, r5\n mla r9, r12, lr, r9\n"   \
  "ldrsb lr, [r2], #1\n mla r6, r3, lr, r6\n mla r10, r12, lr, r10\n" \
  "ldrsb lr, [r2], #1\n mla r7, r3, lr, r7\n mla r11, r12, lr, r11\n"

/* Panels for two pixels. What follows the last one. */
NAKED static const uint8_t *two_pixels(UNUSED const uint8_t *panel, UNUSED walk *q) {
  __asm__(
      ".syntax unified\n"
      "push {r4-r11, lr}\n"
      "sub sp, sp, #20\n"
      "str r1, [sp, #8]\n mov r2, r0\n mov r3, r1\n"
      "0: ldm r2!, {r4-r7}\n"
      "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
      "ldr lr, [r3, #36]\n"
      "1: ldrd r0, r1, [lr], #8\n str lr, [sp, #12]\n"
      "ldr r3, [r3, #32]\n bic lr, r3, #3\n add lr, lr, r0\n add r3, r3, r0\n"
      "strd lr, r3, [sp]\n" /* the ends of whole turns and of all */
      "cmp r0, lr\n beq 3f\n"
      "2:\n" TAP_2X4 TAP_2X4 TAP_2X4 TAP_2X4
      "ldr lr, [sp]\n cmp r0, lr\n bne 2b\n"
      "3: ldr lr, [sp, #4]\n cmp r0, lr\n beq 5f\n"
      "4:\n" TAP_2X4
      "ldr lr, [sp, #4]\n cmp r0, lr\n bne 4b\n"
      "5: ldrd r3, lr, [sp, #8]\n ldr r0, [r3, #40]\n cmp lr, r0\n bne 1b\n"
      "ldrd r0, r12, [r3, #52]\n cmp r0, #0\n itt eq\n moveq r0, r2\n addeq r2, r2, #20\n"
      "cmp r12, #0\n beq 6f\n"
      "ldr lr, [r0]\n ldrsb r1, [r0, #16]\n" FINISH("r4") FINISH("r8")
      "ldr lr, [r0, #4]\n ldrsb r1, [r0, #17]\n" FINISH("r5") FINISH("r9")
      "ldr lr, [r0, #8]\n ldrsb r1, [r0, #18]\n" FINISH("r6") FINISH("r10")
      "ldr lr, [r0, #12]\n ldrsb r1, [r0, #19]\n" FINISH("r7") FINISH("r11")
      "ldr r3, [sp, #8]\n ldrd r0, r1, [r3, #44]\n"
      "strb r4, [r0], #1\n strb r5, [r0], #1\n strb r6, [r0], #1\n strb r7, [r0], #1\n"
      "strb r8, [r1], #1\n strb r9, [r1], #1\n strb r10, [r1], #1\n strb r11, [r1], #1\n"
      "strd r0, r1, [r3, #44]\n"
      "ldr r0, [r3, #60]\n subs r0, r0, #1\n str r0, [r3, #60]\n bne 0b\n"
      "b 7f\n"
      "6: stm r3, {r4-r11}\n"
      "7: mov r0, r2\n add sp, sp, #20\n pop {r4-r11, pc}\n");
}

#define TAP_1X4                                 \
  "ldrsb r3, [r0], #1\n"                        \
  "ldrsb r12, [r2], #1\n mla r4, r3, r12, r4\n" \
  "ldrsb r12, [r2], #1\n mla r5, r3, r12, r5\n" \
  "ldrsb r12, [r2], #1\n mla r6, r3, r12, r6\n" \
  "ldrsb r12, [r2], #1\n mla r7, r3, r12, r7\n"

/* As two_pixels for the first alone. */
NAKED static const uint8_t *one_pixel(UNUSED const uint8_t *panel, UNUSED walk *q) {
  __asm__(
      ".syntax unified\n"
      "push {r4-r11, lr}\n"
      "mov r9, r1\n mov r2, r0\n"
      "0: ldm r2!, {r4-r7}\n"
      "ldr r10, [r9, #36]\n ldr r11, [r9, #32]\n"
      "1: ldr r0, [r10], #8\n"
      "bic r8, r11, #3\n add r8, r8, r0\n add lr, r11, r0\n"
      "cmp r0, r8\n beq 3f\n"
      "2:\n" TAP_1X4 TAP_1X4 TAP_1X4 TAP_1X4
      "cmp r0, r8\n bne 2b\n"
      "3: cmp r0, lr\n beq 5f\n"
      "4:\n" TAP_1X4
      "cmp r0, lr\n bne 4b\n"
      "5: ldr r0, [r9, #40]\n cmp r10, r0\n bne 1b\n"
      "ldrd r0, r12, [r9, #52]\n cmp r0, #0\n itt eq\n moveq r0, r2\n addeq r2, r2, #20\n"
      "cmp r12, #0\n beq 6f\n"
      "ldr lr, [r0]\n ldrsb r1, [r0, #16]\n" FINISH("r4")
      "ldr lr, [r0, #4]\n ldrsb r1, [r0, #17]\n" FINISH("r5")
      "ldr lr, [r0, #8]\n ldrsb r1, [r0, #18]\n" FINISH("r6")
      "ldr lr, [r0, #12]\n ldrsb r1, [r0, #19]\n" FINISH("r7")
      "ldr r0, [r9, #44]\n"
      "strb r4, [r0], #1\n strb r5, [r0], #1\n strb r6, [r0], #1\n strb r7, [r0], #1\n"
      "str r0, [r9, #44]\n"
      "ldr r0, [r9, #60]\n subs r0, r0, #1\n str r0, [r9, #60]\n bne 0b\n"
      "b 7f\n"
      "6: stm r9, {r4-r7}\n"
      "7: mov r0, r2\n pop {r4-r11, pc}\n");
}

#else

/* acc: bias and products of one panel. */
static const uint8_t *add_products(const uint8_t *panel, walk *q, int32_t pixels) {
  const int8_t *w = (const int8_t *)(panel + 16);
  for (int32_t i = 0; i < pixels; i++) ERT_MEMMOVE(q->acc + 4 * i, panel, 16);
  for (const ert_rows_of *row = q->row; row < q->end; row++)
    for (int32_t k = 0; k < q->n; k++)
      for (int32_t j = 0; j < 4; j++, w++)
        for (int32_t i = 0; i < pixels; i++)
          q->acc[4 * i + j] = (int32_t)((uint32_t)q->acc[4 * i + j] + (uint32_t)(row->of[i][k] * *w));
  return (const uint8_t *)w;
}

static const uint8_t *some_pixels(const uint8_t *panel, walk *q, int32_t pixels) {
  do {
    panel = add_products(panel, q, pixels);
    const uint8_t *scales = q->scales ? q->scales : panel;
    if (!q->scales) panel += SCALES;
    if (q->twice == 0) return panel;
    for (int32_t j = 0; j < 4; j++) {
      int32_t multiplier;
      ERT_MEMMOVE(&multiplier, scales + 4 * j, 4);
      const int32_t shift = (int8_t)scales[16 + j];
      for (int32_t i = 0; i < pixels; i++)
        *q->out[i]++ = (int8_t)ert_fast_s8(q->acc[4 * i + j], multiplier, shift, q->twice);
    }
  } while (--q->panels > 0);
  return panel;
}

static const uint8_t *one_pixel(const uint8_t *panel, walk *q) { return some_pixels(panel, q, 1); }
static const uint8_t *two_pixels(const uint8_t *panel, walk *q) { return some_pixels(panel, q, 2); }

#endif

static const uint8_t *next_panels(const uint8_t *panel, walk *q, int32_t pixels, int32_t n) {
  q->panels = n;
  return pixels == 2 ? two_pixels(panel, q) : one_pixel(panel, q);
}

/* Whole panels, then the channels that are left for the last one. */
static void run_fast(walk *q, int32_t pixels, int8_t *const out[2]) {
  const int32_t whole = q->n_out >> 2, rest = q->n_out & 3;
  const uint8_t *panel = whole > 0 ? next_panels(q->first, q, pixels, whole) : q->first;
  if (rest == 0) return;
  int8_t last[2][4] = {{0}};
  q->out[0] = last[0], q->out[1] = last[1];
  next_panels(panel, q, pixels, 1);
  for (int32_t i = 0; i < pixels; i++)
    for (int32_t j = 0; j < rest; j++) out[i][4 * whole + j] = last[i][j];
}

/* By requantize.h's formula. */
static void run_exact(walk *q, int32_t pixels) {
  const uint8_t *panel = q->first;
  for (int32_t o = 0; o < q->n_out; o += 4) {
    panel = next_panels(panel, q, pixels, 1);
    const uint8_t *scales = q->scales ? q->scales : panel - SCALES;
    for (int32_t j = 0; j < 4 && j < q->n_out - o; j++) {
      const int32_t multiplier = ((const int32_t *)(const void *)scales)[j], shift = (int8_t)scales[16 + j];
      for (int32_t i = 0; i < pixels; i++) {
        const int32_t x = ert_requantize(q->acc[4 * i + j], multiplier, shift);
        *q->out[i]++ = (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)q->zero_point), -128, 127);
      }
    }
  }
}

void ert_panels_begin(ert_panel_walk *q, const ert_call *c, const ert_panels *p, int32_t n_out, int32_t n,
                      int32_t count, const ert_rows_of *rows) {
  const uint8_t *first = ert_blob(c, p->panels);
  *q = (walk){.n = n, .row = rows, .end = rows + count, .scales = p->per_channel ? NULL : first};
  q->first = p->per_channel ? first : first + SCALES;
  q->n_out = n_out;
  q->twice = p->fast ? 1 + 2 * p->zero_point : 0;
  q->zero_point = p->zero_point, q->min = p->min, q->max = p->max;
}

void ert_panels_run(ert_panel_walk *q, int32_t pixels, int8_t *const out[2]) {
  q->out[0] = out[0], q->out[1] = out[1];
  if (q->twice != 0) run_fast(q, pixels, out);
  else run_exact(q, pixels);
  if (q->min <= -128 && q->max >= 127) return;
  for (int32_t i = 0; i < pixels; i++) ert_clamp_row(out[i], q->n_out, q->min, q->max);
}

#endif
