/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise convolutions of vector instruction sets that go along the columns of the image: neighbouring pixels share the
 * columns of their windows, which are loaded, and brought into the order that products want, once for all of them.
 *
 * Weights are panels of NR channels, filled up with zeros. float32: the layout d<NR> of tiles.h. int8: the layout
 * d<NR>k4, for kernels that multiply bytes of four rows of the window at once and add 128 to every input:
 *
 *   weights[panel][kernel_w][ceil(kernel_h / 4)][NR][4]
 *
 * and for each panel bias[NR], multiplier[NR], right shift[NR] as in tiles.h, the biases with 128 * (sum of the channel's
 * weights) taken away. Four rows of NR bytes are interleaved in groups of sixteen channels, so the NR channels of a panel
 * come in the order 16 * (i / 4 mod (NR / 16)) + 4 * (i / (NR / 4)) + i mod 4. d<NR>k4p and d<NR>k4s are for kernels that
 * multiply signed bytes: biases are as they are. In d<NR>k4p no weight is -128; in d<NR>k4s windows have at most four rows
 * and three columns, strides of columns are 1 or 2, and there is no dilation of columns.
 *
 * int16: the layout d16k2, the same for two rows of the window at once, and weights of int16. Channels of a panel come in
 * the order 8 * (i / 4 mod 2) + 4 * (i / 8) + i mod 4; scales are those of int16 layers in tiles.h with terms = 0. */
#ifndef ERT_COLUMNS_H
#define ERT_COLUMNS_H

#include "tiles.h"

/* Of the kernels of x86: channels of a panel, rows of a window in one product, pixels of a tile, pixels whose sums are kept
 * before they are requantised. */
enum { ERT_COLUMNS_F32 = 16, ERT_COLUMNS_S8 = 32, ERT_COLUMNS_DEPTH = 4, ERT_COLUMNS_TILE = 4, ERT_COLUMNS_RUN = 32 };

/* What a micro-kernel computes: the channels of one panel of a row of outputs. */
typedef struct {
  const void *const *in; /* [kernel_h][columns]: every channel of a column of the padded image */
  uint8_t *out;          /* the panel's channels of the first pixel */
  const void *weights;
  const void *scales;
  int32_t columns;
  int32_t offset;       /* bytes to add to every pointer of `in` for the panel's first channel */
  int32_t pixels, step; /* outputs, and bytes from one to the next */
  int32_t kernel_h, kernel_w, stride, dilation;
  int32_t channels; /* of the panel that there are */
  int32_t zero_point, min, max;
  float low, high;
} ert_columns_args;

/* The micro-kernel of a row: NR channels, `depth` rows of the window at once, bytes of an item. */
typedef struct {
  void (*run)(const ert_columns_args *t);
  int32_t nr, depth, item;
} ert_columns_kernel;

/* INT32_MAX for too many. */
static inline int32_t ert_columns_count(const ert_conv2d_geometry *g) {
  const int32_t first = ert_product(g->out_w - 1, g->stride_w), window = (g->kernel_w - 1) * g->dilation_w + 1;
  return first < INT32_MAX - window ? first + window : INT32_MAX;
}

static inline int ert_columns_fit(const ert_conv2d_geometry *g) {
  return ert_product(g->kernel_h, ert_columns_count(g)) < INT32_MAX / 32;
}

/* Pointers of a row of outputs, and a padding item of every channel. */
static inline int32_t ert_columns_scratch(const ert_conv2d_geometry *g, int32_t item) {
  return 8 * g->kernel_h * ert_columns_count(g) + ERT_TILE_ALIGN + ert_round_up(g->in_c * item, ERT_TILE_ALIGN);
}

/* Of int16 layers as of int8 ones. */
void ert_columns_s8(const ert_call *c, const ert_columns_kernel *k, int32_t y0, int32_t y1);
void ert_columns_f32(const ert_call *c, const ert_columns_kernel *k, int32_t y0, int32_t y1);

ERT_TILES_DEPTHWISE(s8s8, d32k4, 32, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES_DEPTHWISE(s8s8, d32k4p, 32, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES_DEPTHWISE(s16s8, d16k2, 16, 2, 2, 16, ERT_SCALES_S8)

typedef ert_depthwise_conv2d_s8s8_tiles_params ert_depthwise_conv2d_s8s8_d16k4s_params;
ERT_INLINE int ert_depthwise_conv2d_s8s8_d16k4s_check(const ert_step *s) {
  static const ert_tile_layout layout = {16, 4, 1, 8, ERT_SCALES_S8};
  const ert_depthwise_conv2d_s8s8_d16k4s_params *p = (const void *)s->params;
  return ert_depthwise_conv2d_tiles_ok(s, &layout) && p->g.kernel_h <= 4 && p->g.kernel_w == 3 && p->g.stride_w <= 2 &&
         p->g.dilation_w == 1;
}

#endif
