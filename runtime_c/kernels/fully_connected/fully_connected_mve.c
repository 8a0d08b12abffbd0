/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "mve.h"

#if ERT_HAS_mve

/* Whether three rows from y on may be computed together. */
static int together(const ert_call *c, int32_t y, int32_t bytes, ert_mve_run *run) {
  const int32_t written = 3 * c->out.row_bytes;
  if (c->out.table || y + 3 > c->out.rows) return 0;
  int apart = 1;
  for (int32_t i = 0; i < 3; i++) {
    run->x[i] = ert_row(&c->in[0], y + i);
    apart &= ert_mve_apart(run->x[i], bytes, ert_out_row(&c->out, y), written);
  }
  return apart;
}

typedef void three_fn(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes);
typedef void one_fn(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out);

/* Rows have `bytes` bytes. */
static void connect(const ert_call *c, const ert_mve_layer *l, int32_t bytes, three_fn *three, one_fn *one, int32_t y0,
                    int32_t y1) {
  ert_mve_run runs[2] = {{{NULL, NULL, NULL}, l->n}, {{NULL, NULL, NULL}, 0}};
  for (int32_t y = y0; y < y1;) {
    const int32_t n = y1 - y >= 3 && together(c, y, bytes, runs) ? 3 : 1;
    runs[0].x[0] = ert_row(&c->in[0], y);
    if (n == 3) three(l, runs, ert_out_row(&c->out, y), c->out.row_bytes);
    else one(l, runs, ert_out_row(&c->out, y));
    y += n;
  }
}

void ert_fully_connected_s8s8_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_lanes_params *p = (const void *)c->params;
  const int32_t row_bytes = ert_lanes_s8_bytes(p->in_c);
  const ert_mve_layer layer = ert_mve_layer_of(c, &p->scales, p->weights, p->in_c, row_bytes, p->out_c);
  connect(c, &layer, p->in_c, ert_mve_three_pixels, ert_mve_one_pixel, y0, y1);
}

void ert_fully_connected_s8s4_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s4_lanes_params *p = (const void *)c->params;
  const int32_t row_bytes = ert_lanes_s4_bytes(1, p->in_c);
  const ert_mve_layer layer = ert_mve_layer_of(c, &p->scales, p->weights, p->in_c, row_bytes, p->out_c);
  connect(c, &layer, p->in_c, ert_mve_three_pixels_s4, ert_mve_one_pixel_s4, y0, y1);
}

void ert_fully_connected_s16s8_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s16s8_lanes_params *p = (const void *)c->params;
  const ert_mve_layer layer = ert_mve_layer_s16_of(c, &p->scales, p->weights, p->in_c, p->out_c);
  connect(c, &layer, 2 * p->in_c, ert_mve_three_pixels_s16, ert_mve_one_pixel_s16, y0, y1);
}

#endif
