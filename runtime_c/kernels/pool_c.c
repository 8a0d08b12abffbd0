/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

/* The first and the last of n windows meet [0, extent), and so does each one between them. */
static int windows_ok(int32_t extent, int32_t kernel, int32_t stride, int32_t pad, int32_t n) {
  return ert_within(extent, 1, ERT_MAX_EXTENT) && ert_within(kernel, 1, ERT_MAX_EXTENT) &&
         ert_within(stride, 1, ERT_MAX_EXTENT) && ert_within(n, 1, ERT_MAX_EXTENT) && ert_within(pad, 0, kernel - 1) &&
         (n - 1) * stride - pad < extent;
}

int ert_pool_ok(const ert_step *s, const ert_pool_geometry *g, int32_t size) {
  return s->n_in == 1 && windows_ok(g->in_h, g->kernel_h, g->stride_h, g->pad_top, s->rows) &&
         windows_ok(g->in_w, g->kernel_w, g->stride_w, g->pad_left, g->out_w) &&
         ert_within(g->channels, 1, ERT_MAX_CHANNELS) && ert_view_ok(s->in, ert_product(g->in_w, g->channels), size) &&
         ert_view_ok(s->out, ert_product(g->out_w, g->channels), size);
}
