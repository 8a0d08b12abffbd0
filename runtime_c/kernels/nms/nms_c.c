/* SPDX-License-Identifier: Apache-2.0 */
#include "nms/nms.h"

int ert_nms_f32_check(const ert_step *s) {
  const ert_nms_f32_params *p = (const void *)s->params;
  if (s->n_in != 2 || s->rows != 1 || p->images < 1 || p->classes < 1 || p->boxes < 1 || p->most < 1) return 0;
  const int32_t runs = ert_product(p->images, p->classes), boxes = ert_product(p->images, p->boxes);
  const int64_t results = ((int64_t)ert_product(runs, p->most) + 1) * 3;
  return ert_within(p->center, 0, 1) && results <= INT32_MAX && ert_view_ok(s->in, ert_product(boxes, 4), 4) &&
         ert_view_ok(s->in + ERT_VIEW_WORDS, ert_product(runs, p->boxes), 4) &&
         ert_view_ok(s->out, (int32_t)results, 4);
}

void ert_contest_begin(const ert_contest *c) { ERT_MEMSET(c->open, 1, c->n); }

int32_t ert_contest_next(const ert_contest *c) {
  int32_t best = -1;
  for (int32_t i = 0; i < c->n; i++) {
    const float score = c->scores[i * c->stride];
    if (c->open[i] && score == score && (best < 0 || score > c->scores[best * c->stride])) best = i;
  }
  if (best >= 0) c->open[best] = 0;
  return best;
}

static float lesser(float a, float b) { return a < b ? a : b; }
static float greater(float a, float b) { return a < b ? b : a; }

int ert_overlap(ert_box a, ert_box b, float iou) {
  const float area_a = (a.y1 - a.y0) * (a.x1 - a.x0), area_b = (b.y1 - b.y0) * (b.x1 - b.x0);
  if (!(area_a > 0) || !(area_b > 0)) return 0;
  const float height = lesser(a.y1, b.y1) - greater(a.y0, b.y0), width = lesser(a.x1, b.x1) - greater(a.x0, b.x0);
  const float both = greater(height, 0) * greater(width, 0);
  return both / (area_a + area_b - both) > iou;
}

static ert_box box_of(const float *b, int32_t center) {
  if (center) {
    const float w = b[2] / 2, h = b[3] / 2;
    return (ert_box){b[1] - h, b[0] - w, b[1] + h, b[0] + w};
  }
  return (ert_box){lesser(b[0], b[2]), lesser(b[1], b[3]), greater(b[0], b[2]), greater(b[1], b[3])};
}

static void suppress(const ert_contest *c, const float *boxes, const ert_nms_f32_params *p, int32_t taken) {
  const ert_box box = box_of(boxes + 4 * taken, p->center);
  for (int32_t i = 0; i < c->n; i++)
    if (c->open[i] && ert_overlap(box, box_of(boxes + 4 * i, p->center), p->iou)) c->open[i] = 0;
}

/* One class of one image; rows of results from `out` on. Returns how many. */
static int32_t run_class(const ert_contest *c, const ert_nms_f32_params *p, const float *boxes, int32_t run,
                         int32_t *out) {
  int32_t n = 0;
  ert_contest_begin(c);
  for (; n < p->most; n++) {
    const int32_t i = ert_contest_next(c);
    if (i < 0 || !(c->scores[i] > p->threshold)) break;
    out[3 * n] = run / p->classes;
    out[3 * n + 1] = run % p->classes;
    out[3 * n + 2] = i;
    suppress(c, boxes, p, i);
  }
  return n;
}

void ert_nms_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  if (y0 >= y1) return;
  const ert_nms_f32_params *p = (const void *)c->params;
  const float *boxes = ert_row(&c->in[0], 0), *scores = ert_row(&c->in[1], 0);
  int32_t *out = ert_out_row(&c->out, 0);
  const int32_t runs = p->images * p->classes, results = runs * p->most;
  int32_t n = 0;
  for (int32_t r = 0; r < runs; r++) {
    const ert_contest contest = {scores + r * p->boxes, c->scratch, p->boxes, 1};
    n += run_class(&contest, p, boxes + 4 * p->boxes * (r / p->classes), r, out + 3 * n);
  }
  ERT_MEMSET(out + 3 * n, 0xff, 12 * (results - n));
  out[3 * results] = n;
  out[3 * results + 1] = out[3 * results + 2] = 0;
}
