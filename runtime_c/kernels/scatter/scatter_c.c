/* SPDX-License-Identifier: Apache-2.0 */
#include "scatter/scatter.h"
#include "items.h"

/* Places are multiples of the item's size where all strides are. */
static int strides_ok(const ert_indexed *g, int32_t size) {
  int32_t bits = g->block;
  for (int32_t i = 0; i < ERT_INDEX_LOOPS; i++) bits |= g->loop[i].data;
  for (int32_t m = 0; m < g->parts; m++) bits |= g->part[m].stride;
  return (bits & (size - 1)) == 0;
}

int ert_scatter_any_check(const ert_step *s) {
  const ert_scatter_any_params *p = (const void *)s->params;
  const ert_indexed *g = &p->shape;
  if (s->n_in != 3 || s->rows != 1 || !ert_within(p->kind, ERT_SCATTER_NONE, ERT_SCATTER_MAXIMUM)) return 0;
  if (!ert_is_integer(p->item_type) && p->item_type != ERT_F32) return 0;
  const int32_t size = ert_item_size(p->item_type);
  if (!ert_indexed_ok(g, s->out, s->in + ERT_VIEW_WORDS) || !strides_ok(g, size)) return 0;
  if (s->out[3] != 0 || s->out[2] > ert_view_room(s->in)) return 0;
  const int32_t updates = ert_product(ert_product(ert_indexed_turns(g), g->loop[0].extent), g->block / size);
  return ert_view_ok(s->out, 1, size) && ert_view_ok(s->in + 2 * ERT_VIEW_WORDS, updates, size);
}

static int64_t combined(int32_t kind, int64_t a, int64_t b) {
  if (kind == ERT_SCATTER_ADD) return (int64_t)((uint64_t)a + (uint64_t)b);
  if (kind == ERT_SCATTER_MULTIPLY) return (int64_t)((uint64_t)a * (uint64_t)b);
  return (kind == ERT_SCATTER_MINIMUM) == (a < b) ? a : b;
}

static float combined_f32(int32_t kind, float a, float b) {
  if (kind == ERT_SCATTER_ADD) return a + b;
  if (kind == ERT_SCATTER_MULTIPLY) return a * b;
  if (a != a || b != b) return a + b;
  return (kind == ERT_SCATTER_MINIMUM) == (a < b) ? a : b;
}

static void update(const ert_scatter_any_params *p, uint8_t *out, const uint8_t *in) {
  const int32_t n = p->shape.block / ert_item_size(p->item_type), dtype = p->item_type;
  float *to = (void *)out;
  const float *from = (const void *)in;
  for (int32_t k = 0; k < n; k++) {
    if (dtype == ERT_F32) to[k] = combined_f32(p->kind, to[k], from[k]);
    else ert_store_item(out, k, dtype, combined(p->kind, ert_load_item(out, k, dtype), ert_load_item(in, k, dtype)));
  }
}

/* Loop 0 is walked as the others are. */
static void scatter_all(const ert_call *c, const ert_scatter_any_params *p, uint8_t *out) {
  const ert_indexed *g = &p->shape;
  const uint8_t *updates = ert_row(&c->in[2], 0);
  const void *indices = ert_row(&c->in[1], 0);
  for (int32_t y = 0; y < g->loop[0].extent; y++) {
    int32_t at[ERT_INDEX_LOOPS] = {y, 0, 0, 0, 0, 0};
    do {
      uint8_t *place = out + ert_indexed_place(g, indices, at);
      if (p->kind == ERT_SCATTER_NONE) ERT_MEMMOVE(place, updates, g->block);
      else update(p, place, updates);
      updates += g->block;
    } while (ert_indexed_next(g, at));
  }
}

void ert_scatter_any_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  if (y0 >= y1) return;
  uint8_t *out = ert_out_row(&c->out, 0);
  ERT_MEMMOVE(out, ert_row(&c->in[0], 0), c->out.row_bytes);
  scatter_all(c, (const void *)c->params, out);
}
