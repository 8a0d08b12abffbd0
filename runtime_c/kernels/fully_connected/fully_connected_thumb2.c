/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "isa.h"

#if ERT_HAS_thumb2

void ert_fully_connected_s8s8_2x4__thumb2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_panels_params *p = (const void *)c->params;
  ert_rows_of x = {{NULL, NULL}};
  ert_panel_walk q;
  ert_panels_begin(&q, c, &p->filter, p->out_c, p->in_c, 1, &x);
  for (int32_t y = y0; y < y1; y += 2) {
    const int32_t pixels = y + 1 < y1 ? 2 : 1;
    int8_t *out[2] = {NULL, NULL};
    for (int32_t i = 0; i < pixels; i++) x.of[i] = ert_row(&c->in[0], y + i), out[i] = ert_out_row(&c->out, y + i);
    ert_panels_run(&q, pixels, out);
  }
}

#endif
