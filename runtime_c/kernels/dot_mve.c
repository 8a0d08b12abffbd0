/* SPDX-License-Identifier: Apache-2.0 */
#include "tiles_mve.h"

#if ERT_HAS_mve

static inline void dot_2x3(const ert_mve_run *runs, const int8_t *w0, const int8_t *w1, int32_t *acc) {
  int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], b0 = acc[3], b1 = acc[4], b2 = acc[5];
  const int8_t *x0, *x1, *x2;
  __asm__ volatile(
      "1:\n\t"
      "ldrd %[x0], %[x1], [%[runs]], #8\n\t"
      "ldrd %[x2], lr, [%[runs]], #8\n\t"
      "wlstp.8 lr, lr, 3f\n"
      "2:\n\t"
      "vldrb.8 q0, [%[w0]], #16\n\t"
      "vldrb.8 q1, [%[x0]], #16\n\t"
      "vmladava.s8 %[a0], q0, q1\n\t"
      "vldrb.8 q2, [%[x1]], #16\n\t"
      "vmladava.s8 %[a1], q0, q2\n\t"
      "vldrb.8 q3, [%[x2]], #16\n\t"
      "vmladava.s8 %[a2], q0, q3\n\t"
      "vldrb.8 q0, [%[w1]], #16\n\t"
      "vmladava.s8 %[b0], q0, q1\n\t"
      "vmladava.s8 %[b1], q0, q2\n\t"
      "vmladava.s8 %[b2], q0, q3\n\t"
      "letp lr, 2b\n\t"
      "b 1b\n"
      "3:"
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [b0] "+Te"(b0), [b1] "+Te"(b1), [b2] "+Te"(b2), [w0] "+r"(w0),
        [w1] "+r"(w1), [runs] "+r"(runs), [x0] "=&r"(x0), [x1] "=&r"(x1), [x2] "=&r"(x2)
      :
      : "lr", "q0", "q1", "q2", "q3", "cc", "memory");
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = b0, acc[4] = b1, acc[5] = b2;
}

static inline void dot_4x1(const ert_mve_run *runs, const int8_t *const *w, int32_t *acc) {
  int32_t a0 = acc[0], a1 = acc[1], a2 = acc[2], a3 = acc[3];
  const int8_t *x, *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
  __asm__ volatile(
      "1:\n\t"
      "ldr %[x], [%[runs]], #12\n\t"
      "ldr lr, [%[runs]], #4\n\t"
      "wlstp.8 lr, lr, 3f\n"
      "2:\n\t"
      "vldrb.8 q0, [%[x]], #16\n\t"
      "vldrb.8 q1, [%[w0]], #16\n\t"
      "vmladava.s8 %[a0], q0, q1\n\t"
      "vldrb.8 q2, [%[w1]], #16\n\t"
      "vmladava.s8 %[a1], q0, q2\n\t"
      "vldrb.8 q1, [%[w2]], #16\n\t"
      "vmladava.s8 %[a2], q0, q1\n\t"
      "vldrb.8 q2, [%[w3]], #16\n\t"
      "vmladava.s8 %[a3], q0, q2\n\t"
      "letp lr, 2b\n\t"
      "b 1b\n"
      "3:"
      : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3), [w0] "+r"(w0), [w1] "+r"(w1), [w2] "+r"(w2),
        [w3] "+r"(w3), [runs] "+r"(runs), [x] "=&r"(x)
      :
      : "lr", "q0", "q1", "q2", "cc", "memory");
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}

static const ert_mve_dots bytes = {dot_2x3, dot_4x1, 0, 1};

/* What the loop over short rows reads from memory. */
typedef struct {
  int32_t min[4], max[4];
  int32_t zero_point, left, groups;
} short_constants;

/* Four channels of three pixels, one run of at most 16 bytes each, which stay in q0 to q2: 58 instructions for 12
 * outputs. The rows of channels 0 and 2 come before those of 1 and 3, in the order that lanes are set. */
#define ROW(a, b, c) \
  "vmladav.s8 %[" a  \
  "], q0, q3\n\t"    \
  "vmladav.s8 %[" b  \
  "], q1, q3\n\t"    \
  "vmladav.s8 %[" c "], q2, q3\n\t"
#define EACH(instruction, operand) \
  instruction " q4, q4, " operand "\n\t" instruction " q5, q5, " operand "\n\t" instruction " q6, q6, " operand "\n\t"
#define SHIFTS "vrshl.s32 q4, q4, q3\n\tvrshl.s32 q5, q5, q3\n\tvrshl.s32 q6, q6, q3\n\t"
#define GROUP(STORE) \
  "vldrb.8 q3, [%[w]]\n\t" ROW("a0", "a1", "a2") \
  "vldrb.8 q3, [%[w], #32]\n\t" ROW("b0", "b1", "b2") \
  "vldrb.8 q3, [%[w], #16]\n\t" \
  "vmov q4[2], q4[0], %[a0], %[b0]\n\t" \
  "vmov q5[2], q5[0], %[a1], %[b1]\n\t" \
  "vmov q6[2], q6[0], %[a2], %[b2]\n\t" ROW("a0", "a1", "a2") \
  "vldrb.8 q3, [%[w], #48]\n\t" \
  "add %[w], %[w], #64\n\t" ROW("b0", "b1", "b2") \
  "vldrw.32 q3, [%[f]]\n\t" \
  "vmov q4[3], q4[1], %[a0], %[b0]\n\t" \
  "vmov q5[3], q5[1], %[a1], %[b1]\n\t" \
  "vmov q6[3], q6[1], %[a2], %[b2]\n\t" EACH("vadd.i32", "q3") \
  "vldrw.32 q3, [%[f], #16]\n\t" \
  "movs %[t], #1\n\t" EACH("vqrdmulh.s32", "q3") \
  "vldrb.s32 q3, [%[f], #32]\n\t" EACH("vqdmlah.s32", "%[t]") SHIFTS \
  "ldr %[t], [%[k], #32]\n\t" \
  "vldrw.32 q3, [%[k]]\n\t" EACH("vadd.i32", "%[t]") EACH("vmax.s32", "q3") \
  "vldrw.32 q3, [%[k], #16]\n\t" \
  "add %[t], %[out], %[step]\n\t" EACH("vmin.s32", "q3") \
  STORE " q4, [%[out]]\n\t" STORE " q5, [%[t]]\n\t" \
  "add %[t], %[t], %[step]\n\t" STORE " q6, [%[t]]\n\t"

__attribute__((noinline)) static void short_pixels(const ert_mve_layer *l, const ert_mve_run *run, int8_t *out,
                                                   int32_t pixel_bytes) {
  const int8_t *w = l->w, *const *x = run->x;
  const ert_four_lanes *f = l->scales;
  short_constants k;
  vstrwq_s32(k.min, vdupq_n_s32(l->min));
  vstrwq_s32(k.max, vdupq_n_s32(l->max));
  k.zero_point = l->zero_point, k.left = l->n_out & 3, k.groups = l->n_out / 4;
  int32_t t = l->n, a0, a1, a2, b0, b1, b2;
  __asm__ volatile(
      "vctp.8 %[t]\n\t"
      "ldr lr, [%[k], #40]\n\t"
      "ldrd %[a0], %[a1], [%[x]]\n\t"
      "ldr %[a2], [%[x], #8]\n\t"
      "vpsttt\n\t"
      "vldrbt.8 q0, [%[a0]]\n\t"
      "vldrbt.8 q1, [%[a1]]\n\t"
      "vldrbt.8 q2, [%[a2]]\n\t"
      "wls lr, lr, 2f\n"
      "1:\n\t" GROUP("vstrb.32")
      "adds %[out], %[out], #4\n\t"
      "adds %[f], %[f], #36\n\t"
      "le lr, 1b\n"
      "2:\n\t"
      "ldr %[t], [%[k], #36]\n\t"
      "cmp %[t], #0\n\t"
      "beq 3f\n\t"
      "vctp.32 %[t]\n\t" GROUP("vpst\n\tvstrbt.32")
      "3:"
      : [a0] "=&Te"(a0), [a1] "=&Te"(a1), [a2] "=&Te"(a2), [b0] "=&Te"(b0), [b1] "=&Te"(b1), [b2] "=Te"(b2),
        [w] "+r"(w), [f] "+l"(f), [out] "+l"(out), [t] "+l"(t)
      : [step] "r"(pixel_bytes), [k] "r"(&k), [x] "[b2]"(x)
      : "lr", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "cc", "memory");
}

__attribute__((noinline)) static void long_pixels(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out,
                                                  int32_t pixel_bytes) {
  ert_mve_three(&bytes, l, runs, out, pixel_bytes);
}

void ert_mve_three_pixels(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes) {
  if (l->n <= 16) short_pixels(l, runs, out, pixel_bytes);
  else long_pixels(l, runs, out, pixel_bytes);
}

void ert_mve_one_pixel(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out) {
  ert_mve_one(&bytes, l, runs, out);
}

#endif
