/* SPDX-License-Identifier: Apache-2.0 */
/* out = in[0]; then, for every turn of all loops in row-major order, the block of out at the place that gather reads
 * (see gather.h) becomes f(itself, the next block of in[2]). f by kind: NONE the update, ADD, MULTIPLY (integers modulo
 * 2^bits), MINIMUM, MAXIMUM. dtype is that of the data. One row: the whole tensor. out may be in[0]. */
#ifndef ERT_SCATTER_H
#define ERT_SCATTER_H

#include "indexed.h"

enum {
  ERT_SCATTER_NONE = 0,
  ERT_SCATTER_ADD = 1,
  ERT_SCATTER_MULTIPLY = 2,
  ERT_SCATTER_MINIMUM = 3,
  ERT_SCATTER_MAXIMUM = 4
};

typedef struct {
  ert_indexed shape;
  int32_t kind, item_type; /* item_type: the dtype of data and updates */
} ert_scatter_any_params;

int ert_scatter_any_check(const ert_step *s);

#endif
