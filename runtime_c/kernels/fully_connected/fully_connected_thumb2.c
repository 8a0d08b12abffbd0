/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "thumb2.h"

#if ERT_HAS_thumb2

void ert_fully_connected_s8s8_2x4__thumb2(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_panels_params *p = (const void *)c->params;
  ert_rows_of x = {{NULL, NULL}};
  ert_panel_walk q;
  ert_panels_begin(&q, c, &p->filter, p->out_c, p->in_c, 1, &x);
  for (int32_t y = y0; y < y1;) {
    int8_t *out[2] = {ert_out_row(&c->out, y), NULL};
    int32_t pixels = 1;
    x.of[0] = ert_row(&c->in[0], y++);
    if (y < y1 && !ert_lies_on(x.of[0], p->in_c, ert_out_row(&c->out, y), p->out_c))
      x.of[1] = ert_row(&c->in[0], y), out[1] = ert_out_row(&c->out, y++), pixels = 2;
    ert_panels_run(&q, pixels, out);
  }
}

#endif
