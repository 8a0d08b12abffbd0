/* SPDX-License-Identifier: Apache-2.0 */
/* Items that a tensor of indices points at, for gather and scatter. Six nested loops walk the indices; each turn of a
 * loop moves `data` bytes on in the tensor and `index` items on among the indices. An index has `parts` numbers;
 * number m, counted from the end where it is negative, then clamped to [0, last], moves part[m].stride bytes on. */
#ifndef ERT_INDEXED_H
#define ERT_INDEXED_H

#include "kernel.h"

enum { ERT_INDEX_LOOPS = 6 };

typedef struct {
  int32_t extent, data, index;
} ert_index_loop;

typedef struct {
  int32_t extent, last, stride;
} ert_index_part;

typedef struct {
  ert_index_loop loop[6];
  int32_t parts;
  ert_index_part part[6];
  int32_t dtype; /* of the indices: int32 or int64 */
  int32_t block; /* bytes at each place */
} ert_indexed;

/* Every place lies in the data view's row, every index in the index view's. */
int ert_indexed_ok(const ert_indexed *g, const int32_t *data, const int32_t *index);

/* Byte of the place that the loops at these positions point at. */
int32_t ert_indexed_place(const ert_indexed *g, const void *indices, const int32_t *at);

/* The next positions of loops 1 to 5; 0 after the last. */
int ert_indexed_next(const ert_indexed *g, int32_t *at);

/* Turns of loops 1 to 5. */
int32_t ert_indexed_turns(const ert_indexed *g);

#endif
