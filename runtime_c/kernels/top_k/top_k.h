/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, g, j, i] = the j-th best of in[y, g, 0..n, i], or its index. Better is larger where sign is 1, smaller where
 * it is -1; a NaN is worse than all numbers; among equals the first (last_first 1: the last) comes first. k = 1 is
 * argmax and argmin. Nothing is sorted: each of the k results is one walk over the n items. */
#ifndef ERT_TOP_K_H
#define ERT_TOP_K_H

#include "kernel.h"

typedef struct {
  int32_t groups, n, inner, k; /* a row is groups of n * inner items, of the output k * inner */
  int32_t dtype;               /* of the items */
  int32_t sign, last_first;
  int32_t index_type; /* the dtype of the indices, -1 for the items themselves */
} ert_top_k_any_params;

int ert_top_k_any_check(const ert_step *s);

#endif
