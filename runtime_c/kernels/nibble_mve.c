/* SPDX-License-Identifier: Apache-2.0 */
/* int4 weights as lanes.h has them. A vector of 32 weights becomes sixteen times those of its low nibbles and of its
 * high ones by a shift and a mask: for two channels and three pixels 25 instructions of a loop for 192 products, against
 * 24 with int8 weights. What is left of a run has a byte each, and the loop of int8 weights. */
#include "tiles_mve.h"

#if ERT_HAS_mve

/* clang-format off */
#define UNPACK(low, high, w)                 \
  "vldrb.8 " high ", [%[" w "]], #16\n\t"    \
  "vshl.i8 " low ", " high ", #4\n\t"        \
  "vand " high ", " high ", %q[mask]\n\t"
#define NEXT_2(x, w0, w1, a, b)              \
  "vldrb.8 q4, [%[" x "]], #16\n\t"          \
  "vmladava.s8 %[" a "], " w0 ", q4\n\t"     \
  "vmladava.s8 %[" b "], " w1 ", q4\n\t"

/* Before them LR has a run's items and flags those of its blocks of 32. WLSTP and LETP leave out the lanes past the run's
 * end. The run's items are read anew: registers are scarce. */
#define BLOCKS                               \
  "beq 4f\n"                                 \
  "1:\n\t"                                   \
  "dls lr, lr\n"                             \
  "2:\n\t"
#define REST                                 \
  "le lr, 2b\n"                              \
  "3:\n\t"                                   \
  "ldr lr, [%[runs], #-4]\n\t"               \
  "and lr, lr, #31\n\t"                      \
  "wlstp.8 lr, lr, 6f\n"                     \
  "5:\n\t"
/* After the next run has been read: one of sixteen goes on with its rest (bit 4, the last that was shifted out; a single
 * run has a block at least), one of nothing is the end. */
#define AGAIN                                \
  "bne 1b\n"                                 \
  "4:\n\t"                                   \
  "bcs 3b\n\t"
#define THREE_PIXELS                         \
  "ldrd %[x0], %[x1], [%[runs]], #8\n\t"     \
  "ldrd %[x2], lr, [%[runs]], #8\n\t"        \
  "lsrs lr, lr, #5\n\t"
#define ONE_PIXEL                            \
  "ldr %[x], [%[runs]], #12\n\t"             \
  "ldr lr, [%[runs]], #4\n\t"                \
  "lsrs lr, lr, #5\n\t"

static inline void dot_2x3(const ert_mve_run *runs, const int8_t *w0, const int8_t *w1, int32_t *acc) {
  int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], b0 = acc[3], b1 = acc[4], b2 = acc[5];
  const int8_t *x0, *x1, *x2;
  __asm__ volatile(
      THREE_PIXELS BLOCKS
      UNPACK("q1", "q0", "w0") UNPACK("q3", "q2", "w1")
      NEXT_2("x0", "q1", "q3", "a0", "b0") NEXT_2("x1", "q1", "q3", "a1", "b1") NEXT_2("x2", "q1", "q3", "a2", "b2")
      NEXT_2("x0", "q0", "q2", "a0", "b0") NEXT_2("x1", "q0", "q2", "a1", "b1") NEXT_2("x2", "q0", "q2", "a2", "b2")
      REST
      "vldrb.8 q0, [%[w0]], #16\n\t"
      "vldrb.8 q2, [%[w1]], #16\n\t"
      NEXT_2("x0", "q0", "q2", "a0", "b0") NEXT_2("x1", "q0", "q2", "a1", "b1") NEXT_2("x2", "q0", "q2", "a2", "b2")
      "letp lr, 5b\n"
      "6:\n\t" THREE_PIXELS AGAIN
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [b0] "+Te"(b0), [b1] "+Te"(b1), [b2] "+Te"(b2), [w0] "+r"(w0),
        [w1] "+r"(w1), [runs] "+r"(runs), [x0] "=&r"(x0), [x1] "=&r"(x1), [x2] "=&r"(x2)
      : [mask] "w"(vdupq_n_u8(0xf0))
      : "lr", "q0", "q1", "q2", "q3", "q4", "cc", "memory");
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = b0, acc[4] = b1, acc[5] = b2;
}

#define PRODUCTS_4(w, a)                     \
  UNPACK("q1", "q0", w)                      \
  "vmladava.s8 %[" a "], q1, q2\n\t"         \
  "vmladava.s8 %[" a "], q0, q3\n\t"
#define REST_4(w, a)                         \
  "vldrb.8 q0, [%[" w "]], #16\n\t"          \
  "vmladava.s8 %[" a "], q0, q2\n\t"

static inline void dot_4x1(const ert_mve_run *runs, const int8_t *const *w, int32_t *acc) {
  int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
  const int8_t *x, *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
  __asm__ volatile(
      ONE_PIXEL BLOCKS
      "vldrb.8 q2, [%[x]], #16\n\t"
      "vldrb.8 q3, [%[x]], #16\n\t"
      PRODUCTS_4("w0", "a0") PRODUCTS_4("w1", "a1") PRODUCTS_4("w2", "a2") PRODUCTS_4("w3", "a3")
      REST
      "vldrb.8 q2, [%[x]], #16\n\t"
      REST_4("w0", "a0") REST_4("w1", "a1") REST_4("w2", "a2") REST_4("w3", "a3")
      "letp lr, 5b\n"
      "6:\n\t" ONE_PIXEL AGAIN
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2),
        [w3] "+r"(w3), [runs] "+r"(runs), [x] "=&r"(x)
      : [mask] "w"(vdupq_n_u8(0xf0))
      : "lr", "q0", "q1", "q2", "q3", "cc", "memory");
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}
/* clang-format on */

static const ert_mve_dots nibbles = {dot_2x3, dot_4x1, 4, 1};

__attribute__((noinline)) static void three(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out,
                                            int32_t pixel_bytes) {
  ert_mve_three(&nibbles, l, runs, out, pixel_bytes);
}

__attribute__((noinline)) static void one(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out) {
  ert_mve_one(&nibbles, l, runs, out);
}

void ert_mve_three_pixels_s4(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes) {
  if (l->n < 32) ert_mve_three_pixels(l, runs, out, pixel_bytes);
  else three(l, runs, out, pixel_bytes);
}

void ert_mve_one_pixel_s4(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out) {
  if (l->n < 32) ert_mve_one_pixel(l, runs, out);
  else one(l, runs, out);
}

#endif
