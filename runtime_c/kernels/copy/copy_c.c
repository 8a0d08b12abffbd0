/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/copy.h"
#include "moves.h"

static int32_t copied(const ert_copy_axis *a) { return a->high - a->low; }

static int axis_ok(const ert_copy_axis *a, int32_t size) {
  return a->low >= 0 && a->low <= a->high && a->high <= a->extent && a->extent >= 1 && a->stride % size == 0;
}

/* Adds the way that an axis goes to the lowest or the highest byte that is read. */
static void reach(const ert_copy_axis *a, int64_t *lowest, int64_t *end) {
  const int64_t way = copied(a) > 0 ? (int64_t)(copied(a) - 1) * a->stride : 0;
  if (way < 0) *lowest += way;
  else *end += way;
}

static int rows_ok(const ert_copy_b1_params *p) {
  const int64_t last = p->row_start + (int64_t)copied(p->axis) * p->row_step;
  return p->row_start >= 0 && last >= (p->row_step < 0 ? p->row_step : 0) && last <= INT32_MAX;
}

static int copy_ok(const ert_step *s, int32_t size) {
  const ert_copy_b1_params *p = (const void *)s->params;
  if (s->n_in != 1 || p->start % size != 0) return 0;
  int64_t lowest = p->start, end = (int64_t)p->start + size;
  for (int d = 0; d < 5; d++) {
    if (!axis_ok(&p->axis[d], size)) return 0;
    reach(&p->axis[d], &lowest, &end);
    if (lowest < 0 || end > INT32_MAX) return 0;
  }
  const int32_t items = ert_product(ert_product(p->axis[2].extent, p->axis[3].extent), p->axis[4].extent);
  return rows_ok(p) && ert_view_ok(s->in, (int32_t)(end / size), size) && ert_view_ok(s->out, items, size);
}

int ert_copy_b1_check(const ert_step *s) { return copy_ok(s, 1); }
int ert_copy_b2_check(const ert_step *s) { return copy_ok(s, 2); }
int ert_copy_b4_check(const ert_step *s) { return copy_ok(s, 4); }
int ert_copy_b8_check(const ert_step *s) { return copy_ok(s, 8); }

static void fill_row(uint8_t *out, int32_t n, int32_t fill, int32_t size) {
  if (size == 1) {
    ERT_MEMSET(out, fill & 0xff, n);
    return;
  }
  for (int32_t k = 0; k < n; k++) {
    if (size == 2) ((int16_t *)(void *)out)[k] = (int16_t)fill;
    else if (size == 4) ((int32_t *)(void *)out)[k] = fill;
    else ((int64_t *)(void *)out)[k] = fill;
  }
}

/* n items of `size` bytes, `stride` bytes apart in the input. */
static void copy_run(const uint8_t *in, uint8_t *out, int32_t n, int32_t stride, int32_t size) {
  if (stride == size) {
    ert_move_few(out, in, n * size);
  } else if (size == 1) {
    for (int32_t k = 0; k < n; k++) out[k] = in[k * stride];
  } else if (size == 2) {
    const int16_t *from = (const void *)in;
    int16_t *to = (void *)out;
    for (int32_t k = 0; k < n; k++) to[k] = from[k * (stride / 2)];
  } else if (size == 4) {
    const int32_t *from = (const void *)in;
    int32_t *to = (void *)out;
    for (int32_t k = 0; k < n; k++) to[k] = from[k * (stride / 4)];
  } else {
    for (int32_t k = 0; k < n; k++) ERT_MEMMOVE(out + k * size, in + k * stride, size);
  }
}

/* The items of axes 2 to 4 that come from the input. */
static void copy_block(const ert_copy_axis *a, const uint8_t *in, uint8_t *out, int32_t size) {
  const int32_t row = a[2].extent * size, plane = a[1].extent * row;
  out += a[0].low * plane + a[1].low * row + a[2].low * size;
  for (int32_t j = 0; j < copied(&a[0]); j++)
    for (int32_t k = 0; k < copied(&a[1]); k++)
      copy_run(in + j * a[0].stride + k * a[1].stride, out + j * plane + k * row, copied(&a[2]), a[2].stride, size);
}

static int has_fill(const ert_copy_axis *a) {
  for (int d = 0; d < 5; d++)
    if (copied(&a[d]) < a[d].extent) return 1;
  return 0;
}

static void copy_rows(const ert_call *c, int32_t y0, int32_t y1, int32_t size) {
  const ert_copy_b1_params *p = (const void *)c->params;
  const ert_copy_axis *a = p->axis;
  const int padded = has_fill(a);
  const int32_t items = a[2].extent * a[3].extent * a[4].extent;
  for (int32_t y = y0; y < y1; y++) {
    uint8_t *out = ert_out_row(&c->out, y);
    const int32_t i0 = y / a[1].extent, i1 = y - i0 * a[1].extent;
    if (padded) fill_row(out, items, p->fill, size);
    if (i0 < a[0].low || i0 >= a[0].high || i1 < a[1].low || i1 >= a[1].high) continue;
    const int32_t j0 = i0 - a[0].low, j1 = i1 - a[1].low;
    const uint8_t *in = ert_row(&c->in[0], p->row_start + j0 * p->row_step);
    copy_block(a + 2, in + p->start + j0 * a[0].stride + j1 * a[1].stride, out, size);
  }
}

void ert_copy_b1_x1__c(const ert_call *c, int32_t y0, int32_t y1) { copy_rows(c, y0, y1, 1); }
void ert_copy_b2_x1__c(const ert_call *c, int32_t y0, int32_t y1) { copy_rows(c, y0, y1, 2); }
void ert_copy_b4_x1__c(const ert_call *c, int32_t y0, int32_t y1) { copy_rows(c, y0, y1, 4); }
void ert_copy_b8_x1__c(const ert_call *c, int32_t y0, int32_t y1) { copy_rows(c, y0, y1, 8); }
