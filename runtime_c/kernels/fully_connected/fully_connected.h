/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, o] = act(b[o] + sum over i of in[y, i] * w[o, i]); act, folding and types as in
 * conv2d.h. */
#ifndef ERT_FULLY_CONNECTED_H
#define ERT_FULLY_CONNECTED_H

#include "lanes.h"
#include "nibble.h"
#include "panels.h"
#include "quads.h"
#include "twos.h"

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8[out_c][in_c] */
  ert_rescale rescale;
} ert_fully_connected_s8s8_params;

typedef ert_fully_connected_s8s8_params ert_fully_connected_s8s8_pairs_params;

typedef ert_fully_connected_s8s8_params ert_fully_connected_s8s4_quads_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8[4 * ceil(out_c / 4)][max(16, in_c)], int8[16] */
  ert_lanes scales;
} ert_fully_connected_s8s8_lanes_params;

typedef ert_fully_connected_s8s8_lanes_params ert_fully_connected_s8s4_lanes_params; /* rows as lanes.h has them */

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8[4 * ceil(out_c / 4)][in_c], int8[16] */
  ert_lanes_s16 scales;
} ert_fully_connected_s16s8_lanes_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8 twos[ceil(out_c / 4)][in_c in fours][4] */
  ert_lanes_s16 scales;
} ert_fully_connected_s16s8_twos_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: float[out_c][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_fully_connected_f32_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8[out_c][in_c] */
  ert_rescale_s16 rescale;
} ert_fully_connected_s16s8_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: int8[out_c][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  int32_t scale;   /* blob: float[out_c] or float[1] */
  int32_t step;    /* 1 per channel, 0 per tensor */
  float min, max;
} ert_fully_connected_f32s8_params;

typedef struct {
  int32_t in_c, out_c;
  int32_t weights; /* blob: float16[out_c][in_c] */
  int32_t bias;    /* blob: float[out_c] */
  float min, max;
} ert_fully_connected_f32f16_params;

typedef struct {
  int32_t in_c, out_c;
  ert_weights_s4 filter;
  ert_rescale rescale;
} ert_fully_connected_s8s4_params;

typedef struct {
  int32_t in_c, out_c;
  ert_weights_s4 filter;
  int32_t bias;  /* blob: float[out_c] */
  int32_t scale; /* blob: float[out_c] or float[1] */
  int32_t step;  /* 1 per channel, 0 per tensor */
  float min, max;
} ert_fully_connected_f32s4_params;

typedef struct {
  int32_t in_c, out_c;
  ert_panels filter; /* n: in_c */
} ert_fully_connected_s8s8_panels_params;

int ert_fully_connected_s8s8_check(const ert_step *s);
int ert_fully_connected_s8s8_pairs_check(const ert_step *s);
int ert_fully_connected_s8s4_quads_check(const ert_step *s);
int ert_fully_connected_s8s8_panels_check(const ert_step *s);
int ert_fully_connected_s8s8_lanes_check(const ert_step *s);
int ert_fully_connected_s8s4_lanes_check(const ert_step *s);
int ert_fully_connected_s16s8_lanes_check(const ert_step *s);
int ert_fully_connected_s16s8_twos_check(const ert_step *s);
int ert_fully_connected_f32_check(const ert_step *s);
int ert_fully_connected_s16s8_check(const ert_step *s);
int ert_fully_connected_f32s8_check(const ert_step *s);
int ert_fully_connected_f32f16_check(const ert_step *s);
int ert_fully_connected_s8s4_check(const ert_step *s);
int ert_fully_connected_f32s4_check(const ert_step *s);

#endif
