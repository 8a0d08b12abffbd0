/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 windows of stride 1, channel by channel: three rows of two channels lie in scratch, widened to 16 bits, so that
 * a word holds two neighbours and the weights stay in registers. Two outputs take 30 instructions for 18 products, each
 * input 2.5 more; the floor of SMLAD for two outputs is 10. */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "dsp.h"

#if ERT_HAS_dsp

/* One row of one channel. `channel` is its ten words in the file. */
typedef struct {
  uint32_t channel[ERT_PLANE_WORDS];
  int32_t step; /* between outputs */
  const uint32_t *end;
  int32_t odd; /* 4 where a single output is left */
  const uint32_t *rows[3];
  int8_t *out;
} plane_row;

typedef void row_fn(const plane_row *row);

#if defined(__ARM_FEATURE_DSP)

/* r0, r1, r2 rows, r3 out, r4 to r9 weights: of each row (w0, w1) and (w1, w2); r12 and lr sums of two outputs. On the
 * stack: bias, multiplier, offset, shift, step, end, odd. */
#define TAPS(row, w01, w12, acc)  \
  "ldrd r10, r11, [" row          \
  "], #4\n\t"                     \
  "smlad r12, r10, " w01 ", " acc \
  "\n\t"                          \
  "smlatb lr, r10, " w01          \
  ", lr\n\t"                      \
  "smlabt r12, r11, " w12         \
  ", r12\n\t"                     \
  "smlad lr, r11, " w12 ", lr\n\t"
#define SCALED_RELU               \
  "ldrd r10, r11, [sp, #4]\n\t"   \
  "smmlar r12, r12, r10, r11\n\t" \
  "smmlar lr, lr, r10, r11\n\t"
#define SCALED                     \
  "ldrd r10, r11, [sp, #4]\n\t"    \
  "add r11, r11, r12, asr #31\n\t" \
  "smmlar r12, r12, r10, r11\n\t"  \
  "ldr r11, [sp, #8]\n\t"          \
  "add r11, r11, lr, asr #31\n\t"  \
  "smmlar lr, lr, r10, r11\n\t"
/* The single output that may be left is computed with a step of 0, and written after the one that nobody wants. */
#define PLANE_ROW(name, scaled)                                                                                     \
  __attribute__((naked, noinline)) static void name(__attribute__((unused)) const plane_row *row) {                 \
    __asm__(                                                                                                        \
        "push {r4-r11, lr}\n\t"                                                                                     \
        "sub sp, #28\n\t"                                                                                           \
        "ldm r0!, {r4-r9}\n\t"                                                                                      \
        "ldm r0!, {r1-r3, r10-r12, lr}\n\t"                                                                         \
        "stm sp, {r1-r3, r10-r12, lr}\n\t"                                                                          \
        "ldm r0, {r0-r3}\n"                                                                                         \
        "1:\n\t"                                                                                                    \
        "ldr lr, [sp]\n\t" TAPS("r0", "r4", "r5", "lr") TAPS("r1", "r6", "r7", "r12") TAPS("r2", "r8", "r9", "r12") \
            scaled                                                                                                  \
        "ldrd r10, r11, [sp, #12]\n\t"                                                                              \
        "asr.w r12, r12, r10\n\t"                                                                                   \
        "asr.w lr, lr, r10\n\t"                                                                                     \
        "ldr r10, [sp, #20]\n\t"                                                                                    \
        "ssat r12, #8, r12\n\t"                                                                                     \
        "ssat lr, #8, lr\n\t"                                                                                       \
        "strb.w lr, [r3, r11]\n\t"                                                                                  \
        "strb.w r12, [r3]\n\t"                                                                                      \
        "add r3, r3, r11, lsl #1\n\t"                                                                               \
        "cmp r0, r10\n\t"                                                                                           \
        "bne 1b\n\t"                                                                                                \
        "ldr r11, [sp, #24]\n\t"                                                                                    \
        "cmp r11, #0\n\t"                                                                                           \
        "beq 2f\n\t"                                                                                                \
        "add r10, r10, r11\n\t"                                                                                     \
        "mov r12, #0\n\t"                                                                                           \
        "strd r12, r10, [sp, #16]\n\t"                                                                              \
        "str r12, [sp, #24]\n\t"                                                                                    \
        "b 1b\n"                                                                                                    \
        "2:\n\t"                                                                                                    \
        "add sp, #28\n\t"                                                                                           \
        "pop {r4-r11, pc}");                                                                                        \
  }

PLANE_ROW(row_relu, SCALED_RELU)
PLANE_ROW(row_any, SCALED)

#else

static int8_t finished(int32_t acc, const uint32_t *scale, int relu) {
  const int32_t high = ert_high_mac_rounded(acc, (int32_t)scale[0], (int32_t)scale[1]);
  const int32_t rounded = relu ? high : (int32_t)((uint32_t)high + (uint32_t)(acc >> 31));
  return (int8_t)ert_signed_byte(ert_shift_right(rounded, (int32_t)scale[2]));
}

/* Outputs 2 * i and 2 * i + 1, the second first: where there is none, it has the place of the other. */
static void two_outputs(const plane_row *r, int32_t i, int32_t step, int relu) {
  const uint32_t *const w = r->channel;
  int32_t a = (int32_t)w[6], b = a;
  for (int32_t ky = 0; ky < 3; ky++) {
    const uint32_t x0 = r->rows[ky][i], x1 = r->rows[ky][i + 1], w01 = w[2 * ky], w12 = w[2 * ky + 1];
    a = ert_high_low_mac(w12, x1, ert_dual_mac(x0, w01, a));
    b = ert_dual_mac(x1, w12, ert_high_low_mac(x0, w01, b));
  }
  r->out[2 * i * r->step + step] = finished(b, w + 7, relu);
  r->out[2 * i * r->step] = finished(a, w + 7, relu);
}

static void row_twin(const plane_row *r, int relu) {
  const int32_t pairs = (int32_t)(r->end - r->rows[0]);
  for (int32_t i = 0; i < pairs; i++) two_outputs(r, i, r->step, relu);
  if (r->odd) two_outputs(r, pairs, 0, relu);
}

static void row_relu(const plane_row *r) { row_twin(r, 1); }
static void row_any(const plane_row *r) { row_twin(r, 0); }

#endif

/* Column for column of two channels, widened; the second channel's row lies `apart` words behind. */
static void gather(const int8_t *x, int32_t step, int32_t n, uint8_t *to, int32_t apart) {
  for (; n >= 2; n -= 2, x += 2 * step, to += 4) {
    const uint32_t two = ert_low_halves(ert_load_half(x), ert_load_half(x + step));
    ert_store_word(to, ert_even_bytes(two));
    ert_store_word(to + apart, ert_odd_bytes(two));
  }
  if (n > 0) ((int16_t *)(void *)to)[0] = x[0], ((int16_t *)(void *)(to + apart))[0] = x[1];
}

ERT_APART void fill(int16_t *to, int32_t n, int16_t value) {
  for (; n > 0; n--) *to++ = value;
}

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  int16_t pad;
  int32_t columns; /* of the input that a window reads */
  int32_t items;   /* of a row in scratch */
} plane;

/* Input row iy of two channels to its places among the three of each in scratch. */
ERT_APART void gather_row(const plane *p, int32_t iy, int32_t channel, const uint32_t *slot) {
  const int32_t apart = 3 * p->items;
  int16_t *const to =
      (int16_t *)p->c->scratch + ((const int16_t *)(const void *)slot - (int16_t *)p->c->scratch) + p->g->pad_left;
  if (iy >= 0 && iy < p->g->in_h) {
    const int8_t *x = (const int8_t *)ert_row(&p->c->in[0], iy) + channel;
    gather(x, p->g->in_c, p->columns, (uint8_t *)to, 2 * apart);
  } else {
    fill(to, p->columns, p->pad);
    fill(to + apart, p->columns, p->pad);
  }
}

/* The oldest of three rows makes room for the next. */
static void turn(plane_row *r) {
  const uint32_t *const oldest = r->rows[0];
  r->rows[0] = r->rows[1], r->rows[1] = r->rows[2], r->rows[2] = oldest;
}

/* Rows of channels `channel` and `channel` + 1; of the latter alone where `from` is 1. */
ERT_APART void channel_rows(const plane *p, int32_t y0, int32_t y1, int32_t channel, int32_t from, plane_row *r,
                            row_fn *sum) {
  const int32_t pairs = p->g->out_w / 2;
  int32_t iy = y0 - p->g->pad_top;
  gather_row(p, iy++, channel, r[0].rows[0]);
  gather_row(p, iy++, channel, r[0].rows[1]);
  for (int32_t y = y0; y < y1; y++) {
    int8_t *const out = (int8_t *)ert_out_row(&p->c->out, y) + channel;
    gather_row(p, iy++, channel, r[0].rows[2]);
    for (int32_t i = from; i < 2; i++) {
      r[i].out = out + i;
      r[i].end = r[i].rows[0] + pairs;
      sum(&r[i]);
    }
    turn(&r[0]), turn(&r[1]);
  }
}

static void channels(const ert_call *c, int32_t y0, int32_t y1, row_fn *sum) {
  const ert_depthwise_conv2d_s8s8_planes_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t window = g->out_w + 2 - g->pad_left, items = ert_plane_items(g);
  const plane q = {c, g, (int16_t)p->in_zero_point, window < g->in_w ? window : g->in_w, items};
  const uint32_t *const words = ert_blob(c, p->weights);
  plane_row r[2];
  if (y0 >= y1) return;
  fill(c->scratch, 6 * items, q.pad);
  for (int32_t i = 0; i < 6; i++) r[i / 3].rows[i % 3] = (const uint32_t *)c->scratch + i * (items / 2);
  r[0].step = r[1].step = g->out_c;
  r[0].odd = r[1].odd = g->out_w & 1 ? 4 : 0;
  for (int32_t o = 0; o < g->out_c; o += 2) {
    const int32_t last = o + 1 == g->out_c, first = o - last; /* a single channel is gathered with the one before */
    for (int32_t i = 0; i < 2; i++)
      ERT_MEMMOVE(r[i].channel, words + (first + i) * ERT_PLANE_WORDS, sizeof r[i].channel);
    channel_rows(&q, y0, y1, first, last, r, sum);
  }
  for (int32_t y = y0; y < y1; y++) ert_clamp_row(ert_out_row(&c->out, y), g->out_w * g->out_c, p->min, p->max);
}

void ert_depthwise_conv2d_s8s8_2x1relu__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  channels(c, y0, y1, row_relu);
}
void ert_depthwise_conv2d_s8s8_2x1__dsp(const ert_call *c, int32_t y0, int32_t y1) { channels(c, y0, y1, row_any); }
void ert_depthwise_conv2d_s8s4_2x1relu__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  channels(c, y0, y1, row_relu);
}
void ert_depthwise_conv2d_s8s4_2x1__dsp(const ert_call *c, int32_t y0, int32_t y1) { channels(c, y0, y1, row_any); }

#endif
