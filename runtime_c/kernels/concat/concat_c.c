/* SPDX-License-Identifier: Apache-2.0 */
#include "concat/concat.h"

/* Parts after the inputs are 0. */
static int parts_ok(const ert_step *s, const ert_concat_b1_params *p) {
  for (int32_t i = 0; i < ERT_MAX_INPUTS; i++)
    if (i < s->n_in ? p->part[i] < 1 : p->part[i] != 0) return 0;
  return 1;
}

/* Each input's row and all of them together fit. */
static int rows_fit(const ert_step *s, const ert_concat_b1_params *p) {
  int64_t total = 0;
  for (int32_t i = 0; i < s->n_in; i++) {
    const int32_t bytes = p->by_rows ? s->out[2] : ert_product(p->part[i], p->repeats);
    if (bytes > ert_view_room(s->in + ERT_VIEW_WORDS * i)) return 0;
    total += bytes;
  }
  return p->by_rows ? s->out[3] == 0 : total <= ert_view_room(s->out);
}

int ert_concat_b1_check(const ert_step *s) {
  const ert_concat_b1_params *p = (const void *)s->params;
  return ert_within(s->n_in, 1, ERT_MAX_INPUTS) && ert_within(p->by_rows, 0, 1) && p->repeats >= 1 && parts_ok(s, p) &&
         rows_fit(s, p);
}

static void copy_row(const ert_call *c, const ert_concat_b1_params *p, int32_t y, uint8_t *out) {
  int32_t i = 0;
  while (i < ERT_MAX_INPUTS - 1 && p->part[i + 1] > 0 && y >= p->part[i]) y -= p->part[i++];
  ERT_MEMMOVE(out, ert_row(&c->in[i], y), c->out.row_bytes);
}

/* `repeats` parts of an input, `pitch` bytes apart in the output; single bytes are not worth a call each. */
static void spread(const uint8_t *in, uint8_t *out, int32_t repeats, int32_t part, int32_t pitch) {
  if (part == 1)
    for (int32_t r = 0; r < repeats; r++) out[r * pitch] = in[r];
  else
    for (int32_t r = 0; r < repeats; r++) ERT_MEMMOVE(out + r * pitch, in + r * part, part);
}

/* Input i fills its part of every repeat. */
static void interleave(const ert_call *c, const ert_concat_b1_params *p, int32_t y, uint8_t *out) {
  int32_t pitch = 0;
  for (int32_t i = 0; i < ERT_MAX_INPUTS; i++) pitch += p->part[i];
  for (int32_t i = 0; i < ERT_MAX_INPUTS && p->part[i] > 0; out += p->part[i++])
    spread(ert_row(&c->in[i], y), out, p->repeats, p->part[i], pitch);
}

void ert_concat_b1_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_concat_b1_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    if (p->by_rows) copy_row(c, p, y, ert_out_row(&c->out, y));
    else interleave(c, p, y, ert_out_row(&c->out, y));
  }
}
