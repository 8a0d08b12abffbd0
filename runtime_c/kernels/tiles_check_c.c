/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the parameters of layers in tiles are safe to run. */
#include "columns.h"
#include "tiles.h"

/* `channels` filled up to whole panels. */
static int32_t filled(int32_t channels, int32_t nr) { return nr * (channels / nr + (channels % nr != 0)); }

/* Items of panels with `taps` x in_c weights a channel; INT32_MAX for too many. */
static int32_t panel_items(int32_t taps, int32_t in_c, int32_t out_c, const ert_tile_layout *t) {
  const int32_t window = ert_product(taps, in_c);
  if (window > INT32_MAX / 1024) return INT32_MAX; /* scratch has some windows, of several bytes an item */
  return ert_product(in_c % t->kr == 0 ? window : ert_round_up(window, t->kr), filled(out_c, t->nr));
}

static int scratch_fits(int32_t runs, int32_t run, int32_t item) {
  const int32_t pixels = ERT_TILE_PIXELS * ERT_BLOCK_TILES;
  return runs < INT32_MAX / 16 / pixels && run < INT32_MAX / 8 / pixels / item;
}

static int geometry_scratch_ok(const ert_conv2d_geometry *g, int32_t size, int32_t kr) {
  const int32_t window = ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c);
  return window < INT32_MAX / 64 && scratch_fits(ert_tiles_runs(g, kr, size), ert_tiles_run(g, kr, size), size) &&
         (!ert_tiles_joined(g, kr, size) || scratch_fits(0, window, size));
}

static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t size, int32_t kr) {
  return ert_conv2d_geometry_ok(s, g, size) && geometry_scratch_ok(g, size, kr);
}

/* A panel's blobs: n weights, scales of all channels. */
static int panels_ok(const ert_step *s, const ert_tile_layout *t, int32_t weights, int32_t n, int32_t scales,
                     int32_t out_c) {
  const int32_t bytes = t->bits == 4 ? n / 2 : n, size = t->bits == 4 ? 1 : t->bits / 8;
  return n < INT32_MAX && ert_blob_ok(s, weights, bytes, size) &&
         ert_blob_ok(s, scales, ert_product(t->scales / 4, filled(out_c, t->nr)), 4);
}

/* `behind`: the words group and factors of an int4 layer, or terms of an int16 one. */
static int groups_ok(const ert_step *s, const ert_tile_layout *t, const int32_t *behind, int32_t window, int32_t in_c,
                     int32_t out_c) {
  if (t->item == 2) return behind[0] >= 0 && behind[0] % t->kr == 0;
  if (t->bits != 4 || behind[1] == ERT_NO_BLOB) return 1;
  const int32_t group = behind[0];
  return ert_within(group, t->kr, in_c) && group % t->kr == 0 && in_c % group == 0 &&
         ert_blob_ok(s, behind[1], ert_product(window / group, filled(out_c, t->nr)), 1);
}

int ert_conv2d_tiles_ok(const ert_step *s, const ert_tile_layout *t) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)s->params;
  const ert_conv2d_f32_tiles_params *f = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t weights = t->item < 4 ? p->weights : f->weights, scales = t->item < 4 ? p->scales : f->bias;
  const void *behind = t->item < 4 ? (const void *)(p + 1) : f + 1;
  return geometry_ok(s, g, t->item, t->kr) &&
         panels_ok(s, t, weights, panel_items(g->kernel_h * g->kernel_w, g->in_c, g->out_c, t), scales, g->out_c) &&
         groups_ok(s, t, behind, ert_conv2d_window(g), g->in_c, g->out_c);
}

/* Views are of all groups. */
static int groups_geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t groups,
                              const ert_tile_layout *t) {
  ert_conv2d_geometry all = *g;
  if (!ert_within(groups, 1, ERT_MAX_CHANNELS) || g->in_c < 1 || g->out_c < 1) return 0;
  all.in_c = ert_product(g->in_c, groups), all.out_c = ert_product(g->out_c, groups);
  return ert_conv2d_geometry_ok(s, &all, t->item) && geometry_scratch_ok(g, t->item, t->kr);
}

int ert_grouped_conv2d_tiles_ok(const ert_step *s, const ert_tile_layout *t) {
  const ert_grouped_conv2d_s8s8_tiles_params *p = (const void *)s->params;
  const ert_grouped_conv2d_f32_tiles_params *f = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t weights = t->item == 1 ? p->weights : f->weights, scales = t->item == 1 ? p->scales : f->bias;
  if (!groups_geometry_ok(s, g, p->groups, t)) return 0;
  const int32_t n = panel_items(g->kernel_h * g->kernel_w, g->in_c, g->out_c, t);
  return panels_ok(s, t, weights, ert_product(n, p->groups), scales, ert_product(filled(g->out_c, t->nr), p->groups));
}

static int depthwise_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t size) {
  return ert_conv2d_geometry_ok(s, g, size) && g->in_c == g->out_c && ert_columns_fit(g) &&
         scratch_fits(ert_product(g->kernel_h, g->kernel_w), g->in_c, size);
}

int ert_depthwise_conv2d_tiles_ok(const ert_step *s, const ert_tile_layout *t) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)s->params;
  const ert_conv2d_f32_tiles_params *f = (const void *)s->params;
  const int32_t weights = t->item < 4 ? p->weights : f->weights, scales = t->item < 4 ? p->scales : f->bias;
  if (!depthwise_ok(s, &p->g, t->item)) return 0;
  const int32_t deep = ert_round_up(p->g.kernel_h, t->kr), channels = filled(p->g.out_c, t->nr);
  return panels_ok(s, t, weights, ert_product(deep * p->g.kernel_w, channels), scales, p->g.out_c);
}

int ert_fully_connected_tiles_ok(const ert_step *s, const ert_tile_layout *t) {
  const ert_fully_connected_s8s8_tiles_params *p = (const void *)s->params;
  const ert_fully_connected_f32_tiles_params *f = (const void *)s->params;
  const void *behind = t->item < 4 ? (const void *)(p + 1) : f + 1;
  const int32_t in_c = p->in_c, out_c = p->out_c;
  return s->n_in == 1 && ert_within(in_c, 1, ERT_MAX_CHANNELS) && ert_within(out_c, 1, ERT_MAX_CHANNELS) &&
         scratch_fits(1, in_c, t->item) && ert_view_ok(s->in, in_c, t->item) && ert_view_ok(s->out, out_c, t->item) &&
         panels_ok(s, t, p->weights, panel_items(1, in_c, out_c, t), p->scales, out_c) &&
         groups_ok(s, t, behind, in_c, in_c, out_c);
}
