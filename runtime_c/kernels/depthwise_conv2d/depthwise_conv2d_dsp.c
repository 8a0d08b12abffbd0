/* SPDX-License-Identifier: Apache-2.0 */
/* Four channels of a pixel at a time, two taps in each multiplication: 14 instructions for 8 products, 38 for everything
 * else of the four sums. A 3x3 window takes 94 instructions for 36 products, a 5x5 window 212 for 100; the floor of
 * SMLAD alone is 20 and 52. */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "dsp.h"

#if ERT_HAS_dsp

/* A window in the packed order of its taps: each as the offset of its pixel from the input's base. Taps in the padding
 * are offsets of `pad`, in_c bytes of the zero point; they have a name of their own where pointers are wider. */
typedef struct {
  const uint8_t *base, *pad;
  const int32_t *taps;
  int32_t pairs; /* of taps, before the last one */
} window;

#if defined(__ARM_FEATURE_DSP)

static int32_t pad_offset(const window *v) { return (int32_t)(v->pad - v->base); }

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

/* On the stack: where a group enters the loop of four pairs, the taps, the last tap, the end of the input, and how far
 * the output is from the input. A function of the word at from, whose registers are its own affair. */
#define PIXEL(name, scaled)                                                                                          \
  __attribute__((naked, noinline)) static void name(                                                                 \
      __attribute__((unused)) const int32_t *taps, __attribute__((unused)) const uint8_t *x,                         \
      __attribute__((unused)) const uint32_t *w, __attribute__((unused)) const pixel_frame *frame) {                 \
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

typedef struct {
  int32_t entry; /* from the first of the four pairs; 1 for Thumb */
  const int32_t *taps, *last;
  const uint8_t *end;
  int32_t to_out;
} pixel_frame;

PIXEL(pixel_relu, SCALED_RELU)
PIXEL(pixel_any, SCALED)

/* Channels o to end; 4 divides their number. */
ERT_INLINE void groups(const window *v, int32_t o, int32_t end, const uint32_t *w, int8_t *out, int relu) {
  const int32_t skipped = v->pairs ? -v->pairs & 3 : 4;
  const pixel_frame frame = {skipped * PAIR_BYTES + 1, v->taps, v->taps + 2 * v->pairs, v->base + end,
                             (int32_t)((uint32_t)out - (uint32_t)v->base)};
  if (relu) pixel_relu(v->taps, v->base + o, w, &frame);
  else pixel_any(v->taps, v->base + o, w, &frame);
}

#else

enum { PAD_OFFSET = INT32_MIN };

static int32_t pad_offset(const window *v) {
  (void)v;
  return PAD_OFFSET;
}

static uint32_t tap_word(const window *v, int32_t at, int32_t o) {
  return ert_load_word((v->taps[at] == PAD_OFFSET ? v->pad : v->base + v->taps[at]) + o);
}

static int32_t finished(int32_t acc, const uint32_t *scale, uint32_t shift, int relu) {
  const int32_t high = ert_high_mac_rounded(acc, (int32_t)scale[0], (int32_t)scale[1]);
  return ert_signed_byte(
      ert_shift_right(relu ? high : (int32_t)((uint32_t)high + (uint32_t)(acc >> 31)), (int32_t)shift));
}

static const uint32_t *group(const window *v, int32_t o, const uint32_t *w, int8_t *out, int relu) {
  int32_t a[4];
  for (int32_t i = 0; i < 4; i++) a[i] = (int32_t)*w++;
  for (int32_t t = 0; t < v->pairs; t++, w += 4) {
    const uint32_t t0 = tap_word(v, 2 * t, o), t1 = tap_word(v, 2 * t + 1, o);
    const uint32_t low = ert_low_halves(t0, t1), high = ert_high_halves(t0, t1);
    a[0] = ert_dual_mac(ert_even_bytes(low), w[0], a[0]), a[1] = ert_dual_mac(ert_odd_bytes(low), w[1], a[1]);
    a[2] = ert_dual_mac(ert_even_bytes(high), w[2], a[2]), a[3] = ert_dual_mac(ert_odd_bytes(high), w[3], a[3]);
  }
  const uint32_t x = tap_word(v, 2 * v->pairs, o), even = ert_even_bytes(x), odd = ert_odd_bytes(x);
  a[0] = ert_low_mac(even, w[0], a[0]), a[1] = ert_low_mac(odd, w[1], a[1]);
  a[2] = ert_high_mac(even, w[0], a[2]), a[3] = ert_high_mac(odd, w[1], a[3]);
  w += 2;
  for (int32_t i = 0; i < 4; i++) out[o + i] = (int8_t)finished(a[i], w + 2 * i, w[8 + i], relu);
  return w + 12;
}

static void groups(const window *v, int32_t o, int32_t end, const uint32_t *w, int8_t *out, int relu) {
  for (; o < end; o += 4) w = group(v, o, w, out, relu);
}

#endif

/* Words of four channels. */
static int32_t group_words(const window *v) { return 4 * v->pairs + 18; }

/* All channels of a pixel: the last four overlap those before where four does not divide their number. */
ERT_INLINE void pixel(const window *v, int32_t n_out, const uint32_t *w, int8_t *out, int relu) {
  groups(v, 0, n_out & ~3, w, out, relu);
  if (n_out & 3) groups(v, n_out - 4, n_out, w + (n_out >> 2) * group_words(v), out, relu);
}

static void list_taps(const ert_call *c, const ert_conv2d_geometry *g, const window *v, int32_t iy0, int32_t ix0,
                      int32_t *taps) {
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    const int in_rows = iy >= 0 && iy < g->in_h;
    const int32_t row = in_rows ? (int32_t)((const uint8_t *)ert_row(&c->in[0], iy) - v->base) : 0;
    for (int32_t kx = 0; kx < g->kernel_w; kx++) {
      const int32_t ix = ix0 + kx * g->dilation_w;
      *taps++ = in_rows && ix >= 0 && ix < g->in_w ? row + ix * g->in_c : pad_offset(v);
    }
  }
  *taps = pad_offset(v); /* counts where the taps are even in number */
}

static int inside(int32_t first, int32_t kernel, int32_t dilation, int32_t extent) {
  return first >= 0 && first + (kernel - 1) * dilation < extent;
}

static void clamp_row(int8_t *out, int32_t n, int32_t low, int32_t high) {
  for (; n > 0; n--, out++) *out = (int8_t)ert_clamp(*out, low, high);
}

/* From one pixel inside the image to the next the base moves; at borders the taps are listed again. */
ERT_INLINE void rows(const ert_call *c, int32_t y0, int32_t y1, int relu) {
  const ert_depthwise_conv2d_s8s8_fours_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  int32_t *const taps = c->scratch;
  const int32_t n = g->kernel_h * g->kernel_w, step = g->stride_w * g->in_c;
  const window start = {c->in[0].base, (const uint8_t *)(taps + n + 1), taps, n / 2};
  ERT_MEMSET(taps + n + 1, p->in_zero_point, g->in_c);
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    const int32_t iy0 = y * g->stride_h - g->pad_top;
    const int rows_inside = inside(iy0, g->kernel_h, g->dilation_h, g->in_h);
    int listed = 0;
    window v = start;
    for (int32_t x = 0, ix0 = -g->pad_left; x < g->out_w; x++, ix0 += g->stride_w, out += g->out_c) {
      const int whole = rows_inside && inside(ix0, g->kernel_w, g->dilation_w, g->in_w);
      if (whole && listed) v.base += step;
      else v.base = start.base, list_taps(c, g, &v, iy0, ix0, taps);
      listed = whole;
      pixel(&v, g->out_c, ert_blob(c, p->weights), out, relu);
    }
    if (p->min > -128 || p->max < 127) clamp_row(out - g->out_w * g->out_c, g->out_w * g->out_c, p->min, p->max);
  }
}

void ert_depthwise_conv2d_s8s8_1x4relu__dsp(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1, 1); }
void ert_depthwise_conv2d_s8s8_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) { rows(c, y0, y1, 0); }

#endif
