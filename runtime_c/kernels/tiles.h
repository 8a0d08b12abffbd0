/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and fully connected layers of vector instruction sets: tiles of pixels x channels.
 *
 * Weights are panels of NR output channels. A window is read in runs: where the input channels are a multiple of KR, one
 * run per tap of the kernel, in_c items long, read where it lies; else a single run, the whole window gathered into
 * scratch and filled up with zero weights to a multiple of KR. A panel is
 *
 *   weights[run][k / KR][NR][KR]
 *
 * so that one load has KR successive terms of each of some channels. Channels are filled up to a multiple of NR with
 * weights, biases and multipliers of 0. The layout is named after the two: n16k4 is NR = 16, KR = 4.
 *
 * int8: behind each other for every panel bias[NR], multiplier[NR], right shift[NR] (int32, 1 to 31); the same formula
 * as in lanes.h. A layout that ends in u is for kernels that add 128 to every input and so multiply unsigned bytes: its
 * biases have 128 * (sum of the channel's weights) taken away. One that ends in p is for kernels that add up two
 * products in 16 bits: its weights are above -128.
 * One that ends in t has blocks of terms the other way round, weights[run][k / KR][KR][NR]: kernels load a term of all
 * channels, and KR is how many terms of an input come together.
 * One that ends in d is for vectors that multiply doubles: for every panel bias[NR] and the bias of an unsigned input
 * (int32), then doubles m[NR] = multiplier * 2^(-31 - shift), h[NR] = 2^(-1 - shift) + 2^(-32 - shift) and
 * s[NR] = 2^-shift; with x = sum + bias the rescale is the integer next to m * x + h, for x < 0 next to m * x + h - s.
 * The writer guarantees shifts of at most 13 or |x| < 2^21: then no double is rounded that is not out of int8's range.
 * float32: bias[NR] for every panel. Weights may be float16, or int8, which are read as floats: behind the biases of a
 * panel are then scale[NR], by which sums are multiplied before the bias is added.
 *
 * int4 weights, of int8 and of float layers: a block of KR terms has KR / 2 bytes a channel; byte j has term j in its low
 * half and term KR / 2 + j in its high half, so that a vector of bytes is, half by half, two vectors of the layout with
 * KR / 2. Groups of weights may have factors (nibble.h): uint8[panel][in_c * taps / group][NR], a group being a multiple
 * of KR and in_c one of the group. Biases of int8 layers are 16 times what they are (the sums of bytes whose lower half is
 * empty are, too): the writer guarantees that 16 times every sum has 32 bits; in n8k8d, whose kernels take nibbles for
 * what they are, every sum and 16 times every bias. Scales there have any shift from 1 to 31 where there are factors.
 *
 * Grouped convolutions are one convolution for each group: the geometry is that of a group, whose panels follow those of
 * the group before. The writer may make one group of several, with weights of zero between them, to fill a panel.
 *
 * int16 activations: a layout that ends in h is for kernels that multiply the high bytes of inputs, and the low ones less 128: its biases have
 * 128 * (sum of the channel's weights) added. Zero points are 0; `wide` is that of requantize.h's rescale_s16.
 * terms 0: every sum has 32 bits, and scales are those of int8, whose formula gives the output of a layer that is not wide.
 *   A wide one has shifts of 0, multipliers 2^(16 + shift) times those of rescale_s16, and is rounded once, half up. Its
 *   doubles are m = multiplier * 2^(shift - 15), h = 2^(shift - 16), s = 0; those of other layers have any shift from 1 to
 *   31, as they are rescaled by an integer product.
 * terms > 0, a multiple of KR: 32 bits hold the sum of so many successive products (in layouts that end in h, with bytes),
 *   64 that of all of them. A panel's scales begin with {bias, multiplier, shift}[NR] (int32), as rescale_s16 has them.
 *
 * Depthwise convolutions (as many outputs as inputs) have runs of one item, wherever it lies, and panels
 * weights[tap][NR]; the layout d16 has NR = 16, d8d the scales of those that end in d, d16p weights above -128. */
#ifndef ERT_TILES_H
#define ERT_TILES_H

#include "conv2d/conv2d.h"
#include "isa.h"

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights, scales; /* blobs */
  int32_t zero_point, min, max;
} ert_conv2d_s8s8_tiles_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights, bias; /* blobs */
  float min, max;
} ert_conv2d_f32_tiles_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;
  int32_t weights, scales; /* blobs */
  int32_t zero_point, min, max;
  int32_t group, factors; /* weights that share a factor; blob, or -1 for none */
} ert_conv2d_s8s4_tiles_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t weights, bias; /* blobs */
  float min, max;
  int32_t group, factors; /* weights that share a factor; blob, or -1 for none */
} ert_conv2d_f32s4_tiles_params;

typedef struct {
  ert_conv2d_geometry g;
  int32_t in_zero_point;   /* 0 */
  int32_t weights, scales; /* blobs */
  int32_t wide, min, max;
  int32_t terms; /* whose sum has 32 bits, 0 for all */
} ert_conv2d_s16s8_tiles_params;

/* int8 and float16 weights of float layers: blobs differ, words do not. */
typedef ert_conv2d_f32_tiles_params ert_conv2d_f32s8_tiles_params;
typedef ert_conv2d_f32_tiles_params ert_conv2d_f32f16_tiles_params;
typedef ert_conv2d_s8s8_tiles_params ert_depthwise_conv2d_s8s8_tiles_params;
typedef ert_conv2d_s8s8_tiles_params ert_depthwise_conv2d_s16s8_tiles_params; /* zero_point: wide */
typedef ert_conv2d_f32_tiles_params ert_depthwise_conv2d_f32_tiles_params;

typedef struct {
  ert_conv2d_geometry g; /* of one group */
  int32_t groups;
  int32_t in_zero_point;
  int32_t weights, scales; /* blobs */
  int32_t zero_point, min, max;
} ert_grouped_conv2d_s8s8_tiles_params;

typedef struct {
  ert_conv2d_geometry g; /* of one group */
  int32_t groups;
  int32_t weights, bias; /* blobs */
  float min, max;
} ert_grouped_conv2d_f32_tiles_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights, scales;
  int32_t zero_point, min, max;
} ert_fully_connected_s8s8_tiles_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights, bias;
  float min, max;
} ert_fully_connected_f32_tiles_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights, scales;
  int32_t zero_point, min, max;
  int32_t group, factors; /* weights that share a factor; blob, or -1 for none */
} ert_fully_connected_s8s4_tiles_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights, bias;
  float min, max;
  int32_t group, factors; /* weights that share a factor; blob, or -1 for none */
} ert_fully_connected_f32s4_tiles_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights, scales;
  int32_t wide, min, max;
  int32_t terms; /* whose sum has 32 bits, 0 for all */
} ert_fully_connected_s16s8_tiles_params;

typedef ert_fully_connected_f32_tiles_params ert_fully_connected_f32s8_tiles_params;
typedef ert_fully_connected_f32_tiles_params ert_fully_connected_f32f16_tiles_params;

enum {
  ERT_TILE_PIXELS = 16, /* most in a tile */
  ERT_TILE_SUMS = 384,  /* those of a tile of int16 */
  ERT_BLOCK_TILES = 4,  /* tiles whose pointers are found together: a panel of weights is read for all of them */
  ERT_TILE_BYTES = 64,
  ERT_TILE_ALIGN = 64 /* of gathered windows */
};

/* How a layout lies in memory. */
typedef struct {
  int32_t nr, kr;
  int32_t item;   /* bytes of an input and of an output item: 1 for int8, 2 for int16, 4 for float */
  int32_t bits;   /* of a weight */
  int32_t scales; /* bytes that a channel has of them: ERT_SCALES_... */
} ert_tile_layout;

enum {
  ERT_SCALES_S8 = 12,      /* bias, multiplier, shift */
  ERT_SCALES_DOUBLES = 32, /* those of layouts that end in d */
  ERT_SCALES_F32 = 4,      /* bias */
  ERT_SCALES_SCALED = 8    /* bias, scale */
};

struct ert_tiling;

/* What a micro-kernel computes: `pixels` outputs of the channels of one panel. */
typedef struct {
  const void *const *in; /* [runs][stride]: where run r of pixel i begins */
  void *const *out;      /* [pixels]: the panel's first channel of each */
  const void *weights;
  const void *scales;
  const uint8_t *factors; /* [groups][NR] of the panel; NULL for none */
  void *spare;            /* memory for the packed inputs of NR pixels, where the tiling wants some */
  int32_t group, groups;  /* weights of a channel that share a factor, and how many groups there are */
  int32_t stride;         /* of `in`, in pointers */
  int32_t pixels;         /* for micro-kernels that take any number */
  int32_t offset;         /* depthwise: bytes to add to every pointer of `in` for the panel's first channel */
  int32_t line;       /* depthwise, whole blocks: pixels whose square windows are neighbours; 0 where they are not */
  int32_t out_offset; /* bytes to add to every pointer of `out`, of tilings that take whole blocks */
  int32_t runs, run;  /* items of a run, a multiple of KR */
  int32_t channels;   /* of the panel that there are: NR, or fewer in the last one */
  int32_t zero_point, min, max;
  float low, high;
  /* int16, whose zero_point says whether the layer is wide: */
  int32_t terms;  /* of which sums of 32 bits are asked for at a time; 0: of all */
  int32_t window; /* items that a channel of the panel has */
  int32_t before; /* of these, how many lie before the first run that is asked for, */
  int32_t first;  /* and how many of every run */
} ert_tile_args;

/* What an int16 layer of sums with more than 32 bits has for each channel. */
typedef struct {
  int32_t bias, multiplier, shift;
} ert_tile_scale;

typedef void ert_tile_fn(const ert_tile_args *t);

/* Brings the inputs of a tile in the order in which its micro-kernels read them: those of `pixels` pixels, whose runs
 * begin at in[run * stride + pixel], into memory that the tile has for itself. What is packed is a single run. */
typedef void ert_tile_pack_fn(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs,
                              int32_t run);

/* The micro-kernels of a row: by_pixels[n - 1] computes n pixels, for 1 <= n <= pixels. */
typedef struct ert_tiling {
  ert_tile_fn *const *by_pixels;
  int32_t pixels;
  ert_tile_layout layout; /* nr may be that of several panels of the layout: what they have follows each other */
  ert_tile_pack_fn *pack; /* NULL: inputs are read as they are; else in[0] is where packed ones begin */
  int32_t packed;         /* bytes of a packed item */
  int32_t group;          /* 0, or micro-kernels take all pixels of a block at once, by groups of so many */
  int32_t spare;          /* packed pixels of a block whose memory is the micro-kernel's: 0 or NR */
} ert_tiling;

static inline int32_t ert_round_up(int32_t n, int32_t to) { return (n + to - 1) / to * to; }

/* Whether windows are read where they lie; else they are gathered. */
static inline int ert_tiles_in_place(const ert_conv2d_geometry *g, int32_t kr) { return g->in_c % kr == 0; }

/* Whether the taps of a row of the kernel are one run: those of a few bytes each are too short for runs of their own.
 * Windows that stand over the left or the right border of the image are gathered then. */
static inline int ert_tiles_joined(const ert_conv2d_geometry *g, int32_t kr, int32_t item) {
  return ert_tiles_in_place(g, kr) && g->kernel_w > 1 && g->dilation_w == 1 && g->in_c <= 64 / item;
}

static inline int32_t ert_tiles_run(const ert_conv2d_geometry *g, int32_t kr, int32_t item) {
  if (!ert_tiles_in_place(g, kr)) return ert_round_up(ert_conv2d_window(g), kr);
  return ert_tiles_joined(g, kr, item) ? g->kernel_w * g->in_c : g->in_c;
}

static inline int32_t ert_tiles_runs(const ert_conv2d_geometry *g, int32_t kr, int32_t item) {
  if (!ert_tiles_in_place(g, kr)) return 1;
  return ert_tiles_joined(g, kr, item) ? g->kernel_h : g->kernel_h * g->kernel_w;
}

/* Bytes of a window that is gathered, and of the end of a chunk of 16 bytes that goes over its own. */
static inline int32_t ert_tiles_gathered(const ert_conv2d_geometry *g, int32_t kr, int32_t item) {
  if (ert_tiles_in_place(g, kr) && !ert_tiles_joined(g, kr, item)) return 0;
  return ert_round_up(ert_tiles_runs(g, kr, item) * ert_tiles_run(g, kr, item) * item + 8, ERT_TILE_ALIGN);
}

/* Scratch: pointers of a block of tiles (runs of input, then outputs), a run of padding, gathered windows. */
static inline int32_t ert_tiles_scratch_of(int32_t n, int32_t runs, int32_t run_bytes, int32_t gathered) {
  return 8 * n * (runs + 1) + ERT_TILE_ALIGN + ert_round_up(run_bytes, ERT_TILE_ALIGN) + n * gathered;
}

static inline int32_t ert_tiles_scratch(const ert_conv2d_geometry *g, int32_t kr, int32_t pixels, int32_t item) {
  return ert_tiles_scratch_of(pixels * ERT_BLOCK_TILES, ert_tiles_runs(g, kr, item), item * ert_tiles_run(g, kr, item),
                              ert_tiles_gathered(g, kr, item));
}

/* The same for groups, whose taps do not lie beside each other: no runs are joined. */
static inline int32_t ert_tiles_groups_scratch(const ert_conv2d_geometry *g, int32_t kr, int32_t pixels, int32_t item) {
  if (!ert_tiles_in_place(g, kr)) return ert_tiles_scratch(g, kr, pixels, item);
  return ert_tiles_scratch_of(pixels * ERT_BLOCK_TILES, g->kernel_h * g->kernel_w, item * g->in_c, 0);
}

/* The same for rows of a fully connected layer. */
static inline int32_t ert_tiles_rows_scratch(int32_t in_c, int32_t kr, int32_t pixels, int32_t item) {
  const int32_t n = pixels * ERT_BLOCK_TILES;
  return 8 * n * 2 + ERT_TILE_ALIGN + (in_c % kr ? n * ert_round_up(item * ert_round_up(in_c, kr), ERT_TILE_ALIGN) : 0);
}

/* What packed inputs of up to `pixels` pixels, `bytes` per item, take of it besides. */
static inline int32_t ert_tiles_packed(int32_t window, int32_t kr, int32_t pixels, int32_t bytes) {
  return ERT_TILE_ALIGN + ERT_BLOCK_TILES * ert_round_up(bytes * pixels * ert_round_up(window, kr), ERT_TILE_ALIGN);
}

/* Float layers of NEON pack inputs where windows are a single run, and outputs so many that it pays: what that takes. */
static inline int ert_tiles_packs(int32_t runs, int32_t out_c) { return runs == 1 && out_c >= 64; }

static inline int32_t ert_tiles_packed_floats(int32_t runs, int32_t window, int32_t out_c) {
  return ert_tiles_packs(runs, out_c) ? ert_tiles_packed(window, 1, 8, 4) : 0;
}

/* For depthwise convolutions: pointers, and a padding item of every channel. */
static inline int32_t ert_tiles_depthwise_scratch(const ert_conv2d_geometry *g, int32_t pixels, int32_t item) {
  const int32_t n = pixels * ERT_BLOCK_TILES, taps = g->kernel_h * g->kernel_w;
  return 8 * n * (taps + 1) + ERT_TILE_ALIGN + ert_round_up(g->in_c * item, ERT_TILE_ALIGN);
}

/* For micro-kernels that only know whole panels: computes all channels of the last one, and stores those that there are.
 * A pixel of a panel has at most ERT_TILE_BYTES. */
void ert_tile_some(const ert_tile_args *t, ert_tile_fn *whole, const ert_tiling *k, int32_t pixels);

/* A tile of int16 whose sums may have more than 32 bits. Its micro-kernel is called for `terms` terms at a time, without
 * scales: then `out` are int64[nr] of each pixel, to which it adds whole panels of sums of 32 bits. */
void ert_tile_in_parts(const ert_tile_args *t, const ert_tiling *k, int32_t pixels);

/* Rows [y0, y1) of the op with its tiles params; of int16 layers as of int8 ones. */
void ert_tiles_depthwise_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1);
void ert_tiles_depthwise_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1);
void ert_tiles_conv2d_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1);
void ert_tiles_conv2d_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1);
/* `panel`: channels of a panel of the row's layout. */
void ert_tiles_grouped_conv2d_s8(const ert_call *c, const ert_tiling *k, int32_t panel, int32_t y0, int32_t y1);
void ert_tiles_grouped_conv2d_f32(const ert_call *c, const ert_tiling *k, int32_t panel, int32_t y0, int32_t y1);
void ert_tiles_fully_connected_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1);
void ert_tiles_fully_connected_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1);

/* For the rows of kernels.inc: parameters and check of every layout. */
int ert_conv2d_tiles_ok(const ert_step *s, const ert_tile_layout *t);
int ert_grouped_conv2d_tiles_ok(const ert_step *s, const ert_tile_layout *t);
int ert_fully_connected_tiles_ok(const ert_step *s, const ert_tile_layout *t);
int ert_depthwise_conv2d_tiles_ok(const ert_step *s, const ert_tile_layout *t);

#define ERT_TILES_ROW(op, types, name, ...)                                       \
  typedef ert_##op##_##types##_tiles_params ert_##op##_##types##_##name##_params; \
  ERT_INLINE int ert_##op##_##types##_##name##_check(const ert_step *s) {         \
    static const ert_tile_layout layout = {__VA_ARGS__};                          \
    return ert_##op##_tiles_ok(s, &layout);                                       \
  }
/* types, name, then the fields of ert_tile_layout */
#define ERT_TILES(types, name, ...)               \
  ERT_TILES_ROW(conv2d, types, name, __VA_ARGS__) \
  ERT_TILES_ROW(fully_connected, types, name, __VA_ARGS__)
#define ERT_TILES_GROUPED(types, name, ...) ERT_TILES_ROW(grouped_conv2d, types, name, __VA_ARGS__)
#define ERT_TILES_DEPTHWISE(types, name, ...) ERT_TILES_ROW(depthwise_conv2d, types, name, __VA_ARGS__)

ERT_TILES(f32, n16k1, 16, 1, 4, 32, ERT_SCALES_F32)
ERT_TILES(f32, n8k1, 8, 1, 4, 32, ERT_SCALES_F32)
ERT_TILES(s8s8, n16k4, 16, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n8k8, 8, 8, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n8k4, 8, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n4k16, 4, 16, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n4k16p, 4, 16, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n16k4u, 16, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n16k4p, 16, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES(s8s8, n8k4d, 8, 4, 1, 8, ERT_SCALES_DOUBLES)
ERT_TILES(s8s4, n16k8u, 16, 8, 1, 4, ERT_SCALES_S8)
ERT_TILES(f32s4, n16k8, 16, 8, 4, 4, ERT_SCALES_SCALED)
ERT_TILES(f32s8, n16k1, 16, 1, 4, 8, ERT_SCALES_SCALED)
ERT_TILES(f32f16, n16k1, 16, 1, 4, 16, ERT_SCALES_F32)
ERT_TILES(f32f16, n8k1, 8, 1, 4, 16, ERT_SCALES_F32)
ERT_TILES(f32f16, n16k8t, 16, 8, 4, 16, ERT_SCALES_F32)
ERT_TILES(f32s8, n8k4, 8, 4, 4, 8, ERT_SCALES_SCALED)
ERT_TILES(f32s4, n8k8, 8, 8, 4, 4, ERT_SCALES_SCALED)
ERT_TILES(s8s4, n4k16, 4, 16, 1, 4, ERT_SCALES_S8)
ERT_TILES(s8s4, n8k16, 8, 16, 1, 4, ERT_SCALES_S8)
ERT_TILES(s8s4, n8k8, 8, 8, 1, 4, ERT_SCALES_S8)
ERT_TILES(s8s4, n8k8d, 8, 8, 1, 4, ERT_SCALES_DOUBLES)
ERT_TILES(f32s8, n8k1, 8, 1, 4, 8, ERT_SCALES_SCALED)
ERT_TILES_GROUPED(f32, n16k1, 16, 1, 4, 32, ERT_SCALES_F32)
ERT_TILES_GROUPED(f32, n8k1, 8, 1, 4, 32, ERT_SCALES_F32)
ERT_TILES_GROUPED(s8s8, n8k8, 8, 8, 1, 8, ERT_SCALES_S8)
ERT_TILES_GROUPED(s8s8, n8k4, 8, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES_GROUPED(s8s8, n4k16, 4, 16, 1, 8, ERT_SCALES_S8)
ERT_TILES_GROUPED(s8s8, n4k16p, 4, 16, 1, 8, ERT_SCALES_S8)
ERT_TILES_GROUPED(s8s8, n16k4u, 16, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES_GROUPED(s8s8, n16k4p, 16, 4, 1, 8, ERT_SCALES_S8)
ERT_TILES_GROUPED(s8s8, n8k4d, 8, 4, 1, 8, ERT_SCALES_DOUBLES)
ERT_TILES(s16s8, n16k2, 16, 2, 2, 8, ERT_SCALES_S8)
ERT_TILES(s16s8, n8k8t, 8, 8, 2, 8, ERT_SCALES_S8)
ERT_TILES(s16s8, n8k4h, 8, 4, 2, 8, ERT_SCALES_S8)
ERT_TILES(s16s8, n8k2d, 8, 2, 2, 8, ERT_SCALES_DOUBLES)
ERT_TILES_DEPTHWISE(s8s8, d8d, 8, 1, 1, 8, ERT_SCALES_DOUBLES)
ERT_TILES_DEPTHWISE(f32, d8, 8, 1, 4, 32, ERT_SCALES_F32)
ERT_TILES_DEPTHWISE(s8s8, d16, 16, 1, 1, 8, ERT_SCALES_S8)
ERT_TILES_DEPTHWISE(s8s8, d16p, 16, 1, 1, 8, ERT_SCALES_S8)
ERT_TILES_DEPTHWISE(s16s8, d8d, 8, 1, 2, 8, ERT_SCALES_DOUBLES)
ERT_TILES_DEPTHWISE(s16s8, d16, 16, 1, 2, 8, ERT_SCALES_S8)
ERT_TILES_DEPTHWISE(f32, d16, 16, 1, 4, 32, ERT_SCALES_F32)

#endif
