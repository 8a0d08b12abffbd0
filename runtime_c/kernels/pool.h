/* SPDX-License-Identifier: Apache-2.0 */
/* The sliding window of avg_pool2d and max_pool2d. Output pixel (y, x) reads the pixels of
 * rows y * stride_h - pad_top + [0, kernel_h) and columns x * stride_w - pad_left + [0, kernel_w)
 * that lie inside the image; every window has at least one. */
#ifndef ERT_POOL_H
#define ERT_POOL_H

#include "kernel.h"

typedef struct {
  int32_t in_h, in_w, channels, out_w;
  int32_t kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
} ert_pool_geometry;

/* The part of a window that lies in the image: [first, end) of rows or columns. */
typedef struct {
  int32_t first, end;
} ert_span;

int ert_pool_ok(const ert_step *s, const ert_pool_geometry *g, int32_t size);

static inline ert_span ert_pool_span(int32_t first, int32_t kernel, int32_t extent) {
  const ert_span span = {first < 0 ? 0 : first, first + kernel < extent ? first + kernel : extent};
  return span;
}

static inline ert_span ert_pool_rows(const ert_pool_geometry *g, int32_t y) {
  return ert_pool_span(y * g->stride_h - g->pad_top, g->kernel_h, g->in_h);
}

static inline ert_span ert_pool_columns(const ert_pool_geometry *g, int32_t x) {
  return ert_pool_span(x * g->stride_w - g->pad_left, g->kernel_w, g->in_w);
}

#endif
