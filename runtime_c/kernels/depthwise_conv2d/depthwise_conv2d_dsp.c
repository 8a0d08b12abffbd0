/* SPDX-License-Identifier: Apache-2.0 */
/* Four channels of a pixel at a time, two taps in each multiplication: 14 instructions for 8 products, 38 for everything
 * else of the four sums. A 3x3 window takes 94 instructions for 36 products, a 5x5 window 212 for 100; the floor of
 * SMLAD alone is 20 and 52. */
#include "depthwise_conv2d/taps_dsp.h"

#if ERT_HAS_dsp

#if defined(__ARM_FEATURE_DSP)

/* r0 taps, r1 input, r2 weights, r4 to r7 sums. */
#define PAIR                        \
  "ldrd r10, r11, [r0], #8\n\t"     \
  "ldr.w r10, [r1, r10]\n\t"        \
  "ldr.w r11, [r1, r11]\n\t"        \
  "pkhbt r3, r10, r11, lsl #16\n\t" \
  "pkhtb r9, r11, r10, asr #16\n\t" \
  "sxtb16 r8, r3\n\t"               \
  "sxtb16 r3, r3, ror #8\n\t"       \
  "ldm r2!, {r10-r12, lr}\n\t"      \
  "smlad r4, r8, r10, r4\n\t"       \
  "smlad r5, r3, r11, r5\n\t"       \
  "sxtb16 r8, r9\n\t"               \
  "sxtb16 r9, r9, ror #8\n\t"       \
  "smlad r6, r8, r12, r6\n\t"       \
  "smlad r7, r9, lr, r7\n\t"
#define PAIR_BYTES 56

/* requantize.h's rescale of twice a sum: the high product with what a channel adds to it (half a unit and the zero
 * point). Halves round away from zero, so a negative sum has 1 less; that does not show under a clamp at zero. */
#define SCALED_RELU(acc, multiplier, offset) "smmlar " acc ", " acc ", " multiplier ", " offset "\n\t"
#define SCALED(acc, multiplier, offset)                 \
  "smmlar " offset ", " acc ", " multiplier ", " offset \
  "\n\t"                                                \
  "add " acc ", " offset ", " acc ", asr #31\n\t"

/* On the stack: the first five words of the window. */
#define FOURS(name, scaled)                                                                                          \
  __attribute__((naked, noinline)) static void name(                                                                 \
      __attribute__((unused)) const int32_t *taps, __attribute__((unused)) const uint8_t *x,                         \
      __attribute__((unused)) const uint32_t *w, __attribute__((unused)) const ert_taps_window *v) {                 \
    __asm__(                                                                                                       \
        "push {r4-r11, lr}\n\t"                                                                                    \
        "ldm r3, {r4-r8}\n\t"                                                                                      \
        "adr r9, 2f\n\t"                                                                                           \
        "add r4, r4, r9\n\t"                                                                                       \
        "sub sp, #20\n\t"                                                                                          \
        "stm sp, {r4-r8}\n"                                                                                        \
        "1:\n\t"                                                                                                   \
        "ldm r2!, {r4-r7}\n\t"                                                                                     \
        "ldr pc, [sp]\n\t"                                                                                         \
        ".p2align 2\n"                                                                                             \
        "2:\n\t" PAIR PAIR PAIR PAIR                                                                               \
        "ldr r8, [sp, #8]\n\t"                                                                                     \
        "cmp r0, r8\n\t"                                                                                           \
        "bne 2b\n\t"                                                                                               \
        "ldr r8, [r0]\n\t"                                                                                         \
        "ldr r0, [sp, #4]\n\t"                                                                                     \
        "ldr r8, [r1, r8]\n\t"                                                                                     \
        "ldm r2!, {r10, r11}\n\t"                                                                                  \
        "sxtb16 r9, r8, ror #8\n\t"                                                                                \
        "sxtb16 r8, r8\n\t"                                                                                        \
        "smlabb r4, r8, r10, r4\n\t"                                                                               \
        "smlatt r6, r8, r10, r6\n\t"                                                                               \
        "smlabb r5, r9, r11, r5\n\t"                                                                               \
        "smlatt r7, r9, r11, r7\n\t"                                                                               \
        "ldm r2!, {r3, r8-r12}\n\t" scaled("r4", "r3", "r8") scaled("r5", "r9", "r10") scaled("r6", "r11", "r12")  \
        "ldm r2!, {r3, r8-r12}\n\t" scaled("r7", "r3", "r8")                                                       \
        "asr.w r4, r4, r9\n\t"                                                 \
        "asr.w r5, r5, r10\n\t"                                                \
        "asr.w r6, r6, r11\n\t"                                                \
        "asr.w r7, r7, r12\n\t"                                                \
        "ldrd r8, r9, [sp, #12]\n\t"                                                                               \
        "ssat r4, #8, r4\n\t"                                                                                      \
        "ssat r5, #8, r5\n\t"                                                                                      \
        "ssat r6, #8, r6\n\t"                                                                                      \
        "ssat r7, #8, r7\n\t"                                                                                      \
        "bfi r4, r5, #8, #8\n\t"                                                                                   \
        "bfi r4, r6, #16, #8\n\t"                                                                                  \
        "bfi r4, r7, #24, #8\n\t"                                                                                  \
        "str r4, [r1, r9]\n\t"                                                                                     \
        "add r1, #4\n\t"                                                                                           \
        "cmp r1, r8\n\t"                                                                                           \
        "bne 1b\n\t"                                                                                               \
        "add sp, #20\n\t"                                                                                          \
        "pop {r4-r11, pc}"); \
  }

FOURS(fours_relu, SCALED_RELU)
FOURS(fours_any, SCALED)

static int32_t entry_of(int32_t pairs) { return (pairs ? -pairs & 3 : 4) * PAIR_BYTES + 1; }

#else

static int32_t entry_of(int32_t pairs) { return pairs; }

static int32_t finished(int32_t acc, const uint32_t *scale, uint32_t shift, int relu) {
  const int32_t high = ert_high_mac_rounded(acc, (int32_t)scale[0], (int32_t)scale[1]);
  return ert_signed_byte(
      ert_shift_right(relu ? high : (int32_t)((uint32_t)high + (uint32_t)(acc >> 31)), (int32_t)shift));
}

static const uint32_t *four(const ert_taps_window *v, const uint8_t *x, const uint32_t *w, int relu) {
  int32_t a[4];
  int8_t *const out = (int8_t *)((uintptr_t)x + (uintptr_t)v->to_out);
  for (int32_t i = 0; i < 4; i++) a[i] = (int32_t)*w++;
  for (const int32_t *t = v->taps; t < v->last; t += 2, w += 4) {
    const uint32_t t0 = ert_tap_word(v, x, t[0], 0), t1 = ert_tap_word(v, x, t[1], 0);
    const uint32_t low = ert_low_halves(t0, t1), high = ert_high_halves(t0, t1);
    a[0] = ert_dual_mac(ert_even_bytes(low), w[0], a[0]), a[1] = ert_dual_mac(ert_odd_bytes(low), w[1], a[1]);
    a[2] = ert_dual_mac(ert_even_bytes(high), w[2], a[2]), a[3] = ert_dual_mac(ert_odd_bytes(high), w[3], a[3]);
  }
  const uint32_t last = ert_tap_word(v, x, *v->last, 0), even = ert_even_bytes(last), odd = ert_odd_bytes(last);
  a[0] = ert_low_mac(even, w[0], a[0]), a[1] = ert_low_mac(odd, w[1], a[1]);
  a[2] = ert_high_mac(even, w[0], a[2]), a[3] = ert_high_mac(odd, w[1], a[3]);
  w += 2;
  for (int32_t i = 0; i < 4; i++) out[i] = (int8_t)finished(a[i], w + 2 * i, w[8 + i], relu);
  return w + 12;
}

static void fours_relu(const int32_t *taps, const uint8_t *x, const uint32_t *w, const ert_taps_window *v) {
  (void)taps;
  for (; x != v->end; x += 4) w = four(v, x, w, 1);
}

static void fours_any(const int32_t *taps, const uint8_t *x, const uint32_t *w, const ert_taps_window *v) {
  (void)taps;
  for (; x != v->end; x += 4) w = four(v, x, w, 0);
}

#endif

static void rows(const ert_call *c, int32_t y0, int32_t y1, ert_fours_fn *sum) {
  const ert_depthwise_conv2d_s8s8_fours_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  int32_t *const taps = c->scratch;
  const int32_t n = g->kernel_h * g->kernel_w, pairs = n / 2;
  const ert_fours_layer l = ert_fours_layer_of(g, ert_blob(c, p->weights), 4 * pairs + 18, 1, sum);
  ert_taps_window v = {entry_of(pairs), taps, taps + 2 * pairs, NULL, 0, 0, 0, (const uint8_t *)(taps + n + 1)};
  ERT_MEMSET(taps + n + 1, p->in_zero_point, g->in_c);
  for (int32_t y = y0; y < y1; y++) {
    ert_fours_row(c, &l, &v, y);
    ert_clamp_row(ert_out_row(&c->out, y), g->out_w * g->out_c, p->min, p->max);
  }
}

void ert_depthwise_conv2d_s8s8_1x4relu__dsp(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1, fours_relu); }
void ert_depthwise_conv2d_s8s8_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1, fours_any); }
void ert_depthwise_conv2d_s8s4_1x4relu__dsp(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1, fours_relu); }
void ert_depthwise_conv2d_s8s4_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1, fours_any); }

#endif
