/* SPDX-License-Identifier: Apache-2.0 */
#include "tiles.h"

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  const ert_tiling *k;
  const ert_tile_args *t;
  int32_t scale_bytes, fill;
  int32_t runs, run;    /* of a window */
  int32_t n, block;     /* pixels that there is room for, and those of most blocks */
  int32_t deeper;       /* bytes from a panel's first input to the next one's: depthwise */
  const void **in;      /* [runs][n] */
  void **out;           /* [n] */
  uint8_t *rest;        /* gathered windows, or padding */
  uint8_t *packed;      /* tiles, where they are packed */
  int32_t packed_bytes; /* of a tile */
} tiled;

static int32_t panels_of(int32_t out_c, int32_t nr) { return out_c / nr + (out_c % nr != 0); }

static uint8_t *aligned(uint8_t *p) { return p + ((uintptr_t)0 - (uintptr_t)p) % ERT_TILE_ALIGN; }

/* Blocks of `pixels` pixels: whole tiles, and the last block not much smaller than the others. */
static void lay_out(tiled *v, int32_t pixels) {
  v->n = v->k->pixels * ERT_BLOCK_TILES;
  const int32_t blocks = pixels / v->n + (pixels % v->n != 0);
  v->block = blocks > 0 ? ert_round_up((pixels + blocks - 1) / blocks, v->k->pixels) : v->n;
  v->in = v->c->scratch;
  v->out = (void **)(v->in + v->runs * v->n);
  v->rest = aligned((uint8_t *)(v->out + v->n));
}

/* Behind gathered windows of `rest` bytes. */
static void lay_out_packed(tiled *v, int32_t rest) {
  const ert_packed_tiling *p = v->t->packing;
  if (!p) return;
  v->packed = aligned(v->rest + rest);
  v->packed_bytes = ert_round_up(p->bytes * v->k->pixels * v->runs * v->run, ERT_TILE_ALIGN);
}

static int32_t tiles_of(const tiled *v, int32_t pixels) { return (pixels + v->k->pixels - 1) / v->k->pixels; }

/* Inputs of every tile in the order of its micro-kernels; the first pointer of a tile then says where they are. */
static void pack(const tiled *v, int32_t pixels) {
  uint8_t *to = v->packed;
  for (int32_t i = 0, n, left = tiles_of(v, pixels); left > 0; i += n, left--, to += v->packed_bytes) {
    n = (pixels - i + left - 1) / left;
    v->t->packing->pack(to, v->in + i, v->n, n, v->runs, v->run);
    v->in[i] = to;
  }
}

/* All panels for `pixels` pixels whose pointers are set, in as few tiles as possible, which are about equally large. */
static void multiply(const tiled *v, int32_t pixels, int32_t out_c) {
  const ert_tiling *k = v->k;
  const int32_t panel_bytes = v->runs * v->run * k->nr * k->item; /* below the size of the blob */
  const int32_t tiles = tiles_of(v, pixels), out_bytes = k->nr * k->item;
  void **out = v->out;
  ert_tile_args t = *v->t;
  t.stride = v->n, t.runs = v->runs, t.run = v->run;
  if (t.packing && t.packing->pack) {
    pack(v, pixels);
    t.runs = 1, t.run *= v->runs;
  }
  for (int32_t o = 0; o < out_c; o += k->nr) {
    t.channels = out_c - o < k->nr ? out_c - o : k->nr;
    for (int32_t i = 0, n, left = tiles; left > 0; i += n, left--) {
      n = (pixels - i + left - 1) / left;
      t.in = v->in + i, t.out = v->out + i, t.pixels = n;
      k->by_pixels[n - 1](&t);
    }
    for (int32_t i = 0; i < pixels; i++) out[i] = (uint8_t *)out[i] + out_bytes;
    t.weights = (const uint8_t *)t.weights + panel_bytes;
    t.scales = (const uint8_t *)t.scales + v->scale_bytes;
    t.offset += v->deeper;
  }
}

/* Where every tap of the window of pixel (y, x) lies; slot i of the block. */
static void point(const tiled *v, int32_t y, int32_t x, int32_t i) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t item = g->in_c * v->k->item;
  const void **at = v->in + i;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = y * g->stride_h - g->pad_top + ky * g->dilation_h;
    const uint8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&v->c->in[0], iy) : NULL;
    int32_t ix = x * g->stride_w - g->pad_left;
    for (int32_t kx = 0; kx < g->kernel_w; kx++, ix += g->dilation_w, at += v->n)
      *at = row && ix >= 0 && ix < g->in_w ? row + ix * item : v->rest;
  }
}

/* The window of pixel (y, x) in slot i of the block. */
static void gather(const tiled *v, int32_t y, int32_t x, int32_t i) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t item = g->in_c * v->k->item, span = g->kernel_w * item, ix0 = x * g->stride_w - g->pad_left;
  const int inside = g->dilation_w == 1 && ix0 >= 0 && ix0 + g->kernel_w <= g->in_w;
  uint8_t *to = v->rest + i * ert_round_up(v->run * v->k->item, ERT_TILE_ALIGN);
  v->in[i] = to;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = y * g->stride_h - g->pad_top + ky * g->dilation_h;
    const uint8_t *row = iy >= 0 && iy < g->in_h ? ert_row(&v->c->in[0], iy) : NULL;
    if (row && inside) {
      ERT_MEMMOVE(to, row + ix0 * item, span);
      to += span;
      continue;
    }
    for (int32_t kx = 0, ix = ix0; kx < g->kernel_w; kx++, ix += g->dilation_w, to += item)
      if (row && ix >= 0 && ix < g->in_w) ERT_MEMMOVE(to, row + ix * item, item);
      else ERT_MEMSET(to, v->fill, item);
  }
}

/* Whether no output of rows [y0, y1) lies on what the call reads: rows may then be computed together. */
static int apart(const ert_call *c, int32_t y1) {
  const ert_view *in = &c->in[0];
  const ert_out_view *out = &c->out;
  if (in->table || out->table || y1 > out->rows) return 0;
  const uint8_t *a = in->base, *b = out->base;
  return a + in->rows * in->row_bytes <= b || b + out->rows * out->row_bytes <= a;
}

/* Every pixel of rows [y0, y1): windows are gathered or pointed at, and multiplied when a block of them is full. */
static void convolve_block(tiled *v, int gathered, int joined, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = v->g;
  int32_t held = 0;
  for (int32_t y = y0; y < y1; y++) {
    uint8_t *out = ert_out_row(&v->c->out, y);
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c * v->k->item) {
      if (gathered) gather(v, y, x, held);
      else point(v, y, x, held);
      v->out[held++] = out;
      if (held < v->block && (x + 1 < g->out_w || (joined && y + 1 < y1))) continue;
      multiply(v, held, g->out_c);
      held = 0;
    }
  }
}

/* `t` has weights, scales and limits of the layer; `fill`: the bytes of an item of padding. */
static void convolve(const ert_call *c, const ert_conv2d_geometry *g, const ert_tiling *k, const ert_tile_args *t,
                     int32_t scale_bytes, int fill, int32_t y0, int32_t y1) {
  const int in_place = ert_tiles_in_place(g, k->kr), joined = apart(c, y1);
  tiled v = {.c = c, .g = g, .k = k, .t = t, .scale_bytes = scale_bytes, .fill = fill};
  v.runs = ert_tiles_runs(g, k->kr), v.run = ert_tiles_run(g, k->kr);
  lay_out(&v, g->out_w * (joined ? y1 - y0 : 1));
  const int32_t rest = ert_round_up(v.run * k->item, ERT_TILE_ALIGN) * (in_place ? 1 : v.n);
  lay_out_packed(&v, rest);
  /* What fills up a gathered window has weights of zero, but must not be an infinity. */
  ERT_MEMSET(v.rest, in_place ? fill : 0, rest);
  convolve_block(&v, !in_place, joined, y0, y1);
}

static void convolve_depthwise(const ert_call *c, const ert_conv2d_geometry *g, const ert_tiling *k,
                               const ert_tile_args *t, int32_t scale_bytes, int fill, int32_t y0, int32_t y1) {
  tiled v = {.c = c, .g = g, .k = k, .t = t, .scale_bytes = scale_bytes, .fill = fill};
  v.runs = g->kernel_h * g->kernel_w, v.run = 1, v.deeper = k->nr * k->item;
  const int joined = apart(c, y1);
  lay_out(&v, g->out_w * (joined ? y1 - y0 : 1));
  ERT_MEMSET(v.rest, fill, g->in_c * k->item);
  convolve_block(&v, 0, joined, y0, y1);
}

static void connect(const ert_call *c, int32_t in_c, int32_t out_c, const ert_tiling *k, const ert_tile_args *t,
                    int32_t scale_bytes, int32_t y0, int32_t y1) {
  const int in_place = in_c % k->kr == 0, joined = apart(c, y1);
  tiled v = {.c = c, .k = k, .t = t, .scale_bytes = scale_bytes, .runs = 1, .run = ert_round_up(in_c, k->kr)};
  lay_out(&v, joined ? y1 - y0 : 1);
  const int32_t window = ert_round_up(v.run * k->item, ERT_TILE_ALIGN);
  lay_out_packed(&v, in_place ? 0 : window * v.n);
  if (!in_place) ERT_MEMSET(v.rest, 0, window * v.n);
  int32_t held = 0;
  for (int32_t y = y0; y < y1; y++) {
    v.in[held] = ert_row(&c->in[0], y);
    if (!in_place) {
      ERT_MEMMOVE(v.rest + held * window, v.in[held], in_c * k->item);
      v.in[held] = v.rest + held * window;
    }
    v.out[held++] = ert_out_row(&c->out, y);
    if (held < v.block && joined && y + 1 < y1) continue;
    multiply(&v, held, out_c);
    held = 0;
  }
}

static int32_t scale_bytes(const ert_tiling *k, const ert_packed_tiling *packing, int32_t usual) {
  return k->nr * (packing ? packing->scale : usual);
}

static void conv2d_s8(const ert_call *c, const ert_tiling *k, const ert_packed_tiling *packing, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {.weights = ert_blob(c, p->weights),
                           .scales = ert_blob(c, p->scales),
                           .packing = packing,
                           .zero_point = p->zero_point,
                           .min = p->min,
                           .max = p->max};
  convolve(c, &p->g, k, &t, scale_bytes(k, packing, 12), p->in_zero_point, y0, y1);
}

static void conv2d_f32(const ert_call *c, const ert_tiling *k, const ert_packed_tiling *packing, int32_t y0, int32_t y1) {
  const ert_conv2d_f32_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {.weights = ert_blob(c, p->weights),
                           .scales = ert_blob(c, p->bias),
                           .packing = packing,
                           .low = p->min,
                           .high = p->max};
  convolve(c, &p->g, k, &t, scale_bytes(k, packing, 4), 0, y0, y1);
}

static void depthwise_s8(const ert_call *c, const ert_tiling *k, const ert_packed_tiling *packing, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {.weights = ert_blob(c, p->weights),
                           .scales = ert_blob(c, p->scales),
                           .packing = packing,
                           .zero_point = p->zero_point,
                           .min = p->min,
                           .max = p->max};
  convolve_depthwise(c, &p->g, k, &t, scale_bytes(k, packing, 12), p->in_zero_point, y0, y1);
}

static void depthwise_f32(const ert_call *c, const ert_tiling *k, const ert_packed_tiling *packing, int32_t y0, int32_t y1) {
  const ert_conv2d_f32_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {.weights = ert_blob(c, p->weights),
                           .scales = ert_blob(c, p->bias),
                           .packing = packing,
                           .low = p->min,
                           .high = p->max};
  convolve_depthwise(c, &p->g, k, &t, scale_bytes(k, packing, 4), 0, y0, y1);
}

static void fully_connected_s8(const ert_call *c, const ert_tiling *k, const ert_packed_tiling *packing, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {.weights = ert_blob(c, p->weights),
                           .scales = ert_blob(c, p->scales),
                           .packing = packing,
                           .zero_point = p->zero_point,
                           .min = p->min,
                           .max = p->max};
  connect(c, p->in_c, p->out_c, k, &t, scale_bytes(k, packing, 12), y0, y1);
}

static void fully_connected_f32(const ert_call *c, const ert_tiling *k, const ert_packed_tiling *packing, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {.weights = ert_blob(c, p->weights),
                           .scales = ert_blob(c, p->bias),
                           .packing = packing,
                           .low = p->min,
                           .high = p->max};
  connect(c, p->in_c, p->out_c, k, &t, scale_bytes(k, packing, 4), y0, y1);
}

void ert_tiles_conv2d_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  conv2d_s8(c, k, NULL, y0, y1);
}

void ert_packed_tiles_conv2d_s8(const ert_call *c, const ert_packed_tiling *k, int32_t y0, int32_t y1) {
  conv2d_s8(c, &k->tiling, k, y0, y1);
}

void ert_tiles_conv2d_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  conv2d_f32(c, k, NULL, y0, y1);
}

void ert_packed_tiles_conv2d_f32(const ert_call *c, const ert_packed_tiling *k, int32_t y0, int32_t y1) {
  conv2d_f32(c, &k->tiling, k, y0, y1);
}

void ert_tiles_depthwise_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  depthwise_s8(c, k, NULL, y0, y1);
}

void ert_packed_tiles_depthwise_s8(const ert_call *c, const ert_packed_tiling *k, int32_t y0, int32_t y1) {
  depthwise_s8(c, &k->tiling, k, y0, y1);
}

void ert_tiles_depthwise_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  depthwise_f32(c, k, NULL, y0, y1);
}

void ert_tiles_fully_connected_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  fully_connected_s8(c, k, NULL, y0, y1);
}

void ert_packed_tiles_fully_connected_s8(const ert_call *c, const ert_packed_tiling *k, int32_t y0, int32_t y1) {
  fully_connected_s8(c, &k->tiling, k, y0, y1);
}

void ert_tiles_fully_connected_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  fully_connected_f32(c, k, NULL, y0, y1);
}

void ert_packed_tiles_fully_connected_f32(const ert_call *c, const ert_packed_tiling *k, int32_t y0, int32_t y1) {
  fully_connected_f32(c, &k->tiling, k, y0, y1);
}

/* Items of panels with `taps` x in_c weights a channel; INT32_MAX for too many. */
static int32_t panel_items(int32_t taps, int32_t in_c, int32_t out_c, int32_t nr, int32_t kr) {
  const int32_t window = ert_product(taps, in_c);
  if (window > INT32_MAX / 512) return INT32_MAX; /* scratch has some windows, of several bytes an item */
  const int32_t filled = in_c % kr == 0 ? window : ert_round_up(window, kr);
  return ert_product(filled, ert_product(nr, panels_of(out_c, nr)));
}

static int scratch_fits(int32_t runs, int32_t run, int32_t item) {
  const int32_t pixels = ERT_TILE_PIXELS * ERT_BLOCK_TILES;
  return runs < INT32_MAX / 16 / pixels && run < INT32_MAX / 8 / pixels / item;
}

static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t size, int32_t kr) {
  return ert_conv2d_geometry_ok(s, g, size) &&
         ert_product(ert_product(g->kernel_h, g->kernel_w), g->in_c) < INT32_MAX &&
         scratch_fits(ert_tiles_runs(g, kr), ert_tiles_run(g, kr), size);
}

/* 12 bytes of scales a channel for int8, 4 for float. */
static int panels_ok(const ert_step *s, int32_t weights, int32_t n, int32_t size, int32_t scales, int32_t bytes,
                     int32_t channels) {
  return n < INT32_MAX && ert_blob_ok(s, weights, n, size) &&
         ert_blob_ok(s, scales, ert_product(bytes / 4, channels), 4);
}

int ert_tiles_scales_ok(const ert_step *s, int32_t scales, int32_t out_c, int32_t nr, int32_t bytes) {
  return ert_blob_ok(s, scales, ert_product(bytes / 4, nr * panels_of(out_c, nr)), 4);
}

int ert_conv2d_s8s8_tiles_ok(const ert_step *s, int32_t nr, int32_t kr) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  return geometry_ok(s, g, 1, kr) &&
         panels_ok(s, p->weights, panel_items(g->kernel_h * g->kernel_w, g->in_c, g->out_c, nr, kr), 1, p->scales, 12,
                   nr * panels_of(g->out_c, nr));
}

int ert_conv2d_f32_tiles_ok(const ert_step *s, int32_t nr, int32_t kr) {
  const ert_conv2d_f32_tiles_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  return geometry_ok(s, g, 4, kr) &&
         panels_ok(s, p->weights, panel_items(g->kernel_h * g->kernel_w, g->in_c, g->out_c, nr, kr), 4, p->bias, 4,
                   nr * panels_of(g->out_c, nr));
}

static int depthwise_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t size) {
  return ert_conv2d_geometry_ok(s, g, size) && g->in_c == g->out_c &&
         scratch_fits(ert_product(g->kernel_h, g->kernel_w), g->in_c, size);
}

int ert_depthwise_conv2d_s8s8_tiles_ok(const ert_step *s, int32_t nr) {
  const ert_depthwise_conv2d_s8s8_tiles_params *p = (const void *)s->params;
  const int32_t channels = nr * panels_of(p->g.out_c, nr);
  return depthwise_ok(s, &p->g, 1) &&
         panels_ok(s, p->weights, ert_product(p->g.kernel_h * p->g.kernel_w, channels), 1, p->scales, 12, channels);
}

int ert_depthwise_conv2d_f32_tiles_ok(const ert_step *s, int32_t nr) {
  const ert_depthwise_conv2d_f32_tiles_params *p = (const void *)s->params;
  const int32_t channels = nr * panels_of(p->g.out_c, nr);
  return depthwise_ok(s, &p->g, 4) &&
         panels_ok(s, p->weights, ert_product(p->g.kernel_h * p->g.kernel_w, channels), 4, p->bias, 4, channels);
}

static int rows_ok(const ert_step *s, int32_t in_c, int32_t out_c, int32_t size) {
  return s->n_in == 1 && ert_within(in_c, 1, ERT_MAX_CHANNELS) && ert_within(out_c, 1, ERT_MAX_CHANNELS) &&
         scratch_fits(1, in_c, size) && ert_view_ok(s->in, in_c, size) && ert_view_ok(s->out, out_c, size);
}

int ert_fully_connected_s8s8_tiles_ok(const ert_step *s, int32_t nr, int32_t kr) {
  const ert_fully_connected_s8s8_tiles_params *p = (const void *)s->params;
  return rows_ok(s, p->in_c, p->out_c, 1) && panels_ok(s, p->weights, panel_items(1, p->in_c, p->out_c, nr, kr), 1,
                                                       p->scales, 12, nr * panels_of(p->out_c, nr));
}

int ert_fully_connected_f32_tiles_ok(const ert_step *s, int32_t nr, int32_t kr) {
  const ert_fully_connected_f32_tiles_params *p = (const void *)s->params;
  return rows_ok(s, p->in_c, p->out_c, 4) && panels_ok(s, p->weights, panel_items(1, p->in_c, p->out_c, nr, kr), 4,
                                                       p->bias, 4, nr * panels_of(p->out_c, nr));
}
