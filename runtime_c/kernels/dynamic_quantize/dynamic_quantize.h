/* SPDX-License-Identifier: Apache-2.0 */
/* Floats on the grid of 8 bits that spans them: out[i] = scale * (q[i] - offset), as LiteRT quantises the activations of
 * layers with int8 weights while it runs. `group` rows from y = 0, group, 2 * group, ... on have one grid.
 *
 * symmetric 1: scale = max |in| / 127, offset = 0, q[i] = clamp(round(in[i] * (127 / max |in|)), -127, 127)
 * symmetric 0: with low = min(0, min in), high = max(0, max in): scale = (high - low) / 255,
 *              offset = clamp(round(-128 - low / scale), -128, 127), or 127 - high / scale where |low| is the larger,
 *              q[i] = clamp(round(offset + in[i] * (1 / scale)), -128, 127)
 * Halves round away from zero; where all of a group is 0 it stays so. NaN counts as 0.
 *
 * The grid is found when the group's first row is called for, which reads all its rows, and kept in scratch. */
#ifndef ERT_DYNAMIC_QUANTIZE_H
#define ERT_DYNAMIC_QUANTIZE_H

#include "kernel.h"

typedef struct {
  int32_t n; /* items in a row */
  int32_t group;
  int32_t symmetric;
} ert_dynamic_quantize_f32_params;

int ert_dynamic_quantize_f32_check(const ert_step *s);

#endif
