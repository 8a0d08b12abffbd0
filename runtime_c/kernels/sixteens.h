/* SPDX-License-Identifier: Apache-2.0 */
/* The layout "sixteens" of depthwise_conv2d with as many output as input channels: vectors of sixteen lanes, a channel
 * each. Where a row of the image has 8 channels or fewer and stride_w is 1, the lanes are those of neighbouring pixels,
 * as many as fit whole. Lanes without a channel have weights and biases of 0.
 *
 * Products of two taps are added in 16 bits: no weight is -128. Shifts are -1 to -31, for which lanes.h's formula is
 * requantize.h's rescale. Items [j][i] of a block's scales belong to lane 4 * i + j, the order in which products of
 * bytes are widened twice. */
#ifndef ERT_SIXTEENS_H
#define ERT_SIXTEENS_H

#include "isa.h"
#include "conv2d/conv2d.h"

typedef struct {
  int8_t shift[4][4];
  int32_t bias[4][4], multiplier[4][4];
} ert_sixteen;

static inline int32_t ert_sixteens_count(int32_t n) { return n / 16 + (n % 16 != 0); }

#if ERT_HAS_mve
/* Pixels of an output row that one vector holds. */
static inline int32_t ert_sixteens_pixels(const ert_conv2d_geometry *g) {
  return g->stride_w == 1 && g->out_c <= 8 ? 16 / g->out_c : 1;
}
#endif

/* Bytes for a table of taps, of kernels with more than the nine that lie on the stack. */
static inline int32_t ert_sixteens_scratch(const ert_conv2d_geometry *g) {
  const int32_t taps = g->kernel_h * g->kernel_w;
  return taps > 9 ? ert_product(8, taps) : 0;
}

/* `tap_bytes`: those of the weights of a block for one tap. */
static inline int ert_sixteens_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t weights, int32_t scales,
                                  int32_t tap_bytes) {
  const int32_t taps = ert_product(g->kernel_h, g->kernel_w), blocks = ert_sixteens_count(g->out_c);
  return g->in_c == g->out_c && ert_blob_ok(s, weights, ert_product(ert_product(tap_bytes, taps), blocks), 1) &&
         ert_blob_ok(s, scales, 4, 4) && ert_blob_ok(s, scales, ert_product((int32_t)sizeof(ert_sixteen), blocks), 1);
}

#endif
