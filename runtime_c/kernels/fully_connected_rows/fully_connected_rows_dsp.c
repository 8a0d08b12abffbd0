/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected_rows/fully_connected_rows.h"
#include "isa.h"

#if ERT_HAS_dsp

void ert_fully_connected_rows_s8s8_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_rows_s8s8_pairs_params *p = (const void *)c->params;
  const int32_t words = ert_pairs_words(p->in_c, p->out_c);
  const uint32_t *w = ert_blob(c, p->weights);
  if (y0 == 0) ERT_MEMSET(c->scratch, 0, 4 * ERT_PAIRS_BLOCK * ert_pairs_blocks(p->out_c));
  for (int32_t y = y0; y < y1; y++) ert_pairs_add(w + y * words, ert_row(&c->in[0], y), p->in_c, p->out_c, c->scratch);
  if (y1 < p->rows) return;
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  ert_pairs_finish(&scales, c->scratch, p->out_c, ert_out_row(&c->out, 0));
}

#endif
