/* SPDX-License-Identifier: Apache-2.0 */
#include "exp.h"
#include "nms/nms.h"

typedef ert_detect_f32_params params;

int ert_detect_f32_check(const ert_step *s) {
  const params *p = (const void *)s->params;
  /* Scratch is 21 bytes per box, the output 6 floats per detection. */
  if (s->n_in != 3 || s->rows != 1 || !ert_within(p->boxes, 1, 1 << 24) || !ert_within(p->most, 1, 1 << 24)) return 0;
  if (p->depth < 4 || p->classes < 1 || !ert_within(p->columns, p->classes, ERT_MAX_CHANNELS) || p->per_class < 0)
    return 0;
  return ert_view_ok(s->in, ert_product(p->boxes, p->depth), 4) &&
         ert_view_ok(s->in + ERT_VIEW_WORDS, ert_product(p->boxes, p->columns), 4) &&
         ert_view_ok(s->in + 2 * ERT_VIEW_WORDS, 4 * p->boxes, 4) && ert_view_ok(s->out, 6 * p->most + 1, 4);
}

static ert_box decoded(const params *p, const float *code, const float *anchor) {
  const float y = code[0] / p->scale[0] * anchor[2] + anchor[0], x = code[1] / p->scale[1] * anchor[3] + anchor[1];
  const float h = 0.5f * ert_exp(code[2] / p->scale[2]) * anchor[2];
  const float w = 0.5f * ert_exp(code[3] / p->scale[3]) * anchor[3];
  return (ert_box){y - h, x - w, y + h, x + w};
}

/* Scores of the classes of a box. */
static const float *classes_of(const params *p, const float *scores, int32_t box) {
  return scores + box * p->columns + p->columns - p->classes;
}

/* The first of the largest. */
static int32_t best_class(const params *p, const float *scores) {
  int32_t best = 0;
  for (int32_t k = 1; k < p->classes; k++)
    if (scores[k] > scores[best]) best = k;
  return best;
}

/* The output while it fills: parallel arrays of `most` items, the best first. */
typedef struct {
  ert_box *boxes;
  float *classes, *scores;
  int32_t n, most;
} detections;

/* A detection behind those that are not worse; the last drops out where there are too many. */
static void insert(detections *d, ert_box box, int32_t class, float score) {
  int32_t at = d->n;
  while (at > 0 && d->scores[at - 1] < score) at--;
  if (at == d->most) return;
  if (d->n < d->most) d->n++;
  const int32_t behind = d->n - 1 - at;
  ERT_MEMMOVE(d->boxes + at + 1, d->boxes + at, behind * 16);
  ERT_MEMMOVE(d->classes + at + 1, d->classes + at, behind * 4);
  ERT_MEMMOVE(d->scores + at + 1, d->scores + at, behind * 4);
  d->boxes[at] = box;
  d->classes[at] = (float)class;
  d->scores[at] = score;
}

/* Up to `limit` boxes; class -1 stands for the best class of each. */
static void run_class(const params *p, const ert_contest *c, const ert_box *boxes, const float *scores, int32_t class,
                      int32_t limit, detections *found) {
  ert_contest_begin(c);
  for (int32_t n = 0; n < limit; n++) {
    const int32_t i = ert_contest_next(c);
    if (i < 0 || !(c->scores[i * c->stride] >= p->threshold)) return;
    insert(found, boxes[i], class < 0 ? best_class(p, classes_of(p, scores, i)) : class, c->scores[i * c->stride]);
    for (int32_t j = 0; j < p->boxes; j++)
      if (c->open[j] && ert_overlap(boxes[i], boxes[j], p->iou)) c->open[j] = 0;
  }
}

/* Scratch: a box for each anchor, a float, a byte. */
static void contests(const params *p, const float *scores, void *scratch, detections *found) {
  const ert_box *boxes = scratch;
  float *best = (float *)scratch + 4 * p->boxes;
  uint8_t *open = (uint8_t *)scratch + 20 * p->boxes;
  if (p->per_class == 0) {
    for (int32_t i = 0; i < p->boxes; i++) {
      const float *all = classes_of(p, scores, i);
      best[i] = all[best_class(p, all)];
    }
    const ert_contest c = {best, open, p->boxes, 1};
    run_class(p, &c, boxes, scores, -1, p->most, found);
    return;
  }
  for (int32_t k = 0; k < p->classes; k++) {
    const ert_contest c = {classes_of(p, scores, 0) + k, open, p->boxes, p->columns};
    run_class(p, &c, boxes, scores, k, p->per_class, found);
  }
}

void ert_detect_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  if (y0 >= y1) return;
  const params *p = (const void *)c->params;
  const float *codes = ert_row(&c->in[0], 0), *anchors = ert_row(&c->in[2], 0);
  float *out = ert_out_row(&c->out, 0);
  ert_box *boxes = c->scratch;
  for (int32_t i = 0; i < p->boxes; i++) boxes[i] = decoded(p, codes + i * p->depth, anchors + 4 * i);
  detections found = {(void *)out, out + 4 * p->most, out + 5 * p->most, 0, p->most};
  ERT_MEMSET(out, 0, 24 * p->most);
  contests(p, ert_row(&c->in[1], 0), c->scratch, &found);
  out[6 * p->most] = (float)found.n;
}
