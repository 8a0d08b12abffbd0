/* SPDX-License-Identifier: Apache-2.0 */
#include "moves.h"
#include "tiles.h"

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  const ert_tiling *k;
  const ert_tile_args *t;
  int32_t item, fill;
  int32_t from, from_pixel; /* bytes of the first input channel that is read, and from one pixel to the next */
  int32_t to, to_pixel;     /* the same of the output */
  int32_t runs, run;        /* of a window */
  int32_t n, block;         /* pixels that there is room for, and those of most blocks */
  int32_t panel;            /* channels of a panel of a group */
  int32_t line;             /* pixels of a row in a block, where their windows share columns; else 0 */
  int32_t deeper;           /* bytes from a panel's first input to the next one's: depthwise */
  const void **in;          /* [runs][n] */
  void **out;               /* [n] */
  uint8_t *padding;         /* a run; of a depthwise convolution an item of every channel */
  uint8_t *windows;         /* gathered ones, window_bytes from one to the next */
  int32_t window_bytes;
  uint8_t *packed;      /* tiles, where they are packed */
  int32_t packed_bytes; /* of a tile */
} tiled;

static uint8_t *aligned(uint8_t *p) { return p + ((uintptr_t)0 - (uintptr_t)p) % ERT_TILE_ALIGN; }

/* Blocks of `pixels` pixels: whole tiles or groups, and the last block not much smaller than the others. */
static void lay_out(tiled *v, int32_t pixels) {
  v->n = v->k->pixels * ERT_BLOCK_TILES;
  const int32_t most = v->n - v->k->spare, blocks = pixels / most + (pixels % most != 0);
  const int32_t whole = v->k->group ? v->k->group : v->k->pixels;
  v->block = blocks > 0 ? ert_round_up((pixels + blocks - 1) / blocks, whole) : most;
  v->in = v->c->scratch;
  v->out = (void **)(v->in + v->runs * v->n);
  v->padding = aligned((uint8_t *)(v->out + v->n));
}

/* Behind padding and gathered windows of `rest` bytes. */
static void lay_out_packed(tiled *v, int32_t rest) {
  v->packed = aligned(v->padding + rest);
  v->packed_bytes = ert_round_up(v->k->packed * v->k->pixels * v->runs * v->run, ERT_TILE_ALIGN);
}

static int32_t tiles_of(const tiled *v, int32_t pixels) { return (pixels + v->k->pixels - 1) / v->k->pixels; }

/* Inputs of every tile in the order of its micro-kernels; the first pointer of a tile then says where they are. */
static void pack(const tiled *v, int32_t pixels) {
  uint8_t *to = v->packed;
  for (int32_t i = 0, n, left = tiles_of(v, pixels); left > 0; i += n, left--, to += v->packed_bytes) {
    n = (pixels - i + left - 1) / left;
    v->k->pack(to, v->in + i, v->n, n, v->runs, v->run);
    v->in[i] = to;
  }
}

/* All panels for all of `pixels` pixels whose pointers are set. */
static void multiply_whole(const tiled *v, int32_t pixels, int32_t out_c) {
  const ert_tiling *k = v->k;
  const ert_tile_layout *l = &k->layout;
  const ptrdiff_t panel_bytes = (ptrdiff_t)v->runs * v->run * l->nr * l->bits / 8;
  ert_tile_args t = *v->t;
  t.stride = v->n, t.runs = v->runs, t.run = v->run, t.in = v->in, t.out = v->out, t.pixels = pixels;
  t.window = v->runs * v->run;
  t.line = v->line < pixels ? v->line : pixels;
  if (k->pack) {
    k->pack(v->packed, v->in, v->n, pixels, v->runs, v->run);
    v->in[0] = v->packed;
    t.runs = 1, t.run *= v->runs;
    t.spare = v->packed + k->packed * (v->n - k->spare) * t.run;
  }
  for (int32_t o = 0; o < out_c; o += l->nr) {
    t.channels = out_c - o < l->nr ? out_c - o : l->nr;
    t.out_offset = o * l->item;
    k->by_pixels[0](&t);
    t.weights = (const uint8_t *)t.weights + panel_bytes;
    t.scales = (const uint8_t *)t.scales + l->scales * l->nr;
    if (t.factors) t.factors += (ptrdiff_t)t.groups * l->nr;
    t.offset += v->deeper;
  }
}

/* All panels for `pixels` pixels whose pointers are set, in as few tiles as possible, which are about equally large. */
static void multiply(const tiled *v, int32_t pixels, int32_t out_c) {
  const ert_tiling *k = v->k;
  if (k->group) {
    multiply_whole(v, pixels, out_c);
    return;
  }
  const ert_tile_layout *l = &k->layout;
  const ptrdiff_t panel_bytes = (ptrdiff_t)v->runs * v->run * l->nr * l->bits / 8;
  const int32_t tiles = tiles_of(v, pixels), out_bytes = l->nr * l->item;
  void **out = v->out;
  ert_tile_args t = *v->t;
  t.stride = v->n, t.runs = v->runs, t.run = v->run, t.window = v->runs * v->run;
  if (k->pack) {
    pack(v, pixels);
    t.runs = 1, t.run *= v->runs;
  }
  for (int32_t o = 0; o < out_c; o += l->nr) {
    t.channels = out_c - o < l->nr ? out_c - o : l->nr;
    for (int32_t i = 0, n, left = tiles; left > 0; i += n, left--) {
      n = (pixels - i + left - 1) / left;
      t.in = v->in + i, t.out = v->out + i, t.pixels = n;
      if (t.terms) ert_tile_in_parts(&t, k, n);
      else k->by_pixels[n - 1](&t);
    }
    for (int32_t i = 0; i < pixels; i++) out[i] = (uint8_t *)out[i] + out_bytes;
    t.weights = (const uint8_t *)t.weights + panel_bytes;
    t.scales = (const uint8_t *)t.scales + l->scales * l->nr;
    if (t.factors) t.factors += (ptrdiff_t)t.groups * l->nr;
    t.offset += v->deeper;
  }
}

void ert_tile_some(const ert_tile_args *t, ert_tile_fn *whole, const ert_tiling *k, int32_t pixels) {
  uint8_t all[ERT_TILE_PIXELS][ERT_TILE_BYTES];
  void *out[ERT_TILE_PIXELS];
  ert_tile_args a = *t;
  a.out = out, a.channels = k->layout.nr;
  for (int32_t i = 0; i < pixels; i++) out[i] = all[i];
  whole(&a);
  for (int32_t i = 0; i < pixels; i++) ERT_MEMMOVE(t->out[i], out[i], t->channels * k->layout.item);
}

/* Where one tap, or row, of the windows of n pixels lies: `step` bytes from one to the next, padding outside [0, in_w). */
static void point_run(const tiled *v, const void **at, const uint8_t *row, int32_t x, int32_t n) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t step = g->stride_w * v->from_pixel;
  int32_t i = 0;
  for (; i < n && x < 0; i++, x += g->stride_w) at[i] = v->padding;
  const int32_t inside = row && x < g->in_w ? (g->in_w - 1 - x) / g->stride_w + 1 : 0,
                end = i < n - inside ? i + inside : n;
  if (i < end) row += x * v->from_pixel;
  for (; i < end; i++, row += step) at[i] = row;
  for (; i < n; i++) at[i] = v->padding;
}

/* Row ky of the windows of output row y, NULL above and below the image. */
static const uint8_t *row_at(const tiled *v, int32_t y, int32_t ky) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t iy = y * g->stride_h - g->pad_top + ky * g->dilation_h;
  return iy >= 0 && iy < g->in_h ? (const uint8_t *)ert_row(&v->c->in[0], iy) + v->from : NULL;
}

/* Where the runs of the windows of pixels (y, x) ... (y, x + n - 1) lie; slots `at` ... of the block. */
static void point(const tiled *v, int joined, int32_t y, int32_t x, int32_t n, int32_t at) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t x0 = x * g->stride_w - g->pad_left;
  const void **in = v->in + at;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const uint8_t *row = row_at(v, y, ky);
    for (int32_t kx = 0; kx < (joined ? 1 : g->kernel_w); kx++, in += v->n)
      point_run(v, in, row, x0 + kx * g->dilation_w, n);
  }
}

static void fill_few(uint8_t *to, int fill, int32_t n) {
  if (n > 64) {
    ERT_MEMSET(to, fill, n);
  } else if (n >= 8) {
    for (int32_t i = 0; i < n - 8; i += 8) ERT_MEMSET(to + i, fill, 8);
    ERT_MEMSET(to + n - 8, fill, 8);
  } else {
    for (int32_t i = 0; i < n; i++) to[i] = (uint8_t)fill;
  }
}

/* A row of one window: taps outside the image are padding. */
static void gather_row(const tiled *v, uint8_t *to, const uint8_t *row, int32_t ix) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t item = g->in_c * v->item, step = g->dilation_w, pixel = v->from_pixel;
  const int together = step == 1 && pixel == item;
  int32_t kx = 0, end = g->kernel_w;
  while (kx < end && (!row || ix + kx * step < 0)) kx++;
  while (end > kx && ix + (end - 1) * step >= g->in_w) end--;
  fill_few(to, v->fill, kx * item);
  if (kx < end && together) ert_move_few(to + kx * item, row + (ix + kx) * item, (end - kx) * item);
  for (int32_t i = kx; !together && i < end; i++) ert_move_few(to + i * item, row + (ix + i * step) * pixel, item);
  fill_few(to + end * item, v->fill, (g->kernel_w - end) * item);
}

/* A row of n windows inside the image, `step` bytes apart. `most` of them are so far from its right border that whole
 * chunks of 4, 8 or 16 bytes may be copied. */
static void gather_rows(const tiled *v, uint8_t *to, const uint8_t *from, int32_t step, int32_t n, int32_t most) {
  const int32_t span = v->g->kernel_w * v->g->in_c * v->item, bytes = v->window_bytes;
  int32_t i = 0;
  if (span <= 4)
    for (; i < most; i++, to += bytes, from += step) ERT_MEMMOVE(to, from, 4);
  else if (span <= 8)
    for (; i < most; i++, to += bytes, from += step) ERT_MEMMOVE(to, from, 8);
  else if (span <= 16)
    for (; i < most; i++, to += bytes, from += step) ERT_MEMMOVE(to, from, 16);
  for (; i < n; i++, to += bytes, from += step) ert_move_few(to, from, span);
}

/* The windows of n pixels (y, x) ..., to slots `at` ... of the block; none, or one that may, stands over a border. Rows of
 * a window are written in order: a chunk goes over the beginning of the next one's place. */
static void gather(const tiled *v, int32_t y, int32_t x, int32_t n, int32_t at, int inside) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t item = g->in_c * v->item, span = g->kernel_w * item, ix = x * g->stride_w - g->pad_left;
  const int32_t step = g->stride_w * item, chunk = span <= 4 ? 4 : span <= 8 ? 8 : 16;
  const int32_t left = g->in_w * item - ix * item - chunk; /* bytes behind the first chunk in its row */
  const int32_t whole = span > 16 || left < 0 ? 0 : left / step + 1, most = whole < n ? whole : n;
  uint8_t *to = v->windows + at * v->window_bytes;
  for (int32_t r = 0; r < v->runs; r++)
    for (int32_t i = 0; i < n; i++) v->in[r * v->n + at + i] = to + i * v->window_bytes + r * v->run * v->item;
  for (int32_t ky = 0; ky < g->kernel_h; ky++, to += span) {
    const uint8_t *row = row_at(v, y, ky);
    if (row && inside && v->from_pixel == item) gather_rows(v, to, row + ix * item, step, n, most);
    else
      for (int32_t i = 0; i < n; i++) gather_row(v, to + i * v->window_bytes, row, ix + i * g->stride_w);
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

/* How a block of pixels is found: each is gathered, or pointed at, or, where taps are joined, the ones in the middle. */
typedef enum { GATHERED, POINTED, JOINED } ert_tiles_way;

/* Pixels of row y from x on, at most n, of the same kind: all of their windows inside the columns of the image, or one
 * that is not. */
static int32_t alike(const ert_conv2d_geometry *g, int32_t x, int32_t n, int *inside) {
  const int32_t ix = x * g->stride_w - g->pad_left, last = g->in_w - 1 - (g->kernel_w - 1) * g->dilation_w;
  *inside = g->dilation_w == 1 && ix >= 0 && ix <= last;
  if (!*inside) return 1;
  const int32_t found = (last - ix) / g->stride_w + 1;
  return found < n ? found : n;
}

/* n pixels of row y from x on, to slots `at` ... of the block. */
static void find_pixels(const tiled *v, ert_tiles_way way, int32_t y, int32_t x, int32_t n, int32_t at) {
  for (int32_t found; n > 0; n -= found, x += found, at += found) {
    int inside = 1;
    found = way == POINTED ? n : alike(v->g, x, n, &inside);
    if (way == POINTED || (way == JOINED && inside)) point(v, way == JOINED, y, x, found, at);
    else gather(v, y, x, found, at, inside);
  }
}

/* Every pixel of rows [y0, y1): windows are gathered or pointed at, and multiplied when a block of them is full. */
static void convolve_block(tiled *v, ert_tiles_way way, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = v->g;
  const int together = apart(v->c, y1) && v->line <= v->block;
  int32_t held = 0;
  for (int32_t y = y0; y < y1; y++) {
    uint8_t *out = (uint8_t *)ert_out_row(&v->c->out, y) + v->to;
    for (int32_t x = 0, n; x < g->out_w; x += n) {
      n = g->out_w - x < v->block - held ? g->out_w - x : v->block - held;
      find_pixels(v, way, y, x, n, held);
      for (int32_t i = 0; i < n; i++, out += v->to_pixel) v->out[held++] = out;
      if (held < v->block && (x + n < g->out_w || (together && y + 1 < y1))) continue;
      multiply(v, held, g->out_c);
      held = 0;
    }
  }
}

/* Weights and scales of the next group. */
static void next_group(tiled *v, ert_tile_args *t) {
  const ert_tile_layout *l = &v->k->layout;
  const int32_t channels = ert_round_up(v->g->out_c, v->panel);
  t->weights = (const uint8_t *)t->weights + (ptrdiff_t)v->runs * v->run * channels * l->bits / 8;
  t->scales = (const uint8_t *)t->scales + (ptrdiff_t)channels * l->scales;
  v->from += v->g->in_c * v->item, v->to += v->g->out_c * v->item;
}

/* Group by group: row by row where outputs may lie on what later rows have read. */
static void convolve_groups(tiled *v, ert_tiles_way way, int32_t groups, int32_t y0, int32_t y1) {
  const ert_tile_args *first = v->t;
  const int32_t rows = apart(v->c, y1) ? y1 - y0 : 1;
  for (int32_t y = y0; y < y1; y += rows) {
    ert_tile_args t = *first;
    v->t = &t, v->from = v->to = 0;
    convolve_block(v, way, y, y + rows);
    for (int32_t q = 1; q < groups; q++) {
      next_group(v, &t);
      convolve_block(v, way, y, y + rows);
    }
  }
}

/* `t` has weights, scales and limits of the layer; `fill`: the bytes of an item of padding; g is that of one of so many
 * groups, in panels of `panel` channels, 0 for a convolution that has no groups. */
static void convolve(const ert_call *c, const ert_conv2d_geometry *g, int32_t groups, int32_t panel,
                     const ert_tiling *k, const ert_tile_args *t, int fill, int32_t y0, int32_t y1) {
  const int32_t item = k->layout.item, kr = k->layout.kr;
  const int joined = panel == 0 && ert_tiles_joined(g, kr, item), in_place = ert_tiles_in_place(g, kr);
  tiled v = {.c = c, .g = g, .k = k, .t = t, .item = item, .fill = fill, .panel = panel};
  v.from_pixel = groups * g->in_c * item, v.to_pixel = groups * g->out_c * item;
  v.runs = ert_tiles_runs(g, kr, item), v.run = ert_tiles_run(g, kr, item);
  if (in_place && !joined) v.runs = g->kernel_h * g->kernel_w, v.run = g->in_c;
  lay_out(&v, g->out_w * (apart(c, y1) ? y1 - y0 : 1));
  const int32_t run_bytes = ert_round_up(v.run * item, ERT_TILE_ALIGN);
  v.windows = v.padding + run_bytes, v.window_bytes = in_place && !joined ? 0 : ert_tiles_gathered(g, kr, item);
  if (in_place) ERT_MEMSET(v.padding, fill, run_bytes);
  /* What fills up a gathered window has weights of zero, but must not be an infinity. */
  else ERT_MEMSET(v.windows, 0, v.window_bytes * v.n);
  if (k->pack) lay_out_packed(&v, run_bytes + v.window_bytes * v.n);
  convolve_groups(&v, joined ? JOINED : in_place ? POINTED : GATHERED, groups, y0, y1);
}

/* Windows of a row next to each other share their columns: blocks are whole rows then, or parts of one. */
static void keep_lines(tiled *v, int32_t rows) {
  const ert_conv2d_geometry *g = v->g;
  if (!v->k->group || g->kernel_w != g->kernel_h || g->stride_w != 1 || g->dilation_w != 1 || rows < 1) return;
  v->line = g->out_w;
  const int32_t most = v->n / g->out_w, parts = (g->out_w + v->n - 1) / v->n;
  if (most < 1) v->block = (g->out_w + parts - 1) / parts;
  else v->block = (rows + (rows + most - 1) / most - 1) / ((rows + most - 1) / most) * g->out_w;
}

static void convolve_depthwise(const ert_call *c, const ert_conv2d_geometry *g, const ert_tiling *k,
                               const ert_tile_args *t, int fill, int32_t y0, int32_t y1) {
  const int32_t item = k->layout.item;
  tiled v = {.c = c, .g = g, .k = k, .t = t, .item = item, .fill = fill};
  v.runs = g->kernel_h * g->kernel_w, v.run = 1, v.deeper = k->layout.nr * item;
  v.from_pixel = g->in_c * item, v.to_pixel = g->out_c * item;
  const int32_t rows = apart(c, y1) ? y1 - y0 : 1;
  lay_out(&v, g->out_w * rows);
  keep_lines(&v, rows);
  ERT_MEMSET(v.padding, fill, g->in_c * item);
  convolve_block(&v, POINTED, y0, y1);
}

static void connect(const ert_call *c, int32_t in_c, int32_t out_c, const ert_tiling *k, const ert_tile_args *t,
                    int32_t y0, int32_t y1) {
  const int32_t item = k->layout.item, kr = k->layout.kr;
  const int in_place = in_c % kr == 0, joined = apart(c, y1);
  tiled v = {.c = c, .k = k, .t = t, .item = item, .runs = 1, .run = ert_round_up(in_c, kr)};
  lay_out(&v, joined ? y1 - y0 : 1);
  const int32_t window = ert_round_up(v.run * item, ERT_TILE_ALIGN);
  if (k->pack) lay_out_packed(&v, in_place ? 0 : window * v.n);
  if (!in_place) ERT_MEMSET(v.padding, 0, window * v.n);
  int32_t held = 0;
  for (int32_t y = y0; y < y1; y++) {
    v.in[held] = ert_row(&c->in[0], y);
    if (!in_place) {
      ERT_MEMMOVE(v.padding + held * window, v.in[held], in_c * item);
      v.in[held] = v.padding + held * window;
    }
    v.out[held++] = ert_out_row(&c->out, y);
    if (held < v.block && joined && y + 1 < y1) continue;
    multiply(&v, held, out_c);
    held = 0;
  }
}

/* Parameters of int4 and of int16 layers begin as those of int8 and float ones. */
static void set_groups(ert_tile_args *t, const ert_call *c, const ert_tiling *k, const int32_t *behind,
                       int32_t window) {
  if (k->layout.item == 2) t->terms = behind[0];
  if (k->layout.bits != 4 || behind[1] == ERT_NO_BLOB) return;
  t->group = behind[0], t->groups = window / behind[0], t->factors = ert_blob(c, behind[1]);
}

static ert_tile_args window_s8(const ert_call *c) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  ert_tile_args t = {.weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->scales)};
  t.zero_point = p->zero_point, t.min = p->min, t.max = p->max;
  return t;
}

static ert_tile_args conv2d_f32(const ert_call *c, const ert_tiling *k) {
  const ert_conv2d_f32_tiles_params *p = (const void *)c->params;
  ert_tile_args t = {.weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->bias), .low = p->min, .high = p->max};
  set_groups(&t, c, k, (const void *)(p + 1), ert_conv2d_window(&p->g));
  return t;
}

void ert_tiles_conv2d_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  ert_tile_args t = window_s8(c);
  set_groups(&t, c, k, (const void *)(p + 1), ert_conv2d_window(&p->g));
  convolve(c, &p->g, 1, 0, k, &t, p->in_zero_point, y0, y1);
}

void ert_tiles_conv2d_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  const ert_tile_args t = conv2d_f32(c, k);
  convolve(c, (const void *)c->params, 1, 0, k, &t, 0, y0, y1);
}

void ert_tiles_grouped_conv2d_s8(const ert_call *c, const ert_tiling *k, int32_t panel, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  ert_tile_args t = {.weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->scales)};
  t.zero_point = p->zero_point, t.min = p->min, t.max = p->max;
  convolve(c, &p->g, p->groups, panel, k, &t, p->in_zero_point, y0, y1);
}

void ert_tiles_grouped_conv2d_f32(const ert_call *c, const ert_tiling *k, int32_t panel, int32_t y0, int32_t y1) {
  const ert_grouped_conv2d_f32_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = {
      .weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->bias), .low = p->min, .high = p->max};
  convolve(c, &p->g, p->groups, panel, k, &t, 0, y0, y1);
}

void ert_tiles_depthwise_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_tiles_params *p = (const void *)c->params;
  const ert_tile_args t = window_s8(c);
  convolve_depthwise(c, &p->g, k, &t, p->in_zero_point, y0, y1);
}

void ert_tiles_depthwise_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  const ert_tile_args t = conv2d_f32(c, k);
  convolve_depthwise(c, (const void *)c->params, k, &t, 0, y0, y1);
}

void ert_tiles_fully_connected_s8(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_tiles_params *p = (const void *)c->params;
  ert_tile_args t = {.weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->scales)};
  t.zero_point = p->zero_point, t.min = p->min, t.max = p->max;
  set_groups(&t, c, k, (const void *)(p + 1), p->in_c);
  connect(c, p->in_c, p->out_c, k, &t, y0, y1);
}

void ert_tiles_fully_connected_f32(const ert_call *c, const ert_tiling *k, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32_tiles_params *p = (const void *)c->params;
  ert_tile_args t = {.weights = ert_blob(c, p->weights), .scales = ert_blob(c, p->bias), .low = p->min, .high = p->max};
  set_groups(&t, c, k, (const void *)(p + 1), p->in_c);
  connect(c, p->in_c, p->out_c, k, &t, y0, y1);
}
