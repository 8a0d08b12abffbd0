/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "isa.h"

#if ERT_HAS_dsp

void ert_fully_connected_s8s8_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_pairs_params *p = (const void *)c->params;
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  for (int32_t y = y0; y < y1; y++)
    ert_pairs_one(&scales, ert_blob(c, p->weights), ert_row(&c->in[0], y), p->in_c, p->out_c, ert_out_row(&c->out, y));
}

void ert_fully_connected_s8s4_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s4_quads_params *p = (const void *)c->params;
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  for (int32_t y = y0; y < y1; y++)
    ert_quads_one(&scales, ert_blob(c, p->weights), ert_row(&c->in[0], y), p->in_c, p->out_c, ert_out_row(&c->out, y));
}

void ert_fully_connected_s16s8_1x4__dsp(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s16s8_twos_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    ert_twos_one(c, &p->scales, ert_blob(c, p->weights), ert_row(&c->in[0], y), p->in_c, p->out_c,
                 ert_out_row(&c->out, y));
}

#endif
