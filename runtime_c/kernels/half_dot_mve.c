/* SPDX-License-Identifier: Apache-2.0 */
/* int16 items and int8 weights: eight products an instruction, a loop of 12 for 48. */
#include "tiles_mve.h"

#if ERT_HAS_mve

static inline void dot_2x3(const ert_mve_run *runs, const int8_t *w0, const int8_t *w1, int32_t *acc) {
  int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], b0 = acc[3], b1 = acc[4], b2 = acc[5];
  const int8_t *x0, *x1, *x2;
  __asm__ volatile(
      "1:\n\t"
      "ldrd %[x0], %[x1], [%[runs]], #8\n\t"
      "ldrd %[x2], lr, [%[runs]], #8\n\t"
      "wlstp.16 lr, lr, 3f\n"
      "2:\n\t"
      "vldrb.s16 q0, [%[w0]], #8\n\t"
      "vldrh.u16 q1, [%[x0]], #16\n\t"
      "vmladava.s16 %[a0], q0, q1\n\t"
      "vldrh.u16 q2, [%[x1]], #16\n\t"
      "vmladava.s16 %[a1], q0, q2\n\t"
      "vldrh.u16 q3, [%[x2]], #16\n\t"
      "vmladava.s16 %[a2], q0, q3\n\t"
      "vldrb.s16 q0, [%[w1]], #8\n\t"
      "vmladava.s16 %[b0], q0, q1\n\t"
      "vmladava.s16 %[b1], q0, q2\n\t"
      "vmladava.s16 %[b2], q0, q3\n\t"
      "letp lr, 2b\n\t"
      "b 1b\n"
      "3:"
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [b0] "+Te"(b0), [b1] "+Te"(b1), [b2] "+Te"(b2), [w0] "+l"(w0),
        [w1] "+l"(w1), [runs] "+r"(runs), [x0] "=&r"(x0), [x1] "=&r"(x1), [x2] "=&r"(x2)
      :
      : "lr", "q0", "q1", "q2", "q3", "cc", "memory");
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = b0, acc[4] = b1, acc[5] = b2;
}

/* Widening loads take their address from r0 to r7 alone: two rows at a time. */
static inline void dot_2x1(const ert_mve_run *runs, const int8_t *w0, const int8_t *w1, int32_t *acc) {
  int32_t a0 = acc[0], a1 = acc[1];
  const int8_t *x;
  __asm__ volatile(
      "1:\n\t"
      "ldr %[x], [%[runs]], #12\n\t"
      "ldr lr, [%[runs]], #4\n\t"
      "wlstp.16 lr, lr, 3f\n"
      "2:\n\t"
      "vldrh.u16 q0, [%[x]], #16\n\t"
      "vldrb.s16 q1, [%[w0]], #8\n\t"
      "vmladava.s16 %[a0], q0, q1\n\t"
      "vldrb.s16 q2, [%[w1]], #8\n\t"
      "vmladava.s16 %[a1], q0, q2\n\t"
      "letp lr, 2b\n\t"
      "b 1b\n"
      "3:"
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [w0] "+l"(w0), [w1] "+l"(w1), [runs] "+r"(runs), [x] "=&r"(x)
      :
      : "lr", "q0", "q1", "q2", "cc", "memory");
  acc[0] = a0, acc[1] = a1;
}

static inline void dot_4x1(const ert_mve_run *runs, const int8_t *const *w, int32_t *acc) {
  dot_2x1(runs, w[0], w[1], acc);
  dot_2x1(runs, w[2], w[3], acc + 2);
}

static const ert_mve_dots halves = {dot_2x3, dot_4x1, 0, 2};

void ert_mve_three_pixels_s16(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes) {
  ert_mve_three(&halves, l, runs, out, pixel_bytes);
}

void ert_mve_one_pixel_s16(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out) {
  ert_mve_one(&halves, l, runs, out);
}

#endif
