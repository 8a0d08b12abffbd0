/* SPDX-License-Identifier: Apache-2.0 */
/* Sixteen channels at a time, the maximum in a register over the whole window. */
#include "max_pool2d/max_pool2d.h"
#include "mve.h"

#if ERT_HAS_mve

static void window(const ert_call *c, const ert_max_pool2d_s8_params *p, ert_span rows, ert_span columns, int8_t *out) {
  const int32_t n = p->g.channels, width = columns.end - columns.first;
  const int8x16_t min = vdupq_n_s8((int8_t)p->min), max = vdupq_n_s8((int8_t)p->max);
  for (int32_t o = 0; o < n; o += 16) {
    const mve_pred16_t here = vctp8q((uint32_t)(n - o));
    int8x16_t most = vdupq_n_s8(-128);
    for (int32_t iy = rows.first; iy < rows.end; iy++) {
      const int8_t *x = (const int8_t *)ert_row(&c->in[0], iy) + columns.first * n + o;
      if (n - o >= 16)
        for (int32_t i = 0; i < width; i++, x += n) most = vmaxq_s8(most, vldrbq_s8(x));
      else
        for (int32_t i = 0; i < width; i++, x += n) most = vmaxq_s8(most, vldrbq_z_s8(x, here));
    }
    vstrbq_p_s8(out + o, vminq_s8(vmaxq_s8(most, min), max), here);
  }
}

void ert_max_pool2d_s8_x16__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_max_pool2d_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels)
      window(c, p, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
  }
}

#endif
