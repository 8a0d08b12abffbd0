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

static const ert_mve_dots bytes = {dot_2x3, dot_4x1, 0};

/* As ert_mve_three_by_four for one run of at most 16 bytes, with the pixels in registers. */
ERT_INLINE void three_by_four_short(const ert_mve_layer *l, const ert_four_lanes *f, const int8_t *w,
                                    const int8x16_t *x, int32_t left, int8_t *out, int32_t pixel_bytes) {
  int32x4_t v[3];
  int32_t acc[4][3];
  for (int j = 0; j < 4; j++, w += l->n) {
    const int8x16_t row = vldrbq_s8(w);
    for (int i = 0; i < 3; i++) acc[j][i] = vmladavq_s8(x[i], row);
    for (int i = 0; j == 2 && i < 3; i++) v[i] = ert_mve_even_lanes(acc[0][i], acc[2][i]);
    for (int i = 0; j == 3 && i < 3; i++) v[i] = ert_mve_odd_lanes(v[i], acc[1][i], acc[3][i]);
  }
  const int32x4_t bias = vldrwq_s32(f->bias);
  for (int i = 0; i < 3; i++) v[i] = vaddq_s32(v[i], bias);
  ert_mve_finish(l, f, v, 3, left, out, pixel_bytes);
}

__attribute__((noinline)) static void short_pixels(const ert_mve_layer *l, const ert_mve_run *run, int8_t *out,
                                                   int32_t pixel_bytes) {
  const mve_pred16_t here = vctp8q((uint32_t)l->n);
  const int8x16_t x[3] = {vldrbq_z_s8(run->x[0], here), vldrbq_z_s8(run->x[1], here), vldrbq_z_s8(run->x[2], here)};
  const ert_four_lanes *f = l->scales;
  const int8_t *w = l->w;
  for (int32_t left = l->n_out; left > 0; left -= 4, f++, w += 4 * l->n, out += 4)
    three_by_four_short(l, f, w, x, left, out, pixel_bytes);
}

void ert_mve_three_pixels(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes) {
  if (l->n <= 16) short_pixels(l, runs, out, pixel_bytes);
  else ert_mve_three(&bytes, l, runs, out, pixel_bytes);
}

void ert_mve_one_pixel(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out) {
  ert_mve_one(&bytes, l, runs, out);
}

#endif
