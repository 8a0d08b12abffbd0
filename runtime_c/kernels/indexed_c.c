/* SPDX-License-Identifier: Apache-2.0 */
#include "indexed.h"
#include "items.h"

int ert_indexed_ok(const ert_indexed *g, const int32_t *data, const int32_t *index) {
  if (!ert_is_index(g->dtype) || !ert_within(g->parts, 1, ERT_INDEX_LOOPS) || g->block < 1) return 0;
  int64_t bytes = g->block, numbers = g->parts;
  for (int32_t i = 0; i < ERT_INDEX_LOOPS; i++) {
    const ert_index_loop *l = &g->loop[i];
    if (l->extent < 1 || l->data < 0 || l->index < 0) return 0;
    bytes += ert_product(l->extent - 1, l->data);
    numbers += ert_product(l->extent - 1, l->index);
  }
  for (int32_t m = 0; m < g->parts; m++) {
    const ert_index_part *p = &g->part[m];
    if (p->extent < 1 || p->last < 0 || p->stride < 0) return 0;
    bytes += ert_product(p->last, p->stride);
  }
  return bytes <= ert_view_room(data) && numbers <= INT32_MAX &&
         ert_view_ok(index, (int32_t)numbers, ert_item_size(g->dtype));
}

static int32_t clamped(const ert_index_part *p, int64_t i) {
  if (i < 0) i += p->extent;
  return i < 0 ? 0 : i > p->last ? p->last : (int32_t)i;
}

int32_t ert_indexed_place(const ert_indexed *g, const void *indices, const int32_t *at) {
  int32_t place = 0, first = 0;
  for (int32_t i = 0; i < ERT_INDEX_LOOPS; i++) {
    place += at[i] * g->loop[i].data;
    first += at[i] * g->loop[i].index;
  }
  for (int32_t m = 0; m < g->parts; m++)
    place += clamped(&g->part[m], ert_load_item(indices, first + m, g->dtype)) * g->part[m].stride;
  return place;
}

int ert_indexed_next(const ert_indexed *g, int32_t *at) {
  for (int32_t i = ERT_INDEX_LOOPS - 1; i > 0; i--) {
    if (++at[i] < g->loop[i].extent) return 1;
    at[i] = 0;
  }
  return 0;
}

int32_t ert_indexed_turns(const ert_indexed *g) {
  int32_t n = 1;
  for (int32_t i = 1; i < ERT_INDEX_LOOPS; i++) n = ert_product(n, g->loop[i].extent);
  return n;
}
