/* SPDX-License-Identifier: Apache-2.0 */
#include "lut/lut.h"
#include "lookup.h"

int ert_lut_s8_check(const ert_step *s) {
  const ert_lut_s8_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_view_ok(s->in, p->n, 1) && ert_view_ok(s->out, p->n, 1) &&
         ert_blob_ok(s, p->table, 256, 1);
}

void ert_lut_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_lut_s8_params *p = (const void *)c->params;
  const int8_t *middle = (const int8_t *)ert_blob(c, p->table) + 128;
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    for (const int8_t *end = in + p->n; in < end;) *out++ = middle[*in++];
  }
}

int ert_lut_s16_check(const ert_step *s) {
  const ert_lut_s16_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_view_ok(s->in, p->n, 2) && ert_view_ok(s->out, p->n, 2) &&
         ert_blob_ok(s, p->table, ERT_LOOKUP_ITEMS, 2);
}

void ert_lut_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_lut_s16_params *p = (const void *)c->params;
  const int16_t *table = ert_blob(c, p->table);
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *in = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = ert_lookup(table, in[k]);
  }
}
