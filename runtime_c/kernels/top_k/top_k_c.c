/* SPDX-License-Identifier: Apache-2.0 */
#include "top_k/top_k.h"
#include "items.h"

int ert_top_k_any_check(const ert_step *s) {
  const ert_top_k_any_params *p = (const void *)s->params;
  if (s->n_in != 1 || p->groups < 1 || p->inner < 1 || !ert_within(p->k, 1, p->n)) return 0;
  if (!ert_is_integer(p->dtype) && p->dtype != ERT_F32) return 0;
  if ((p->sign != 1 && p->sign != -1) || !ert_within(p->last_first, 0, 1)) return 0;
  if (p->index_type != -1 && !ert_is_index(p->index_type)) return 0;
  const int32_t columns = ert_product(p->groups, p->inner);
  const int32_t size = ert_item_size(p->index_type == -1 ? p->dtype : p->index_type);
  return ert_view_ok(s->in, ert_product(columns, p->n), ert_item_size(p->dtype)) &&
         ert_view_ok(s->out, ert_product(columns, p->k), size);
}

/* Floats in the order of integers: -0 and 0 are one, a NaN is the least. */
static int64_t float_rank(int32_t bits, int32_t sign) {
  const int32_t magnitude = bits & INT32_MAX;
  if (magnitude > 0x7f800000) return INT64_MIN;
  return (bits < 0 ? -magnitude : magnitude) * sign;
}

/* The better an item, the larger. ~x orders the other way round and cannot overflow. */
static int64_t rank_of(const ert_top_k_any_params *p, const void *x, int32_t i) {
  if (p->dtype == ERT_F32) return float_rank(((const int32_t *)x)[i], p->sign);
  const int64_t value = ert_load_item(x, i, p->dtype);
  return p->sign > 0 ? value : ~value;
}

typedef struct {
  int64_t rank;
  int32_t index;
} candidate;

static int before(const ert_top_k_any_params *p, candidate a, candidate b) {
  if (a.rank != b.rank) return a.rank > b.rank;
  return p->last_first ? a.index > b.index : a.index < b.index;
}

/* The best of those that come after `after`, or of all where its index is -1. */
static candidate next_best(const ert_top_k_any_params *p, const void *x, int32_t first, candidate after) {
  candidate best = {0, -1};
  for (int32_t t = 0; t < p->n; t++) {
    const candidate c = {rank_of(p, x, first + t * p->inner), t};
    if (after.index >= 0 && !before(p, after, c)) continue;
    if (best.index < 0 || before(p, c, best)) best = c;
  }
  return best;
}

static void column(const ert_top_k_any_params *p, const uint8_t *in, int32_t first, uint8_t *out, int32_t to) {
  const int32_t size = ert_item_size(p->dtype);
  candidate found = {0, -1};
  for (int32_t j = 0; j < p->k; j++, to += p->inner) {
    found = next_best(p, in, first, found);
    const int32_t from = first + (found.index < 0 ? 0 : found.index) * p->inner;
    if (p->index_type >= 0) ert_store_item(out, to, p->index_type, found.index);
    else ERT_MEMMOVE(out + to * size, in + from * size, size);
  }
}

void ert_top_k_any_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_top_k_any_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    for (int32_t g = 0; g < p->groups; g++)
      for (int32_t i = 0; i < p->inner; i++)
        column(p, ert_row(&c->in[0], y), g * p->n * p->inner + i, ert_out_row(&c->out, y), g * p->k * p->inner + i);
}
