/* SPDX-License-Identifier: Apache-2.0 */
/* Non-maximum suppression. Of the boxes not yet taken or suppressed, the one with the best score is taken (the first of
 * equals), while its score is above the threshold (detect: at least that); every box whose intersection over union with
 * it is above `iou` is suppressed. Boxes of no area suppress nothing. Arithmetic is in float32.
 *
 * nms     in: boxes [images, boxes, 4], two opposite corners (center 1: middle and size), scores [images, classes,
 *         boxes]; for each image and class up to `most` boxes. out: int32 [images * classes * most + 1, 3], rows of
 *         (image, class, box), -1 where there are no more; the last row is their count and two zeros.
 * detect  in: encodings [boxes, depth], scores [boxes, columns], anchors [boxes, 4], the last two numbers of a box being
 *         its size: middle = encoding / scale * size of the anchor + middle of the anchor, size = e^(encoding / scale) *
 *         size of the anchor. Class c is column c + columns - classes. per_class 0: each box competes with its best
 *         class; else up to per_class boxes of every class do. out: `most` boxes (corners), their classes, their scores,
 *         best first, then the count; zeros where there are no more. */
#ifndef ERT_NMS_H
#define ERT_NMS_H

#include "kernel.h"

typedef struct {
  int32_t images, classes, boxes, most, center;
  float threshold, iou;
} ert_nms_f32_params;

typedef struct {
  int32_t boxes, depth, columns, classes, most, per_class;
  float threshold, iou;
  float scale[4];
} ert_detect_f32_params;

int ert_nms_f32_check(const ert_step *s);
int ert_detect_f32_check(const ert_step *s);

typedef struct {
  float y0, x0, y1, x1;
} ert_box;

/* One run over one class: `open` has a byte per box, scores lie `stride` floats apart. */
typedef struct {
  const float *scores;
  uint8_t *open;
  int32_t n, stride;
} ert_contest;

/* All boxes take part again. */
void ert_contest_begin(const ert_contest *c);

/* The best box that is open, which is closed; -1 where none is. A NaN never wins. */
int32_t ert_contest_next(const ert_contest *c);

/* Whether a and b overlap by more than `iou`. */
int ert_overlap(ert_box a, ert_box b, float iou);

#endif
