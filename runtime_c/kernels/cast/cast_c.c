/* SPDX-License-Identifier: Apache-2.0 */
#include "cast/cast.h"
#include "items.h"

int ert_cast_any_check(const ert_step *s) {
  const ert_cast_any_params *p = (const void *)s->params;
  const int known = (ert_is_integer(p->from) || p->from == ERT_F32) && (ert_is_integer(p->to) || p->to == ERT_F32);
  return known && s->n_in == 1 && ert_view_ok(s->in, p->n, ert_item_size(p->from)) &&
         ert_view_ok(s->out, p->n, ert_item_size(p->to));
}

/* Largest value of an integer dtype. */
static int64_t largest(int32_t dtype) {
  if (dtype == ERT_U8) return UINT8_MAX;
  return (int64_t)(UINT64_MAX >> (65 - 8 * ert_item_size(dtype)));
}

static int64_t truncated(float x, int32_t to) {
  if (to == ERT_BOOL) return x != 0;
  const int64_t most = largest(to), least = to == ERT_U8 ? 0 : -most - 1;
  if (x != x) return 0;
  if (x >= (float)most) return most; /* where most is no float, its float is the next power of two */
  return x <= (float)least ? least : (int64_t)x;
}

static void cast_row(const ert_cast_any_params *p, const void *in, void *out) {
  const float *from = in;
  float *to = out;
  for (int32_t k = 0; k < p->n; k++) {
    if (p->from == ERT_F32 && p->to == ERT_F32) to[k] = from[k];
    else if (p->from == ERT_F32) ert_store_item(out, k, p->to, truncated(from[k], p->to));
    else if (p->to == ERT_F32) to[k] = (float)ert_load_item(in, k, p->from);
    else ert_store_item(out, k, p->to, ert_load_item(in, k, p->from));
  }
}

void ert_cast_any_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  for (int32_t y = y0; y < y1; y++) cast_row((const void *)c->params, ert_row(&c->in[0], y), ert_out_row(&c->out, y));
}
