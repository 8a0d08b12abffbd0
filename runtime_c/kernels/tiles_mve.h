/* SPDX-License-Identifier: Apache-2.0 */
/* From dot products of one kind of weights to the outputs of one pixel and of three: four channels at a time. */
#ifndef ERT_TILES_MVE_H
#define ERT_TILES_MVE_H

#include "mve.h"

#if ERT_HAS_mve

/* acc[i], acc[3 + i] += the runs of pixel i with the rows w0 and w1; acc[j] += the runs of the first with the row w[j].
 * `up` is 4 where sums and biases are 16 times what they stand for, else 0; `size`: bytes of an output item. */
typedef struct {
  void (*two_by_three)(const ert_mve_run *runs, const int8_t *w0, const int8_t *w1, int32_t *acc);
  void (*four_by_one)(const ert_mve_run *runs, const int8_t *const *w, int32_t *acc);
  int up, size;
} ert_mve_dots;

/* Wide layers of int16 round once: their multipliers are shifted for the products to end in a whole high word. */
ERT_INLINE int32x4_t ert_mve_rescale(const ert_mve_dots *d, const ert_mve_layer *l, const ert_four_lanes *f,
                                     int32x4_t sums) {
  const int32x4_t multiplier = vldrwq_s32(f->multiplier);
  if (d->size == 2 && l->wide) return vrmulhq_s32(sums, multiplier);
  return vaddq_n_s32(ert_mve_requantize(sums, multiplier, vldrbq_s32(f->shift)), l->zero_point);
}

ERT_INLINE void ert_mve_store(const ert_mve_dots *d, int32x4_t v, int32_t left, int8_t *out) {
  if (left >= 4 && d->size == 1) vstrbq_s32(out, v);
  else if (left >= 4) vstrhq_s32((int16_t *)(void *)out, v);
  else if (d->size == 1) vstrbq_p_s32(out, v, ert_mve_first_words(left));
  else vstrhq_p_s32((int16_t *)(void *)out, v, ert_mve_first_words(left));
}

/* Stores the first `left` channels of the sums of n_pixels. */
ERT_INLINE void ert_mve_finish(const ert_mve_dots *d, const ert_mve_layer *l, const ert_four_lanes *f, int32x4_t *acc,
                               int n_pixels, int32_t left, int8_t *out, int32_t pixel_bytes) {
  const int32x4_t min = vdupq_n_s32(l->min), max = vdupq_n_s32(l->max);
  for (int i = 0; i < n_pixels; i++) acc[i] = vminq_s32(vmaxq_s32(ert_mve_rescale(d, l, f, acc[i]), min), max);
  if (left >= 4)
    for (int i = 0; i < n_pixels; i++) ert_mve_store(d, acc[i], 4, out + i * pixel_bytes);
  else
    for (int i = 0; i < n_pixels; i++) ert_mve_store(d, acc[i], left, out + i * pixel_bytes);
}

ERT_INLINE void ert_mve_three_by_four(const ert_mve_dots *d, const ert_mve_layer *l, const ert_four_lanes *f,
                                      const int8_t *w, const ert_mve_run *runs, int32_t left, int8_t *out,
                                      int32_t pixel_bytes) {
  int32x4_t v[3];
  for (int j = 0; j < 2; j++) {
    const int32_t b0 = f->bias[j], b1 = f->bias[j + 2];
    int32_t acc[6] = {b0, b0, b0, b1, b1, b1};
    d->two_by_three(runs, w + j * l->row_bytes, w + (j + 2) * l->row_bytes, acc);
    for (int i = 0; i < 3; i++)
      v[i] = j ? ert_mve_odd_lanes(v[i], acc[i], acc[3 + i]) : ert_mve_even_lanes(acc[i], acc[3 + i]);
  }
  for (int i = 0; d->up && i < 3; i++) v[i] = vshrq_n_s32(v[i], 4);
  ert_mve_finish(d, l, f, v, 3, left, out, pixel_bytes);
}

ERT_INLINE void ert_mve_three(const ert_mve_dots *d, const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out,
                              int32_t pixel_bytes) {
  const ert_four_lanes *f = l->scales;
  const int8_t *w = l->w;
  for (int32_t left = l->n_out; left > 0; left -= 4, f++, w += 4 * l->row_bytes, out += 4 * d->size)
    ert_mve_three_by_four(d, l, f, w, runs, left, out, pixel_bytes);
}

ERT_INLINE void ert_mve_one_by_four(const ert_mve_dots *d, const ert_mve_layer *l, const ert_four_lanes *f,
                                    const int8_t *w, const ert_mve_run *runs, int32_t left, int8_t *out) {
  const int8_t *rows[4] = {w, w + l->row_bytes, w + 2 * l->row_bytes, w + 3 * l->row_bytes};
  int32_t acc[4] = {f->bias[0], f->bias[1], f->bias[2], f->bias[3]};
  d->four_by_one(runs, rows, acc);
  int32x4_t v = ert_mve_odd_lanes(ert_mve_even_lanes(acc[0], acc[2]), acc[1], acc[3]);
  if (d->up) v = vshrq_n_s32(v, 4);
  ert_mve_finish(d, l, f, &v, 1, left, out, 0);
}

ERT_INLINE void ert_mve_one(const ert_mve_dots *d, const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out) {
  const ert_four_lanes *f = l->scales;
  const int8_t *w = l->w;
  for (int32_t left = l->n_out; left > 0; left -= 4, f++, w += 4 * l->row_bytes, out += 4 * d->size)
    ert_mve_one_by_four(d, l, f, w, runs, left, out);
}

#endif
#endif
