/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels for MVE share: dot products of int8 runs and sums of four channels back to bytes.
 *
 * VMLADAVA adds sixteen products to one register. Its inner loop for two channels and three pixels is 5 loads, 6 sums
 * and LETP for 96 products, 0.125 instructions each; the floor, sums without loads, is 0.0625. LETP leaves out the
 * lanes past the end, so that runs of any length are read where they lie. */
#ifndef ERT_MVE_H
#define ERT_MVE_H

#include "dsp.h"
#include "lanes.h"

#if ERT_HAS_mve
#include <arm_mve.h>

/* requantize.h's ert_requantize for shifts of -1 or less. VRSHL rounds halves up; one less for a negative `high` makes it
 * half away from zero, and that one is what VQDMLAH adds: high + floor(2 * high / 2^32). */
ERT_INLINE int32x4_t ert_mve_requantize(int32x4_t x, int32x4_t multiplier, int32x4_t shift) {
  const int32x4_t high = vqrdmulhq_s32(x, multiplier);
  return vrshlq_s32(vqdmlahq_n_s32(high, high, 1), shift);
}

/* The lanes of the first n words, found anew here: inline assembly may have set the register of predicates, which no
 * list of clobbers knows. */
ERT_INLINE mve_pred16_t ert_mve_first_words(int32_t n) {
  __asm__ volatile("" : "+r"(n));
  return vctp32q((uint32_t)n);
}

/* Four values become the lanes of a vector, in two steps of two. */
ERT_INLINE int32x4_t ert_mve_even_lanes(int32_t lane0, int32_t lane2) {
  int32x4_t v;
  __asm__("vmov %q0[2], %q0[0], %1, %2" : "=w"(v) : "r"(lane0), "r"(lane2));
  return v;
}

ERT_INLINE int32x4_t ert_mve_odd_lanes(int32x4_t v, int32_t lane1, int32_t lane3) {
  __asm__("vmov %q0[3], %q0[1], %1, %2" : "+w"(v) : "r"(lane1), "r"(lane3));
  return v;
}

/* Part of a window: `bytes` contiguous bytes for each of three pixels. A row of runs ends with one of 0 bytes; the
 * weights of a window go on from run to run, so all runs but the last have a multiple of 16 bytes. */
typedef struct {
  const int8_t *x[3];
  int32_t bytes;
} ert_mve_run;

/* A layer in the layout "lanes": n_out channels with n weights each, a row of them `row_bytes` from the next. */
typedef struct {
  const int8_t *w;
  const ert_four_lanes *scales;
  int32_t n, row_bytes, n_out, zero_point, min, max, wide;
} ert_mve_layer;

ERT_INLINE ert_mve_layer ert_mve_layer_of(const ert_call *c, const ert_lanes *f, int32_t weights, int32_t n,
                                          int32_t row_bytes, int32_t n_out) {
  return (ert_mve_layer){
      ert_blob(c, weights), ert_blob(c, f->scales), n, row_bytes, n_out, f->zero_point, f->min, f->max, 0};
}

/* The outputs of three pixels, `pixel_bytes` from one to the next (0: all are the same pixel), or of the first alone. */
void ert_mve_three_pixels(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes);
void ert_mve_one_pixel(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out);

/* A wide layer is one of int16 as lanes.h has it. */
ERT_INLINE ert_mve_layer ert_mve_layer_s16_of(const ert_call *c, const ert_lanes_s16 *f, int32_t weights, int32_t n,
                                              int32_t n_out) {
  return (ert_mve_layer){ert_blob(c, weights), ert_blob(c, f->scales), n, n, n_out, 0, f->min, f->max, f->wide};
}

/* As these, for int16 items: x are those of int16, a run's `bytes` are items. */
void ert_mve_three_pixels_s16(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes);
void ert_mve_one_pixel_s16(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out);

/* As these, for int4 weights. */
void ert_mve_three_pixels_s4(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes);
void ert_mve_one_pixel_s4(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out);

/* Whether n bytes at a and m bytes at b have none in common. An output row may lie over input rows that only the rows
 * before it read; pixels of several rows are computed together where what they write is not what they read. */
ERT_INLINE int ert_mve_apart(const int8_t *a, int32_t n, const int8_t *b, int32_t m) {
  const uintptr_t from = (uintptr_t)a, to = (uintptr_t)b;
  return from + (uint32_t)n <= to || to + (uint32_t)m <= from;
}

/* memcpy and memset of few bytes. */
ERT_INLINE void ert_mve_copy(int8_t *to, const int8_t *from, int32_t n) {
  __asm__ volatile(
      "wlstp.8 lr, %2, 2f\n"
      "1:\n\t"
      "vldrb.8 q0, [%1], #16\n\t"
      "vstrb.8 q0, [%0], #16\n\t"
      "letp lr, 1b\n"
      "2:"
      : "+r"(to), "+r"(from)
      : "r"(n)
      : "lr", "q0", "memory");
}

ERT_INLINE void ert_mve_fill(int8_t *to, int32_t byte, int32_t n) {
  __asm__ volatile(
      "vdup.8 q0, %1\n\t"
      "wlstp.8 lr, %2, 2f\n"
      "1:\n\t"
      "vstrb.8 q0, [%0], #16\n\t"
      "letp lr, 1b\n"
      "2:"
      : "+r"(to)
      : "r"(byte), "r"(n)
      : "lr", "q0", "memory");
}

#endif
#endif
