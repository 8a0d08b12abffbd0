/* SPDX-License-Identifier: Apache-2.0 */
#include "gather/gather.h"

int ert_gather_b1_check(const ert_step *s) {
  const ert_indexed *g = (const void *)s->params;
  return s->n_in == 2 && ert_indexed_ok(g, s->in, s->in + ERT_VIEW_WORDS) && s->rows <= g->loop[0].extent &&
         ert_product(ert_indexed_turns(g), g->block) <= ert_view_room(s->out);
}

void ert_gather_b1_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_indexed *g = (const void *)c->params;
  const uint8_t *in = ert_row(&c->in[0], 0);
  const void *indices = ert_row(&c->in[1], 0);
  for (int32_t y = y0; y < y1; y++) {
    uint8_t *out = ert_out_row(&c->out, y);
    int32_t at[ERT_INDEX_LOOPS] = {y, 0, 0, 0, 0, 0};
    do {
      ERT_MEMMOVE(out, in + ert_indexed_place(g, indices, at), g->block);
      out += g->block;
    } while (ert_indexed_next(g, at));
  }
}
