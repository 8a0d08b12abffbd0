/* SPDX-License-Identifier: Apache-2.0 */
#include "concat/concat.h"
#include "isa.h"
#include "moves.h"

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

/* `repeats` parts of an input, `pitch` bytes apart in the output; single items are not worth a call each. */
static void spread(const uint8_t *in, uint8_t *out, int32_t repeats, int32_t part, int32_t pitch) {
  if (part == 1)
    for (int32_t r = 0; r < repeats; r++) out[r * pitch] = in[r];
  else if (part == 4)
    for (int32_t r = 0; r < repeats; r++) ERT_MEMMOVE(out + r * pitch, in + r * 4, 4);
  else
    for (int32_t r = 0; r < repeats; r++) ert_move_few(out + r * pitch, in + r * part, part);
}

#if ERT_HAS_VECTORS
/* Items of two inputs in turns, which compilers know how to do with vectors: channels are shuffled so. */
static void zip_bytes(const uint8_t *a, const uint8_t *b, uint8_t *restrict out, int32_t n) {
  for (int32_t i = 0; i < n; i++) out[2 * i] = a[i], out[2 * i + 1] = b[i];
}

static void zip_words(const uint32_t *a, const uint32_t *b, uint32_t *restrict out, int32_t n) {
  for (int32_t i = 0; i < n; i++) out[2 * i] = a[i], out[2 * i + 1] = b[i];
}

/* Whether it was of that kind. */
static int zipped(const ert_call *c, const ert_concat_b1_params *p, int32_t y, uint8_t *out) {
  const int32_t part = p->part[0];
  if (part != p->part[1] || p->part[2] != 0 || (part != 1 && part != 4)) return 0;
  const void *a = ert_row(&c->in[0], y), *b = ert_row(&c->in[1], y);
  if (part == 4 && (((uintptr_t)a | (uintptr_t)b | (uintptr_t)out) & 3) != 0) return 0;
  if (part == 4) zip_words(a, b, (void *)out, p->repeats);
  else zip_bytes(a, b, out, p->repeats);
  return 1;
}
#else
static int zipped(const ert_call *c, const ert_concat_b1_params *p, int32_t y, const uint8_t *out) {
  (void)c, (void)p, (void)y, (void)out;
  return 0;
}
#endif

/* Input i fills its part of every repeat. */
static void interleave(const ert_call *c, const ert_concat_b1_params *p, int32_t y, uint8_t *out) {
  if (zipped(c, p, y, out)) return;
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
