/* SPDX-License-Identifier: Apache-2.0 */
#include "cumsum/cumsum.h"
#include "items.h"

int ert_cumsum_any_check(const ert_step *s) {
  const ert_cumsum_any_params *p = (const void *)s->params;
  if (s->n_in != 1 || p->groups < 1 || p->n < 1 || p->inner < 1) return 0;
  if (!ert_within(p->exclusive, 0, 1) || !ert_within(p->reverse, 0, 1)) return 0;
  if (!ert_is_integer(p->dtype) && p->dtype != ERT_F32) return 0;
  const int32_t items = ert_product(ert_product(p->groups, p->n), p->inner), size = ert_item_size(p->dtype);
  return ert_view_ok(s->in, items, size) && ert_view_ok(s->out, items, size);
}

/* Position of the t-th item of the walk. */
static int32_t position(const ert_cumsum_any_params *p, int32_t first, int32_t t) {
  return first + (p->reverse ? p->n - 1 - t : t) * p->inner;
}

static void sum_f32(const ert_cumsum_any_params *p, const float *in, float *out, int32_t first) {
  float sum = 0;
  for (int32_t t = 0; t < p->n; t++) {
    const int32_t i = position(p, first, t);
    const float next = sum + in[i];
    out[i] = p->exclusive ? sum : next;
    sum = next;
  }
}

static void sum_integers(const ert_cumsum_any_params *p, const void *in, void *out, int32_t first) {
  uint64_t sum = 0;
  for (int32_t t = 0; t < p->n; t++) {
    const int32_t i = position(p, first, t);
    const uint64_t next = sum + (uint64_t)ert_load_item(in, i, p->dtype);
    ert_store_item(out, i, p->dtype, (int64_t)(p->exclusive ? sum : next));
    sum = next;
  }
}

static int8_t rescaled(const ert_cumsum_any_params *p, uint32_t sum) {
  const int32_t x = ert_requantize((int32_t)sum, p->multiplier, p->shift);
  return (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)p->zero_point), -128, 127);
}

static void sum_s8(const ert_cumsum_any_params *p, const int8_t *in, int8_t *out, int32_t first) {
  const uint32_t zero = (uint32_t)p->in_zero_point;
  uint32_t sum = (0u - zero) << 19;
  for (int32_t t = 0; t < p->n; t++) {
    const int32_t i = position(p, first, t), x = in[i];
    const uint32_t next = sum + (((uint32_t)x - zero) << 19);
    out[i] = rescaled(p, p->exclusive ? sum : next);
    sum = next;
  }
}

static void column(const ert_cumsum_any_params *p, const void *in, void *out, int32_t first) {
  if (p->dtype == ERT_F32) sum_f32(p, in, out, first);
  else if (p->dtype == ERT_S8 && p->multiplier != 0) sum_s8(p, in, out, first);
  else sum_integers(p, in, out, first);
}

void ert_cumsum_any_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_cumsum_any_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    for (int32_t g = 0; g < p->groups; g++)
      for (int32_t i = 0; i < p->inner; i++)
        column(p, ert_row(&c->in[0], y), ert_out_row(&c->out, y), g * p->n * p->inner + i);
}
