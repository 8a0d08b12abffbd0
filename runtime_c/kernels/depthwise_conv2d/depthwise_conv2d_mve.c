/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen lanes at a time. Products of bytes are widened to 16 bits by VMULLB and VMULLT; added to 32 bits they need 3
 * instructions for 8 lanes, so that two taps are added in 16 bits first. A pair of taps is 19 instructions for 32
 * products; with the rescale of 37 for 16 lanes a 3 x 3 kernel takes 0.9 for each. */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "mve.h"

#if ERT_HAS_mve

enum { OWN_TAPS = 9 }; /* those whose table lies on the stack */

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  const int8_t *w;          /* of the block */
  const ert_sixteen *block; /* scales of its lanes */
  int32_t channel, lanes;   /* the first one, and how many there are */
  int32_t zero_point, taps;
  uint32_t *at; /* of each tap */
  int32_t *next;
  int8_t pad[16], min[16], max[16]; /* vectors of one byte each */
} lanes_of;

/* Where the lanes of each tap of a window lie, and how far those of the next block are: 0 for the padding. */
static void find_taps(const lanes_of *q, int32_t y, int32_t x) {
  const ert_conv2d_geometry *g = q->g;
  uint32_t *at = q->at;
  int32_t *next = q->next, iy = y * g->stride_h - g->pad_top;
  const int32_t ix0 = x * g->stride_w - g->pad_left, end = ix0 + g->kernel_w * g->dilation_w;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h) {
    const int8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&q->c->in[0], iy) : NULL;
    for (int32_t ix = ix0; ix < end; ix += g->dilation_w) {
      const int inside = row && ix >= 0 && ix < g->in_w;
      *at++ = (uint32_t)(inside ? row + ix * g->in_c : q->pad);
      *next++ = inside ? 16 : 0;
    }
  }
}

/* Of vectors q0 and q2, the odd and even products of one or two taps, the lower halves of words are widened; the upper
 * ones are added by VQDMLAH: word * 2^16 / 2^32. There are eight vectors, so that a second tap's weights are loaded
 * twice. q4 to q7 hold the sums of lanes 0, 1, 2 and 3 of every four. */
#define PRODUCTS(weights)     \
  "vldrb.8 q1, [%[w]" weights \
  "\n\t"                      \
  "vmullb.s8 q2, q0, q1\n\t"  \
  "vmullt.s8 q0, q0, q1\n\t"
#define MORE_PRODUCTS(weights, again) \
  "vldrb.8 q3, [%[w]" weights         \
  "\n\t"                              \
  "vmullt.s8 q3, q1, q3\n\t"          \
  "vadd.i16 q0, q0, q3\n\t"           \
  "vldrb.8 q3, [%[w]" again           \
  "\n\t"                              \
  "vmullb.s8 q3, q1, q3\n\t"          \
  "vadd.i16 q2, q2, q3\n\t"
#define ADD                         \
  "vmovlb.s16 q3, q2\n\t"           \
  "vqdmlah.s32 q6, q2, %[half]\n\t" \
  "vadd.i32 q4, q4, q3\n\t"         \
  "vmovlb.s16 q3, q0\n\t"           \
  "vqdmlah.s32 q7, q0, %[half]\n\t" \
  "vadd.i32 q5, q5, q3\n\t"
#define BIASES                   \
  "vldrw.32 q4, [%[s], #16]\n\t" \
  "vldrw.32 q5, [%[s], #32]\n\t" \
  "vldrw.32 q6, [%[s], #48]\n\t" \
  "vldrw.32 q7, [%[s], #64]\n\t"
#define SCALE(q, multiplier, shift)  \
  "vldrw.32 q0, [%[s], #" multiplier \
  "]\n\t"                            \
  "vqrdmulh.s32 " q ", " q           \
  ", q0\n\t"                         \
  "vldrb.s32 q0, [%[s], #" shift     \
  "]\n\t"                            \
  "vqdmlah.s32 " q ", " q            \
  ", %[t]\n\t"                       \
  "vrshl.s32 " q ", " q ", q0\n\t"
#define FINISH \
  "movs %[t], #1\n\t"                                                                    \
  SCALE("q4", "80", "0") SCALE("q5", "96", "4") SCALE("q6", "112", "8") SCALE("q7", "128", "12") \
  "ldr %[t], [%[q], #%c[zero_point]]\n\t"                                                  \
  "vqmovnb.s32 q4, q4\n\t"                                                               \
  "vqmovnt.s32 q4, q6\n\t"                                                               \
  "vqmovnb.s32 q5, q5\n\t"                                                               \
  "vqmovnt.s32 q5, q7\n\t"                                                               \
  "vqadd.s16 q4, q4, %[t]\n\t"                                                           \
  "vqadd.s16 q5, q5, %[t]\n\t"                                                           \
  "vldrb.8 q0, [%[q], #%c[min]]\n\t"                                                       \
  "vqmovnb.s16 q4, q4\n\t"                                                               \
  "vqmovnt.s16 q4, q5\n\t"                                                               \
  "vldrb.8 q1, [%[q], #%c[max]]\n\t"                                                       \
  "vmax.s8 q4, q4, q0\n\t"                                                               \
  "vmin.s8 q4, q4, q1\n\t"
#define IN_LANES_OF                                                                              \
  [lanes_at] "n"(offsetof(lanes_of, lanes)), [at_at] "n"(offsetof(lanes_of, at)),                \
      [next_at] "n"(offsetof(lanes_of, next)), [zero_point] "n"(offsetof(lanes_of, zero_point)), \
      [min] "n"(offsetof(lanes_of, min)), [max] "n"(offsetof(lanes_of, max))
#define VECTORS "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7"

/* `channels` outputs, block by block, for the window whose taps are in the table: pairs of taps, then one that is left.
 * No predicate may live in a register of the caller's: inline assembly sets it. */
__attribute__((noinline)) static void any_window(const lanes_of *q, int32_t channels, int8_t *out) {
  const ert_sixteen *s = q->block;
  const int8_t *w = q->w;
  const uint32_t *at;
  int32_t t;
  __asm__ volatile("1:\n\t"
                   "ldr %[at], [%[q], #%c[at_at]]\n\t"
                   "vctp.8 %[left]\n\t" BIASES
                   "lsrs %[t], %[n], #1\n\t"
                   "wls lr, %[t], 3f\n"
                   "2:\n\t"
                   "ldr %[t], [%[at]], #4\n\t"
                   "vpst\n\t"
                   "vldrbt.8 q0, [%[t]]\n\t"
                   PRODUCTS("], #16")
                   "ldr %[t], [%[at]], #4\n\t"
                   "vpst\n\t"
                   "vldrbt.8 q1, [%[t]]\n\t"
                   MORE_PRODUCTS("]", "], #16") ADD
                   "le lr, 2b\n"
                   "3:\n\t"
                   "lsls %[t], %[n], #31\n\t"
                   "beq 4f\n\t"
                   "ldr %[t], [%[at]]\n\t"
                   "vpst\n\t"
                   "vldrbt.8 q0, [%[t]]\n\t"
                   PRODUCTS("], #16") ADD
                   "4:\n\t" FINISH
                   "vpst\n\t"
                   "vstrbt.8 q4, [%[out]], #16\n\t"
                   "subs %[left], %[left], #16\n\t"
                   "ble 6f\n\t"
                   "adds %[s], %[s], #%c[block]\n\t"
                   "ldr %[at], [%[q], #%c[at_at]]\n\t"
                   "ldr %[t], [%[q], #%c[next_at]]\n\t"
                   "dlstp.32 lr, %[n]\n"
                   "5:\n\t"
                   "vldrw.32 q0, [%[at]]\n\t"
                   "vldrw.32 q1, [%[t]], #16\n\t"
                   "vadd.i32 q0, q0, q1\n\t"
                   "vstrw.32 q0, [%[at]], #16\n\t"
                   "letp lr, 5b\n\t"
                   "b 1b\n"
                   "6:"
                   : [at] "=&r"(at), [w] "+r"(w), [s] "+l"(s), [t] "=&l"(t), [left] "+r"(channels), [out] "+r"(out)
                   : [q] "r"(q), [n] "l"(q->taps), [half] "r"(1 << 15), [block] "n"(sizeof(ert_sixteen)), IN_LANES_OF
                   : "lr", VECTORS, "cc", "memory");
}

/* n >= 1 neighbouring windows of a 3 x 3 kernel: x0, x1 and x2 are the pixels under its first column, whose neighbours
 * are `column` bytes on; `step` bytes to the next window, `out_step` to the next output. */
#define ALL_LANES(op, q, p) op ".8 " q ", [%[" p "]]\n\t"
#define SOME_LANES(op, q, p) "vpst\n\t" op "t.8 " q ", [%[" p "]]\n\t"
#define NEXT(from) "add %[t], %[" from "], %[column]\n\t"
#define FIRST(MOVE, p, tap) MOVE("vldrb", "q0", p) PRODUCTS(", #" tap "]")
#define SECOND(MOVE, p, tap) MOVE("vldrb", "q1", p) MORE_PRODUCTS(", #" tap "]", ", #" tap "]")
#define WINDOWS(MOVE) \
  "dls lr, %[t]\n\t"                                                                   \
  "ldr %[t], [%[q], #%c[lanes_at]]\n\t"                                                     \
  "vctp.8 %[t]\n"                                                                  \
  "1:\n\t" BIASES                                                                      \
  FIRST(MOVE, "x0", "-64") NEXT("x0") SECOND(MOVE, "t", "-48") ADD NEXT("t")           \
  FIRST(MOVE, "t", "-32") SECOND(MOVE, "x1", "-16") ADD NEXT("x1")                     \
  FIRST(MOVE, "t", "0") NEXT("t") SECOND(MOVE, "t", "16") ADD                          \
  FIRST(MOVE, "x2", "32") NEXT("x2") SECOND(MOVE, "t", "48") ADD NEXT("t")             \
  FIRST(MOVE, "t", "64") ADD FINISH                                                    \
  "add %[x0], %[x0], %[step]\n\t"                                                      \
  "add %[x1], %[x1], %[step]\n\t"                                                      \
  "add %[x2], %[x2], %[step]\n\t"                                                      \
  MOVE("vstrb", "q4", "out")                                                           \
  "add %[out], %[out], %[out_step]\n\t"                                                \
  "le lr, 1b\n"
#define RUN_WINDOWS(MOVE)                                                                                       \
  __asm__ volatile(WINDOWS(MOVE)                                                                                \
                   : [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [out] "+r"(out), [t] "+r"(n)                  \
                   : [w] "r"(q->w + 64), [s] "l"(q->block), [q] "r"(q), [column] "r"(column), [step] "r"(step), \
                     [out_step] "r"(out_step), [half] "r"(1 << 15), IN_LANES_OF                                 \
                   : "lr", VECTORS, "cc", "memory")

/* n outputs of row y from x on, whose windows lie inside the image; a vector holds `pixels` of them. */
__attribute__((noinline)) static void inner_windows(const lanes_of *q, int32_t y, int32_t x, int32_t n, int32_t pixels,
                                                    int8_t *out) {
  const ert_conv2d_geometry *g = q->g;
  const int32_t iy = y * g->stride_h - g->pad_top, at = (x * g->stride_w - g->pad_left) * g->in_c + q->channel;
  const int32_t column = g->dilation_w * g->in_c, step = pixels * g->stride_w * g->in_c, out_step = pixels * g->in_c;
  const int8_t *x0 = (const int8_t *)ert_row(&q->c->in[0], iy) + at;
  const int8_t *x1 = (const int8_t *)ert_row(&q->c->in[0], iy + g->dilation_h) + at;
  const int8_t *x2 = (const int8_t *)ert_row(&q->c->in[0], iy + 2 * g->dilation_h) + at;
  if (q->lanes == 16) RUN_WINDOWS(ALL_LANES);
  else RUN_WINDOWS(SOME_LANES);
}

static void set_block(lanes_of *q, const ert_depthwise_conv2d_s8s8_sixteens_params *p, int32_t channel) {
  const int32_t n = channel / 16, pixels = ert_sixteens_pixels(q->g);
  q->channel = channel;
  q->lanes = pixels > 1 ? pixels * q->g->out_c : ert_clamp(q->g->out_c - channel, 1, 16);
  q->block = (const ert_sixteen *)ert_blob(q->c, p->scales) + n;
  q->w = (const int8_t *)ert_blob(q->c, p->weights) + n * 16 * q->g->kernel_h * q->g->kernel_w;
}

/* All channels of pixels [x, end) of row y. */
static void outer_pixels(lanes_of *q, int32_t y, int32_t x, int32_t end, int8_t *out) {
  const int32_t c = q->g->out_c;
  set_block(q, (const void *)q->c->params, 0);
  for (out += x * c; x < end; x++, out += c) {
    find_taps(q, y, x);
    any_window(q, c, out);
  }
}

static void row_of_pixels(lanes_of *q, int32_t y, int32_t first, int32_t last, int8_t *out) {
  const ert_depthwise_conv2d_s8s8_sixteens_params *p = (const void *)q->c->params;
  const int32_t c = q->g->out_c, pixels = ert_sixteens_pixels(q->g), n = (last - first) / pixels;
  outer_pixels(q, y, 0, first, out);
  for (int32_t o = 0; n && o < c; o += 16) {
    set_block(q, p, o);
    inner_windows(q, y, first, n, pixels, out + first * c + o);
  }
  outer_pixels(q, y, first + n * pixels, q->g->out_w, out);
}

static void fill(int8_t *v, int32_t byte) { vstrbq_s8(v, vdupq_n_s8((int8_t)byte)); }

static void convolve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s8s8_sixteens_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  uint32_t at[OWN_TAPS];
  int32_t next[OWN_TAPS];
  const int32_t taps = g->kernel_h * g->kernel_w;
  const int own = taps <= OWN_TAPS;
  const int32_t room = g->in_w - (g->kernel_w - 1) * g->dilation_w - 1 + g->pad_left;
  const int32_t last = room >= 0 ? ert_clamp(room / g->stride_w + 1, 0, g->out_w) : 0;
  const int32_t first = ert_clamp((g->pad_left + g->stride_w - 1) / g->stride_w, 0, last);
  lanes_of q = {.c = c, .g = g, .zero_point = p->zero_point, .taps = taps};
  q.at = own ? at : c->scratch, q.next = own ? next : (int32_t *)c->scratch + taps;
  fill(q.pad, p->in_zero_point), fill(q.min, p->min), fill(q.max, p->max);
  for (int32_t y = y0; y < y1; y++) {
    const int32_t iy = y * g->stride_h - g->pad_top;
    const int inside = g->kernel_h == 3 && g->kernel_w == 3 && iy >= 0 && iy + 2 * g->dilation_h < g->in_h;
    row_of_pixels(&q, y, first, inside ? last : first, ert_out_row(&c->out, y));
  }
}

void ert_depthwise_conv2d_s8s8_16x1__mve(const ert_call *c, int32_t y0, int32_t y1) { convolve(c, y0, y1); }

/* int4 weights are widened when the program is written: there are few of them. */
void ert_depthwise_conv2d_s8s4_16x1__mve(const ert_call *c, int32_t y0, int32_t y1) { convolve(c, y0, y1); }

#endif
