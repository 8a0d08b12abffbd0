/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products for cores with 13 registers, a multiply-accumulate and no vectors: what the thumb2 rows of conv2d
 * and fully_connected share.
 *
 * Weights lie in panels of four output channels, in the order in which they are read: int32 bias[4], int8 w[n][4],
 * int32 multiplier[4], int8 shift[4]; the last panel is filled up with zeros. Scales of a whole tensor stand once, before
 * the first panel. Loads and products per weight are those
 * of a tile of 2 pixels x 4 channels, (2 + 4 + 8) / 8 = 1.75 instructions per product, the least that fits in the
 * registers: a larger tile has no room for its pointers. Four turns share 3 instructions of loop: 1.84.
 *
 * fast 1: every shift is to the right, |sum + bias| < 2^30, and `shift` is one less than that shift. Then
 *   high = (2 * acc * multiplier + 2^31) >> 32
 *   out = (((high + (high >> 31)) >> shift) + 1 + 2 * zero_point) >> 1, saturated to a byte
 * is requantize.h's value: doubling is exact, and half away from zero is half up of a number that is one less below 0.
 * fast 0: `shift` and the formula are those of requantize.h.
 * Either is then clamped to [min, max]. */
#ifndef ERT_PANELS_H
#define ERT_PANELS_H

#include "requantize.h"

typedef struct {
  int32_t panels; /* blob: {int32 bias[4]; int8 w[n][4]; int32 multiplier[4]; int8 shift[4]}[ceil(n_out / 4)] */
  int32_t per_channel;
  int32_t fast;
  int32_t zero_point, min, max;
} ert_panels;

/* n products for each of n_out channels. */
static inline int ert_panels_ok(const ert_step *s, const ert_panels *p, int32_t n, int32_t n_out) {
  const int32_t panels = n_out / 4 + (n_out % 4 != 0);
  const int32_t words = n < INT32_MAX - 9 ? ert_product(p->per_channel ? n + 9 : n + 4, panels) : INT32_MAX;
  return words < INT32_MAX - 5 && ert_within(p->fast, 0, 1) && ert_within(p->per_channel, 0, 1) &&
         ert_within(p->zero_point, -128, 127) && ert_within(p->min, -128, 127) && ert_within(p->max, -128, 127) &&
         ert_blob_ok(s, p->panels, p->per_channel ? words : words + 5, 4);
}

/* A row of the windows of two pixels. */
typedef struct {
  const int8_t *of[2];
} ert_rows_of;

/* A layer on its way through pixels; assembly counts on the order. */
typedef struct {
  int32_t acc[8]; /* of an exact layer: four channels of the first pixel, four of the second */
  int32_t n;      /* values in each row of a window */
  const ert_rows_of *row, *end;
  int8_t *out[2];
  const uint8_t *scales; /* multiplier[4], shift[4] of all panels, or NULL: behind the weights of each */
  int32_t twice;         /* 1 + 2 * zero_point; 0 for an exact layer, which stops at its sums */
  int32_t panels;        /* that are still to do */
  const uint8_t *first;  /* panel */
  int32_t n_out, zero_point, min, max;
} ert_panel_walk;

/* Pixels whose windows have `count` rows of n values, at `rows`. */
void ert_panels_begin(ert_panel_walk *q, const ert_call *c, const ert_panels *p, int32_t n_out, int32_t n,
                      int32_t count, const ert_rows_of *rows);

/* One pixel or two. */
void ert_panels_run(ert_panel_walk *q, int32_t pixels, int8_t *const out[2]);

#endif
