/* SPDX-License-Identifier: Apache-2.0 */
#include "avg_pool2d/avg_pool2d.h"
#include "sums_mve.h"

#if ERT_HAS_mve

static void window(const ert_call *c, const ert_avg_pool2d_s8_params *p, ert_span rows, ert_span columns, int8_t *out) {
  const int32_t n = p->g.channels, taps = p->g.kernel_h * p->g.kernel_w, width = columns.end - columns.first;
  const int32_t inside = (rows.end - rows.first) * width;
  const int32_t count = p->count_padding ? taps : inside, padding = (count - inside) * p->in_zero_point;
  const ert_mve_division division = ert_mve_division_by(count);
  int32_t *acc = c->scratch;
  for (int32_t i = 0; i < n; i += 4) vstrwq_p_s32(acc + i, vdupq_n_s32(padding), vctp32q((uint32_t)(n - i)));
  for (int32_t iy = rows.first; iy < rows.end; iy++)
    ert_mve_sum(acc, (const int8_t *)ert_row(&c->in[0], iy) + columns.first * n, n, width, n);
  for (int32_t i = 0; i < n; i += 4) {
    const mve_pred16_t here = vctp32q((uint32_t)(n - i));
    const int32x4_t q = ert_mve_divide(&division, vldrwq_z_s32(acc + i, here));
    vstrbq_p_s32(out + i, vminq_s32(vmaxq_s32(q, vdupq_n_s32(p->min)), vdupq_n_s32(p->max)), here);
  }
}

void ert_avg_pool2d_s8_x4__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_avg_pool2d_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.channels)
      window(c, p, ert_pool_rows(&p->g, y), ert_pool_columns(&p->g, x), out);
  }
}

#endif
