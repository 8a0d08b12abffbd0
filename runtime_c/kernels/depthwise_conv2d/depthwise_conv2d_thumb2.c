/* SPDX-License-Identifier: Apache-2.0 */
/* 3x3 windows of two pixels next to each other, channel by channel: their columns overlap, so 12 loads of input (15 for
 * a stride of 2) and 9 of weights feed 18 products, 2.17 instructions per product (2.33). Any two other pixels, those at
 * the border among them, read each item through a pointer of its own: 3 per product. */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "thumb2.h"

#if ERT_HAS_thumb2

/* Channels of two pixels; assembly counts on the order. */
typedef struct {
  const int8_t *row[3]; /* of the first pixel's window */
  int32_t step;         /* bytes from column to column */
  int8_t *out;
  int32_t second; /* where the second pixel's output lies, counted from the first's */
  const uint8_t *end;
  int32_t twice; /* 1 + 2 * zero_point */
} neighbours;

typedef struct {
  const int8_t *item[9][2];
  int8_t *out[2];
  const uint8_t *end;
  int32_t twice;
} strangers;

#if ERT_THUMB2_ASM

#define NAKED __attribute__((naked, noinline))
#define UNUSED __attribute__((unused))

/* r0 to r2 the rows, r3 step, lr 3 * step, r4 the channel's end, r5 and r6 the sums, r11 out. */
#define BEGIN                  \
  ".syntax unified\n"          \
  "push {r4-r11, lr}\n"        \
  "mov r4, r0\n mov r12, r1\n" \
  "ldm r12!, {r0-r3, r11}\n"   \
  "ldm r12, {r5, r6, r7}\n"    \
  "push {r5, r6, r7}\n"        \
  "add lr, r3, r3, lsl #1\n"   \
  "1: ldr r5, [r4], #20\n mov r6, r5\n"

/* w[at] to w[at + 2] for the columns 0 to 2 and 1 to 3 of a row. */
#define ROW_BY_1(row, at)                                                                                  \
  "ldrsb r8, [" row ", r3]\n ldrsb r9, [" row ", r3, lsl #1]\n ldrsb r10, [" row ", lr]\n ldrsb r7, [" row \
  "], #1\n"                                                                                                \
  "ldrsb r12, [r4, #-12 + " at                                                                             \
  "]\n mla r5, r7, r12, r5\n mla r6, r8, r12, r6\n"                                                        \
  "ldrsb r12, [r4, #-11 + " at                                                                             \
  "]\n mla r5, r8, r12, r5\n mla r6, r9, r12, r6\n"                                                        \
  "ldrsb r12, [r4, #-10 + " at "]\n mla r5, r9, r12, r5\n mla r6, r10, r12, r6\n"

/* The same for the columns 0 to 2 and 2 to 4. */
#define ROW_BY_2(row, at)                                                        \
  "ldrsb r8, [" row ", r3]\n ldrsb r9, [" row ", r3, lsl #1]\n ldrsb r10, [" row \
  ", lr]\n"                                                                      \
  "ldrsb r12, [r4, #-11 + " at                                                   \
  "]\n mla r5, r8, r12, r5\n mla r6, r10, r12, r6\n"                             \
  "ldrsb r8, [" row ", r3, lsl #2]\n ldrsb r7, [" row                            \
  "], #1\n"                                                                      \
  "ldrsb r12, [r4, #-12 + " at                                                   \
  "]\n mla r5, r7, r12, r5\n mla r6, r9, r12, r6\n"                              \
  "ldrsb r12, [r4, #-10 + " at "]\n mla r5, r9, r12, r5\n mla r6, r8, r12, r6\n"

/* A sum to a byte: multiplier r7, shift r8, twice r9. */
#define FINISH(a)                                                                                              \
  "lsl " a ", " a ", #1\n smull r10, " a ", " a ", r7\n add " a ", " a ", r10, lsr #31\n add " a ", " a ", " a \
  ", asr #31\n asr " a ", " a ", r8\n add " a ", " a ", r9\n ssat " a ", #8, " a ", asr #1\n"

#define END \
  "ldr r7, [r4, #-16]\n ldrsb r8, [r4, #-3]\n ldr r9, [sp, #8]\n"    \
  FINISH("r5") FINISH("r6")                                          \
  "ldrd r7, r8, [sp]\n strb r6, [r11, r7]\n strb r5, [r11], #1\n"    \
  "cmp r4, r8\n bne 1b\n"                                            \
  "add sp, sp, #12\n pop {r4-r11, pc}\n"

NAKED static void neighbours_by_1(UNUSED const uint8_t *channel, UNUSED const neighbours *q) {
  __asm__(BEGIN ROW_BY_1("r0", "0") ROW_BY_1("r1", "3") ROW_BY_1("r2", "6") END);
}

NAKED static void neighbours_by_2(UNUSED const uint8_t *channel, UNUSED const neighbours *q) {
  __asm__(BEGIN ROW_BY_2("r0", "0") ROW_BY_2("r1", "3") ROW_BY_2("r2", "6") END);
}

/* One weight of two pixels: r1 the items' pointers, r0 the channel. */
#define TAP(at, weight)                                   \
  "ldrd r7, r8, [r1, #" at "]\n ldrsb r12, [r4, #" weight \
  "]\n ldrsb r7, [r7, r0]\n ldrsb r8, [r8, r0]\n"         \
  "mla r5, r7, r12, r5\n mla r6, r8, r12, r6\n"

NAKED static void strangers_of(UNUSED const uint8_t *channel, UNUSED const strangers *q) {
  __asm__(
      ".syntax unified\n"
      "push {r4-r11, lr}\n"
      "mov r4, r0\n mov r0, #0\n"
      "ldrd r11, lr, [r1, #72]\n ldrd r2, r9, [r1, #80]\n"
      "1: ldr r5, [r4], #20\n mov r6, r5\n"
      TAP("0", "-12") TAP("8", "-11") TAP("16", "-10") TAP("24", "-9") TAP("32", "-8")
      TAP("40", "-7") TAP("48", "-6") TAP("56", "-5") TAP("64", "-4")
      "ldr r7, [r4, #-16]\n ldrsb r8, [r4, #-3]\n"
      FINISH("r5") FINISH("r6")
      "strb r5, [r11, r0]\n strb r6, [lr, r0]\n add r0, r0, #1\n"
      "cmp r4, r2\n bne 1b\n"
      "pop {r4-r11, pc}\n");
}

#else

static int8_t finish(const uint8_t *channel, uint32_t acc, int32_t twice) {
  int32_t words[2];
  ERT_MEMMOVE(words, channel, 8);
  return (int8_t)ert_fast_s8((int32_t)(acc + (uint32_t)words[0]), words[1], (int8_t)channel[17], twice);
}

static void strangers_of(const uint8_t *channel, const strangers *q) {
  for (int32_t i = 0; channel < q->end; channel += 20, i++)
    for (int32_t j = 0; j < 2; j++) {
      uint32_t acc = 0;
      for (int32_t t = 0; t < 9; t++) acc += (uint32_t)(q->item[t][j][i] * (int8_t)channel[8 + t]);
      q->out[j][i] = finish(channel, acc, q->twice);
    }
}

static uint32_t sum_of(const neighbours *q, const int8_t *w, int32_t at) {
  uint32_t acc = 0;
  for (int32_t t = 0; t < 9; t++) acc += (uint32_t)(q->row[t / 3][at + t % 3 * q->step] * w[t]);
  return acc;
}

/* The windows of the pixels begin `stride` columns apart. */
static void neighbours_by(const uint8_t *channel, const neighbours *q, int32_t stride) {
  for (int32_t i = 0; channel < q->end; channel += 20, i++) {
    const int8_t *w = (const int8_t *)channel + 8;
    q->out[i] = finish(channel, sum_of(q, w, i), q->twice);
    q->out[i + q->second] = finish(channel, sum_of(q, w, i + stride * q->step), q->twice);
  }
}

static void neighbours_by_1(const uint8_t *channel, const neighbours *q) { neighbours_by(channel, q, 1); }
static void neighbours_by_2(const uint8_t *channel, const neighbours *q) { neighbours_by(channel, q, 2); }

#endif

enum { CHANNEL_BYTES = 20 };

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  const uint8_t *channels;
  int32_t pending; /* pixels in `apart` */
  neighbours near;
  strangers apart;
} layer;

/* Pixels without a neighbour wait for each other, also across rows. */
static void add_stranger(layer *q, const int8_t *const row[3], int32_t ix0, int8_t *out) {
  const ert_conv2d_geometry *g = q->g;
  const int32_t slot = q->pending;
  for (int32_t t = 0, ky = 0; ky < 3; ky++)
    for (int32_t ix = ix0; ix < ix0 + 3; ix++, t++) {
      const int inside = row[ky] != NULL && ix >= 0 && ix < g->in_w;
      q->apart.item[t][slot] = inside ? row[ky] + ix * g->in_c : q->c->scratch;
    }
  q->apart.out[slot] = out;
  q->pending ^= 1;
  if (slot == 1) strangers_of(q->channels, &q->apart);
}

/* One that has no partner is computed twice. */
static void add_itself(layer *q) {
  q->pending = 0;
  for (int32_t t = 0; t < 9; t++) q->apart.item[t][1] = q->apart.item[t][0];
  q->apart.out[1] = q->apart.out[0];
  strangers_of(q->channels, &q->apart);
}

/* Whether the pixel that waits still reads what the row at `out` would overwrite. */
static int overwrites(const layer *q, const int8_t *out) {
  for (int32_t t = 0; t < 9; t++)
    if (ert_lies_on(q->apart.item[t][0], q->g->in_c, out, q->g->out_w * q->g->out_c)) return 1;
  return 0;
}

static void one_row(layer *q, int32_t y) {
  const ert_conv2d_geometry *g = q->g;
  const int32_t span = 3 + g->stride_w;
  const int8_t *row[3];
  int inside = 1;
  for (int32_t ky = 0, iy = y * g->stride_h - g->pad_top; ky < 3; ky++, iy++) {
    row[ky] = iy < 0 || iy >= g->in_h ? NULL : ert_row(&q->c->in[0], iy);
    inside &= row[ky] != NULL;
  }
  int8_t *out = ert_out_row(&q->c->out, y);
  if (q->pending && overwrites(q, out)) add_itself(q);
  for (int32_t x = 0, ix = -g->pad_left; x < g->out_w; x++, ix += g->stride_w, out += g->out_c) {
    if (!inside || ix < 0 || ix + span > g->in_w || x + 1 == g->out_w) {
      add_stranger(q, row, ix, out);
      continue;
    }
    for (int32_t ky = 0; ky < 3; ky++) q->near.row[ky] = row[ky] + ix * g->in_c;
    q->near.out = out;
    if (g->stride_w == 1) neighbours_by_1(q->channels, &q->near);
    else neighbours_by_2(q->channels, &q->near);
    x++, ix += g->stride_w, out += g->out_c;
  }
}

void ert_depthwise_conv2d_s8s8_2x3x3__thumb2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s8s8_by_channel_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  layer q = {.c = c, .g = g, .channels = ert_blob(c, p->channels)};
  q.near.step = q.near.second = g->in_c;
  q.near.end = q.apart.end = q.channels + g->in_c * CHANNEL_BYTES;
  q.near.twice = q.apart.twice = 1 + 2 * p->zero_point;
  ert_fill_bytes(c->scratch, p->in_zero_point, g->in_c);
  for (int32_t y = y0; y < y1; y++) one_row(&q, y);
  if (q.pending) add_itself(&q);
  for (int32_t y = y0; y < y1; y++) ert_clamp_row(ert_out_row(&c->out, y), g->out_w * g->out_c, p->min, p->max);
}

#endif
