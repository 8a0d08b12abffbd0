/* SPDX-License-Identifier: Apache-2.0 */
/* out row y: for every turn of loops 1 to 5, in row-major order, the block of in[0] at
 * sum of at[i] * loop[i].data + sum of clamped(index m) * part[m].stride, index m = in[1][sum of at[i] * loop[i].index
 * + m], at[0] = y. Gather along an axis, of slices (nd) and of elements differ in their strides only. */
#ifndef ERT_GATHER_H
#define ERT_GATHER_H

#include "indexed.h"

typedef struct {
  ert_indexed shape;
} ert_gather_b1_params;

int ert_gather_b1_check(const ert_step *s);

#endif
