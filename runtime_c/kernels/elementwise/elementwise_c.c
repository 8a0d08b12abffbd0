/* SPDX-License-Identifier: Apache-2.0 */
#include "elementwise/elementwise.h"
#include "items.h"

typedef ert_elementwise_any_params params;

static int32_t operand_size(const params *p, int32_t i) {
  return p->kind == ERT_SELECT && i == 0 ? 1 : ert_item_size(p->dtype);
}

/* The last item that operand i reads lies in its row. */
static int operand_ok(const ert_step *s, const params *p, int32_t i) {
  if (p->pixel[i] < 0 || !ert_within(p->item[i], 0, 1)) return 0;
  const int64_t n = (int64_t)(p->w - 1) * p->pixel[i] + (int64_t)(p->c - 1) * p->item[i] + 1;
  return n <= INT32_MAX && ert_view_ok(s->in + ERT_VIEW_WORDS * i, (int32_t)n, operand_size(p, i));
}

int ert_elementwise_any_check(const ert_step *s) {
  const params *p = (const void *)s->params;
  if (!ert_within(p->kind, ERT_EQUAL, ERT_SELECT) || p->w < 1 || p->c < 1) return 0;
  const int compares = p->kind <= ERT_LESS_EQUAL;
  if (!ert_is_integer(p->dtype) && p->dtype != ERT_F32) return 0;
  if (p->dtype == ERT_F32 && !compares && p->kind != ERT_SELECT) return 0;
  if (s->n_in != (p->kind == ERT_SELECT ? 3 : 2)) return 0;
  for (int32_t i = 0; i < s->n_in; i++)
    if (!operand_ok(s, p, i)) return 0;
  return ert_view_ok(s->out, ert_product(p->w, p->c), compares ? 1 : ert_item_size(p->dtype));
}

static int64_t shifted(const params *p, int64_t a, int64_t b) {
  const int32_t most = 8 * ert_item_size(p->dtype) - 1;
  const int32_t n = b < 0 ? 0 : b > most ? most : (int32_t)b;
  return p->kind == ERT_SHIFT_RIGHT ? a >> n : (int64_t)((uint64_t)a << n);
}

static int64_t combined(const params *p, int64_t a, int64_t b) {
  switch (p->kind) {
    case ERT_EQUAL:
      return a == b;
    case ERT_NOT_EQUAL:
      return a != b;
    case ERT_LESS:
      return a < b;
    case ERT_LESS_EQUAL:
      return a <= b;
    case ERT_AND:
      return a & b;
    case ERT_OR:
      return a | b;
    case ERT_XOR:
      return a ^ b;
    default:
      return shifted(p, a, b);
  }
}

static int64_t scaled(const ert_operand_scale *s, int64_t x) {
  if (s->multiplier == 0) return x;
  return ert_requantize((int32_t)(((uint32_t)x - (uint32_t)s->zero_point) << 8), s->multiplier, s->shift);
}

static void integers(const params *p, const void *a, const void *b, void *out) {
  const int32_t to = p->kind <= ERT_LESS_EQUAL ? ERT_BOOL : p->dtype;
  for (int32_t k = 0; k < p->c; k++) {
    const int64_t x = scaled(&p->a, ert_load_item(a, k * p->item[0], p->dtype));
    const int64_t y = scaled(&p->b, ert_load_item(b, k * p->item[1], p->dtype));
    ert_store_item(out, k, to, combined(p, x, y));
  }
}

static int holds(int32_t kind, float a, float b) {
  if (kind == ERT_EQUAL) return a == b;
  if (kind == ERT_NOT_EQUAL) return a != b;
  return kind == ERT_LESS ? a < b : a <= b;
}

static void floats(const params *p, const float *a, const float *b, uint8_t *out) {
  for (int32_t k = 0; k < p->c; k++) out[k] = (uint8_t)holds(p->kind, a[k * p->item[0]], b[k * p->item[1]]);
}

static void chosen(const params *p, const uint8_t *which, const uint8_t *a, const uint8_t *b, uint8_t *out) {
  const int32_t size = ert_item_size(p->dtype);
  for (int32_t k = 0; k < p->c; k++, out += size) {
    const uint8_t *from = which[k * p->item[0]] ? a + k * p->item[1] * size : b + k * p->item[2] * size;
    ERT_MEMMOVE(out, from, size);
  }
}

static void pixel_of(const params *p, const uint8_t *const in[3], uint8_t *out) {
  if (p->kind == ERT_SELECT) chosen(p, in[0], in[1], in[2], out);
  else if (p->dtype == ERT_F32) floats(p, (const void *)in[0], (const void *)in[1], out);
  else integers(p, in[0], in[1], out);
}

void ert_elementwise_any_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const params *p = (const void *)c->params;
  const int32_t n_in = p->kind == ERT_SELECT ? 3 : 2;
  const int32_t out_step = p->c * (p->kind <= ERT_LESS_EQUAL ? 1 : ert_item_size(p->dtype));
  for (int32_t y = y0; y < y1; y++) {
    uint8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->w; x++, out += out_step) {
      const uint8_t *in[3] = {NULL, NULL, NULL};
      for (int32_t i = 0; i < n_in; i++)
        in[i] = (const uint8_t *)ert_row(&c->in[i], y) + x * p->pixel[i] * operand_size(p, i);
      pixel_of(p, in, out);
    }
  }
}
