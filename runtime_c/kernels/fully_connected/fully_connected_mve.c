/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "mve.h"

#if ERT_HAS_mve

/* Whether three rows from y on may be computed together. */
static int together(const ert_call *c, int32_t y, int32_t n, ert_mve_run *run) {
  const int32_t bytes = 3 * c->out.row_bytes;
  if (c->out.table || y + 3 > c->out.rows) return 0;
  int apart = 1;
  for (int32_t i = 0; i < 3; i++) {
    run->x[i] = ert_row(&c->in[0], y + i);
    apart &= ert_mve_apart(run->x[i], n, ert_out_row(&c->out, y), bytes);
  }
  return apart;
}

void ert_fully_connected_s8s8_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_lanes_params *p = (const void *)c->params;
  const ert_lanes *f = &p->scales;
  const ert_mve_layer layer = {
      ert_blob(c, p->weights), ert_blob(c, f->scales), p->in_c, p->out_c, f->zero_point, f->min, f->max};
  ert_mve_run runs[2] = {{{NULL, NULL, NULL}, p->in_c}, {{NULL, NULL, NULL}, 0}};
  for (int32_t y = y0; y < y1;) {
    const int32_t n = y1 - y >= 3 && together(c, y, p->in_c, runs) ? 3 : 1;
    runs[0].x[0] = ert_row(&c->in[0], y);
    if (n == 3) ert_mve_three_pixels(&layer, runs, ert_out_row(&c->out, y), c->out.row_bytes);
    else ert_mve_one_pixel(&layer, runs, ert_out_row(&c->out, y));
    y += n;
  }
}

#endif
