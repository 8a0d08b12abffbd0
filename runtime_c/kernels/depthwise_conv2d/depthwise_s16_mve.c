/* SPDX-License-Identifier: Apache-2.0 */
/* int16 items: four channels at a time, four instructions and the addresses for four products. */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "mve.h"

#if ERT_HAS_mve

typedef struct {
  const ert_call *c;
  const ert_depthwise_conv2d_s16s8_lanes_params *p;
  int32_t y, first, n, at; /* the taps of a row that lie inside the image, and the item of the first one's pixel */
} place;

/* acc + x[i * step] * w[i * w_step] for n taps. */
ERT_INLINE int32x4_t add_taps(int32x4_t acc, const int16_t *x, int32_t step, const int8_t *w, int32_t w_step, int32_t n,
                              int32_t left) {
  const mve_pred16_t here = vctp32q((uint32_t)left);
  if (left >= 4)
    for (; n > 0; n--, x += step, w += w_step) acc = vaddq_s32(acc, vmulq_s32(vldrhq_s32(x), vldrbq_s32(w)));
  else
    for (; n > 0; n--, x += step, w += w_step)
      acc = vaddq_s32(acc, vmulq_s32(vldrhq_z_s32(x, here), vldrbq_z_s32(w, here)));
  return acc;
}

/* The sums of the first `left` of four channels from o on. */
static int32x4_t sums(const place *q, int32x4_t acc, int32_t o, int32_t left) {
  const ert_conv2d_geometry *g = &q->p->g;
  const int32_t row_taps = g->kernel_w * g->out_c;
  const int8_t *w = (const int8_t *)ert_blob(q->c, q->p->weights) + q->first * g->out_c + o;
  int32_t iy = q->y * g->stride_h - g->pad_top;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, iy += g->dilation_h, w += row_taps)
    if (iy >= 0 && iy < g->in_h)
      acc = add_taps(acc, (const int16_t *)ert_row(&q->c->in[0], iy) + q->at + o, g->dilation_w * g->in_c, w, g->out_c,
                     q->n, left);
  return acc;
}

static void pixel(const place *q, int16_t *out) {
  const ert_lanes_s16 *s = &q->p->scales;
  const ert_four_lanes *f = ert_blob(q->c, s->scales);
  for (int32_t o = 0; o < q->p->g.out_c; o += 4, f++) {
    const int32_t left = q->p->g.out_c - o;
    const mve_pred16_t here = vctp32q((uint32_t)left);
    const int32x4_t acc = sums(q, vldrwq_s32(f->bias), o, left), multiplier = vldrwq_s32(f->multiplier);
    const int32x4_t y =
        s->wide ? vrmulhq_s32(acc, multiplier) : ert_mve_requantize(acc, multiplier, vldrbq_s32(f->shift));
    vstrhq_p_s32(out + o, vminq_s32(vmaxq_s32(y, vdupq_n_s32(s->min)), vdupq_n_s32(s->max)), here);
  }
}

static void find_columns(place *q, int32_t x) {
  const ert_conv2d_geometry *g = &q->p->g;
  const int32_t ix = x * g->stride_w - g->pad_left, d = g->dilation_w;
  const int32_t end = g->in_w > ix ? (g->in_w - ix + d - 1) / d : 0;
  q->first = ix < 0 ? (d - 1 - ix) / d : 0;
  q->n = (end < g->kernel_w ? end : g->kernel_w) - q->first;
  q->at = (ix + q->first * d) * g->in_c;
}

void ert_depthwise_conv2d_s16s8_4x1__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s16s8_lanes_params *p = (const void *)c->params;
  place q = {c, p, 0, 0, 0, 0};
  for (q.y = y0; q.y < y1; q.y++) {
    int16_t *out = ert_out_row(&c->out, q.y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      find_columns(&q, x);
      pixel(&q, out);
    }
  }
}

#endif
