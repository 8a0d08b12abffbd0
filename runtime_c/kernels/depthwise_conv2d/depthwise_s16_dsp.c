/* SPDX-License-Identifier: Apache-2.0 */
/* int16 items: four channels of a pixel at a time, eight instructions for the four products of a tap. A 3x3 window takes
 * 107 instructions for 36 products where sums are wide. */
#include "depthwise_conv2d/taps_dsp.h"
#include "blocks_dsp.h"

#if ERT_HAS_dsp

#if defined(__ARM_FEATURE_DSP)

/* clang-format off */
/* r0 taps, r1 input, r2 weights, r3 input of the second two channels, r4 to r7 sums. */
#define TAP                           \
  "ldr r10, [r0], #4\n\t"             \
  "ldrd r12, lr, [r2], #8\n\t"        \
  "ldr.w r8, [r1, r10]\n\t"           \
  "ldr.w r9, [r3, r10]\n\t"           \
  "smlabb r4, r8, r12, r4\n\t"        \
  "smlatt r5, r8, r12, r5\n\t"        \
  "smlabb r6, r9, lr, r6\n\t"         \
  "smlatt r7, r9, lr, r7\n\t"
enum { TAPS = 9, TAP_BYTES = 32 };
#define NINE_TAPS TAP TAP TAP TAP TAP TAP TAP TAP TAP

/* Multipliers in r8 to r11, shifts behind them at r2. */
#define MULTIPLIED "smmulr r4, r4, r8\n\tsmmulr r5, r5, r9\n\tsmmulr r6, r6, r10\n\tsmmulr r7, r7, r11\n\t"
#define WIDE MULTIPLIED "ssat r4, #16, r4\n\tssat r5, #16, r5\n\tssat r6, #16, r6\n\tssat r7, #16, r7\n\t"
#define EACH(f) f("r4") f("r5") f("r6") f("r7")
#define DOUBLED(a) "lsl " a ", " a ", #1\n\t"
#define AWAY_FROM_ZERO(a) "add " a ", " a ", " a ", asr #31\n\t"
#define SHIFTED(a) "asr " a ", " a ", r8\n\tlsr r8, r8, #8\n\t"
#define HALVED(a) "add " a ", " a ", #1\n\tssat " a ", #16, " a ", asr #1\n\t"
#define NARROW \
  EACH(DOUBLED) MULTIPLIED EACH(AWAY_FROM_ZERO) "ldr r8, [r2]\n\tmvn r8, r8\n\t" EACH(SHIFTED) EACH(HALVED)
#define TWO(a, b)                                    \
  "pkhbt " a ", " a ", " b ", lsl #16\n\t"           \
  "ssub16 r10, " a ", r8\n\tsel " a ", " a ", r8\n\t" \
  "ssub16 r10, r9, " a "\n\tsel " a ", " a ", r9\n\t"

/* On the stack: the first seven words of the window. */
#define FOURS(name, rescaled)                                                                     \
  __attribute__((naked, noinline)) static void name(                                              \
      __attribute__((unused)) const int32_t *taps, __attribute__((unused)) const uint8_t *x,      \
      __attribute__((unused)) const uint32_t *w, __attribute__((unused)) const ert_taps_window *v) {       \
    __asm__(                                                                                      \
        "push {r4-r11, lr}\n\t"                                                                   \
        "ldm r3, {r4-r10}\n\t"                                                                    \
        "adr r11, 2f\n\t"                                                                         \
        "add r4, r4, r11\n\t"                                                                     \
        "sub sp, #28\n\t"                                                                         \
        "stm sp, {r4-r10}\n\t"                                                                    \
        "add r3, r1, #4\n"                                                                        \
        "1:\n\t"                                                                                  \
        "ldm r2!, {r4-r7}\n\t"                                                                    \
        "ldr pc, [sp]\n\t"                                                                        \
        ".p2align 2\n"                                                                            \
        "2:\n\t" NINE_TAPS                                                                        \
        "ldr r8, [sp, #8]\n\t"                                                                    \
        "cmp r0, r8\n\t"                                                                          \
        "bne 2b\n\t"                                                                              \
        "ldm r2!, {r8-r11}\n\t" rescaled                                                          \
        "ldrd r8, r9, [sp, #20]\n\t" TWO("r4", "r5") TWO("r6", "r7")                              \
        "ldr r10, [sp, #16]\n\t"                                                                  \
        "ldr r0, [sp, #4]\n\t"                                                                    \
        "str r4, [r1, r10]\n\t"                                                                   \
        "str r6, [r3, r10]\n\t"                                                                   \
        "add r1, #8\n\t"                                                                          \
        "add r3, #8\n\t"                                                                          \
        "add r2, #4\n\t"                                                                          \
        "ldr r8, [sp, #12]\n\t"                                                                   \
        "cmp r1, r8\n\t"                                                                          \
        "bne 1b\n\t"                                                                              \
        "add sp, #28\n\t"                                                                         \
        "pop {r4-r11, pc}");                                                                      \
  }
/* clang-format on */

FOURS(fours_wide, WIDE)
FOURS(fours_narrow, NARROW)

static int32_t entry_of(int32_t taps) { return (TAPS - 1 - (taps - 1) % TAPS) * TAP_BYTES + 1; }

#else

static int32_t entry_of(int32_t taps) { return taps; }

static const uint32_t *four(const ert_taps_window *v, const uint8_t *x, const uint32_t *w, int32_t wide) {
  int32_t a[4];
  int16_t *const out = (void *)((uintptr_t)x + (uintptr_t)v->to_out);
  for (int32_t i = 0; i < 4; i++) a[i] = (int32_t)*w++;
  for (const int32_t *t = v->taps; t < v->last; t++, w += 2) {
    const uint32_t low = ert_tap_word(v, x, *t, 0), high = ert_tap_word(v, x, *t, 4);
    a[0] = ert_low_mac(low, w[0], a[0]), a[1] = ert_high_mac(low, w[0], a[1]);
    a[2] = ert_low_mac(high, w[1], a[2]), a[3] = ert_high_mac(high, w[1], a[3]);
  }
  for (int32_t i = 0; i < 4; i++) {
    const int32_t y = ert_rescale_half(a[i], (int32_t)w[i], (int8_t)(w[4] >> 8 * i), wide);
    out[i] = (int16_t)ert_clamp(ert_signed_half(y), (int16_t)v->low, (int16_t)v->high);
  }
  return w + 5;
}

static void fours_wide(const int32_t *taps, const uint8_t *x, const uint32_t *w, const ert_taps_window *v) {
  (void)taps;
  for (; x != v->end; x += 8) w = four(v, x, w, 1);
}

static void fours_narrow(const int32_t *taps, const uint8_t *x, const uint32_t *w, const ert_taps_window *v) {
  (void)taps;
  for (; x != v->end; x += 8) w = four(v, x, w, 0);
}

#endif

void ert_depthwise_conv2d_s16s8_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s16s8_fours_params *p = (const void *)c->params;
  int32_t *const taps = c->scratch;
  const int32_t n = p->g.kernel_h * p->g.kernel_w;
  const ert_fours_layer l =
      ert_fours_layer_of(&p->g, ert_blob(c, p->weights), 2 * n + 9, 2, p->wide ? fours_wide : fours_narrow);
  ert_taps_window v = {.entry = entry_of(n),
                       .taps = taps,
                       .last = taps + n,
                       .low = (uint16_t)p->min * 0x00010001u,
                       .high = (uint16_t)p->max * 0x00010001u,
                       .pad = (const uint8_t *)(taps + n + 1)};
  ERT_MEMSET(taps + n + 1, 0, 2 * p->g.in_c);
  for (int32_t y = y0; y < y1; y++) ert_fours_row(c, &l, &v, y);
}

#endif
