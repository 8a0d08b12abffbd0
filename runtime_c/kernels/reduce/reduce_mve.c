/* SPDX-License-Identifier: Apache-2.0 */
#include "reduce/reduce.h"
#include "sums_mve.h"

#if ERT_HAS_mve

/* The sum of a lone column. */
static int32_t column_sum(const int8_t *x, int32_t n) {
  int32_t sum = 0;
  for (int32_t i = 0; i < n; i += 16) sum = vaddvaq_s8(sum, vldrbq_z_s8(x + i, vctp8q((uint32_t)(n - i))));
  return sum;
}

/* As ert_requantize, for any shift. */
static int32x4_t rescaled(const ert_reduce_s8_params *p, int32x4_t sums) {
  const int32_t left = p->shift > 0 ? p->shift : 0, right = p->shift < 0 ? p->shift : 0;
  const int32x4_t shifted = vshlq_r_s32(vaddq_n_s32(sums, p->offset), left);
  const int32x4_t high = vqrdmulhq_n_s32(shifted, p->multiplier);
  return vaddq_n_s32(vrshlq_n_s32(vqdmlahq_n_s32(high, high, right < 0), right), p->zero_point);
}

static void finish(const ert_reduce_s8_params *p, const int32_t *acc, int8_t *out) {
  const int divides = p->shape.kind == ERT_REDUCE_DIVIDE;
  const ert_mve_division division = divides ? ert_mve_division_by(p->multiplier) : (ert_mve_division){1, 0, 0};
  for (int32_t i = 0; i < p->shape.inner; i += 4) {
    const mve_pred16_t here = vctp32q((uint32_t)(p->shape.inner - i));
    const int32x4_t sums = vldrwq_z_s32(acc + i, here);
    const int32x4_t x = divides ? ert_mve_divide(&division, sums) : rescaled(p, sums);
    vstrbq_p_s32(out + i, vminq_s32(vmaxq_s32(x, vdupq_n_s32(p->min)), vdupq_n_s32(p->max)), here);
  }
}

static void sum_row(const ert_call *c, const ert_reduce_s8_params *p, int32_t y, int32_t r, int8_t *out) {
  const ert_reduce_shape *g = &p->shape;
  const int8_t *x = ert_row(&c->in[0], y);
  int32_t *acc = c->scratch;
  if (r == 0)
    for (int32_t i = 0; i < g->inner; i += 4) vstrwq_p_s32(acc + i, vdupq_n_s32(0), vctp32q((uint32_t)(g->inner - i)));
  if (g->inner == 1) *acc += column_sum(x, g->width);
  else ert_mve_sum(acc, x, g->inner, g->width, g->inner);
  if (r == g->in_rows - 1) finish(p, acc, out);
}

static void max_row(const ert_reduce_shape *g, const int8_t *x, int32_t r, int8_t *out) {
  for (int32_t o = 0; o < g->inner; o += 16) {
    const mve_pred16_t here = vctp8q((uint32_t)(g->inner - o));
    int8x16_t most = r ? vldrbq_z_s8(out + o, here) : vdupq_n_s8(-128);
    for (int32_t w = 0; w < g->width; w++) most = vmaxq_s8(most, vldrbq_z_s8(x + w * g->inner + o, here));
    vstrbq_p_s8(out + o, most, here);
  }
}

void ert_reduce_s8_x4__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_reduce_s8_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const int32_t row = y / p->shape.in_rows, r = y - row * p->shape.in_rows;
    int8_t *out = ert_out_row(&c->out, row);
    if (p->shape.kind == ERT_REDUCE_MAXIMUM) max_row(&p->shape, ert_row(&c->in[0], y), r, out);
    else sum_row(c, p, y, r, out);
  }
}

#endif
