/* SPDX-License-Identifier: Apache-2.0 */
/* Windows of 1 x 1 convolutions are read where they lie, three pixels at a time. So are those of larger kernels inside
 * the image, a run per kernel row, where a row of the kernel has a multiple of 16 bytes. All others are gathered. */
#include "conv2d/conv2d.h"
#include "mve.h"

#if ERT_HAS_mve

enum {
  MAX_RUNS = 3,
  MAX_ROWS = 10
}; /* kernel rows of windows that are read in place; those found once for an output row */

typedef struct {
  const ert_call *c;
  const ert_conv2d_geometry *g;
  int32_t zero_point, size; /* bytes of an item */
  ert_mve_layer layer;
  void (*three)(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out, int32_t pixel_bytes);
  void (*one)(const ert_mve_layer *l, const ert_mve_run *runs, int8_t *out);
  int32_t pieces;               /* in which a gathered window is read */
  const int8_t *rows[MAX_ROWS]; /* of the input, NULL outside of it */
  ert_mve_run runs[MAX_RUNS + 1];
  int whole; /* all of the kernel's rows are known and inside */
} convolution;

/* The input row under row ky of the kernel. */
static const int8_t *input_row(const convolution *v, int32_t y, int32_t ky) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t iy = y * g->stride_h - g->pad_top + ky * g->dilation_h;
  return iy >= 0 && iy < g->in_h ? ert_row(&v->c->in[0], iy) : NULL;
}

/* Before pixels of row y are gathered. */
static void find_rows(convolution *v, int32_t y) {
  v->whole = v->g->kernel_h <= MAX_ROWS;
  for (int32_t ky = 0; ky < v->g->kernel_h && ky < MAX_ROWS; ky++) {
    v->rows[ky] = input_row(v, y, ky);
    if (!v->rows[ky]) v->whole = 0;
  }
}

/* Row of the image with columns ix0, ix0 + dilation, ..., the zero point where they lie outside. */
static void gather_row(const convolution *v, const int8_t *row, int32_t ix0, int8_t *to) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t n = g->in_c * v->size;
  if (g->dilation_w == 1) {
    const int32_t left = ert_clamp(-ix0, 0, g->kernel_w), end = ert_clamp(g->in_w - ix0, left, g->kernel_w);
    ert_mve_fill(to, v->zero_point, left * n);
    ert_mve_copy(to + left * n, row + (ix0 + left) * n, (end - left) * n);
    ert_mve_fill(to + end * n, v->zero_point, (g->kernel_w - end) * n);
    return;
  }
  for (int32_t kx = 0; kx < g->kernel_w; kx++, ix0 += g->dilation_w, to += n)
    if (ix0 < 0 || ix0 >= g->in_w) ert_mve_fill(to, v->zero_point, n);
    else ert_mve_copy(to, row + ix0 * n, n);
}

/* The same `span` <= 16 bytes of n rows, one after another. */
ERT_INLINE void copy_narrow(const int8_t *const *rows, int32_t n, int32_t first, int32_t span, int8_t *to) {
  const int8_t *from;
  __asm__ volatile(
      "vctp.8 %[span]\n\t"
      "dls lr, %[n]\n"
      "1:\n\t"
      "ldr %[from], [%[rows]], #4\n\t"
      "add %[from], %[from], %[first]\n\t"
      "vpstt\n\t"
      "vldrbt.8 q0, [%[from]]\n\t"
      "vstrbt.8 q0, [%[to]]\n\t"
      "add %[to], %[to], %[span]\n\t"
      "le lr, 1b\n"
      : [from] "=&r"(from), [rows] "+r"(rows), [to] "+r"(to)
      : [n] "r"(n), [first] "r"(first), [span] "r"(span)
      : "lr", "q0", "memory");
}

/* No predicate may live in a register of the caller's: inline assembly sets it. */
__attribute__((noinline)) static void gather(const convolution *v, int32_t y, int32_t x, int8_t *to) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t pixel = g->in_c * v->size, span = g->kernel_w * pixel, ix0 = x * g->stride_w - g->pad_left;
  const int inside = g->dilation_w == 1 && ix0 >= 0 && ix0 + g->kernel_w <= g->in_w;
  if (v->whole && inside && span <= 16) {
    copy_narrow(v->rows, g->kernel_h, ix0 * pixel, span, to);
    return;
  }
  for (int32_t ky = 0; ky < g->kernel_h; ky++, to += span) {
    const int8_t *row = ky < MAX_ROWS ? v->rows[ky] : input_row(v, y, ky);
    if (row && inside) ert_mve_copy(to, row + ix0 * pixel, span);
    else if (row) gather_row(v, row, ix0, to);
    else ert_mve_fill(to, v->zero_point, span);
  }
}

/* n pixels of one run each, `step` bytes from one to the next. */
static void row_of_pixels(convolution *v, const int8_t *x, int32_t step, int32_t n, int8_t *out) {
  const int32_t pixel = v->g->out_c * v->size, span = 2 * step + v->layer.n * v->size;
  ert_mve_run *runs = v->runs;
  runs[0].bytes = v->layer.n, runs[1].bytes = 0;
  while (n > 0) {
    const int32_t taken = n >= 3 && ert_mve_apart(x, span, out, 3 * pixel) ? 3 : 1;
    runs[0].x[0] = x, runs[0].x[1] = x + step, runs[0].x[2] = x + 2 * step;
    if (taken == 3) v->three(&v->layer, runs, out, pixel);
    else v->one(&v->layer, runs, out);
    n -= taken, x += taken * step, out += taken * pixel;
  }
}

static void gathered_pixel(convolution *v, int32_t y, int32_t x, int8_t *out) {
  int8_t *window = v->c->scratch;
  const int32_t n = v->layer.n / v->pieces;
  gather(v, y, x, window);
  for (int32_t i = 0; i < v->pieces; i++) v->runs[i].x[0] = window + i * n * v->size, v->runs[i].bytes = n;
  v->runs[v->pieces].bytes = 0;
  v->one(&v->layer, v->runs, out);
}

/* Output pixels [x, end) of a row, all of whose windows lie inside the image. */
static void inner_pixels(convolution *v, int32_t x, int32_t end, int8_t *out) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t in = g->in_c * v->size, step = g->stride_w * in, pixel = g->out_c * v->size;
  ert_mve_run *runs = v->runs;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int8_t *row = v->rows[ky] + x * step - g->pad_left * in;
    runs[ky] = (ert_mve_run){{row, row + step, row + 2 * step}, g->kernel_w * g->in_c};
  }
  runs[g->kernel_h].bytes = 0;
  while (x < end) {
    const int32_t n = end - x >= 3 ? 3 : 1;
    if (n == 3) v->three(&v->layer, runs, out, pixel);
    else v->one(&v->layer, runs, out);
    for (int32_t ky = 0; ky < g->kernel_h; ky++)
      for (int i = 0; i < 3; i++) runs[ky].x[i] += n * step;
    x += n, out += n * pixel;
  }
}

__attribute__((noinline)) static void row_in_runs(convolution *v, int32_t y, int8_t *out) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t pixel = g->out_c * v->size, iy = y * g->stride_h - g->pad_top,
                room = g->in_w - g->kernel_w + g->pad_left;
  const int inside = iy >= 0 && iy + (g->kernel_h - 1) * g->dilation_h < g->in_h && room >= 0;
  const int32_t last = inside ? ert_clamp(room / g->stride_w + 1, 0, g->out_w) : 0;
  const int32_t first = ert_clamp((g->pad_left + g->stride_w - 1) / g->stride_w, 0, last);
  find_rows(v, y);
  for (int32_t x = 0; x < first; x++) gathered_pixel(v, y, x, out + x * pixel);
  if (last > first) inner_pixels(v, first, last, out + first * pixel);
  for (int32_t x = last; x < g->out_w; x++) gathered_pixel(v, y, x, out + x * pixel);
}

/* Rows that follow one another without a gap are one long row. */
__attribute__((noinline)) static void rows_in_place(convolution *v, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = v->g;
  const ert_view *in = &v->c->in[0];
  const ert_out_view *to = &v->c->out;
  const int32_t step = g->stride_w * g->in_c * v->size;
  const int joined = !in->table && !to->table && y1 <= in->rows && y1 <= to->rows && g->stride_h == 1 &&
                     in->row_bytes == g->out_w * step && to->row_bytes == g->out_w * g->out_c * v->size;
  const int32_t rows = joined ? y1 - y0 : 1;
  for (int32_t y = y0; y < y1; y += rows)
    row_of_pixels(v, ert_row(in, y * g->stride_h), step, rows * g->out_w, ert_out_row(to, y));
}

/* Windows are gathered until there are three, or the output row ends and its next one lies elsewhere. */
__attribute__((noinline)) static void rows_gathered(convolution *v, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = v->g;
  const int32_t n = v->layer.n * v->size, pixel = g->out_c * v->size, slots = ert_conv2d_slots(g);
  const int joined = !v->c->out.table && y1 <= v->c->out.rows && v->c->out.row_bytes == g->out_w * pixel;
  int8_t *windows = v->c->scratch, *first = NULL;
  int32_t held = 0;
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&v->c->out, y);
    find_rows(v, y);
    for (int32_t x = 0; x < g->out_w; x++, out += pixel) {
      if (held == 0) first = out;
      gather(v, y, x, windows + held++ * n);
      if (held < slots && (x + 1 < g->out_w || (joined && y + 1 < y1))) continue;
      row_of_pixels(v, windows, n, held, first);
      held = 0;
    }
  }
}

static void convolve(convolution *v, int32_t y0, int32_t y1) {
  const ert_conv2d_geometry *g = v->g;
  if (ert_conv2d_in_place(g)) {
    rows_in_place(v, y0, y1);
    return;
  }
  if (ert_conv2d_runs(g) < g->kernel_h || g->dilation_w > 1 || g->kernel_w * g->in_c % 16) {
    rows_gathered(v, y0, y1);
    return;
  }
  for (int32_t y = y0; y < y1; y++) row_in_runs(v, y, ert_out_row(&v->c->out, y));
}

static void set(convolution *v, const ert_call *c, int32_t pieces, int32_t row_bytes) {
  const ert_conv2d_s8s8_lanes_params *p = (const void *)c->params;
  v->c = c, v->g = &p->g, v->zero_point = p->in_zero_point, v->size = 1, v->pieces = pieces;
  v->layer = ert_mve_layer_of(c, &p->scales, p->weights, ert_conv2d_window(&p->g), row_bytes, p->g.out_c);
}

void ert_conv2d_s8s8_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s8_lanes_params *p = (const void *)c->params;
  convolution v;
  set(&v, c, 1, ert_lanes_s8_bytes(ert_conv2d_window(&p->g)));
  v.three = ert_mve_three_pixels, v.one = ert_mve_one_pixel;
  convolve(&v, y0, y1);
}

void ert_conv2d_s8s4_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s8s4_lanes_params *p = (const void *)c->params;
  const int32_t runs = ert_conv2d_runs(&p->g);
  convolution v;
  set(&v, c, runs, ert_lanes_s4_bytes(runs, ert_conv2d_window(&p->g) / runs));
  v.three = ert_mve_three_pixels_s4, v.one = ert_mve_one_pixel_s4;
  convolve(&v, y0, y1);
}

void ert_conv2d_s16s8_4x3__mve(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_conv2d_s16s8_lanes_params *p = (const void *)c->params;
  convolution v;
  v.c = c, v.g = &p->g, v.zero_point = 0, v.size = 2, v.pieces = 1;
  v.layer = ert_mve_layer_s16_of(c, &p->scales, p->weights, ert_conv2d_window(&p->g), p->g.out_c);
  v.three = ert_mve_three_pixels_s16, v.one = ert_mve_one_pixel_s16;
  convolve(&v, y0, y1);
}

#endif
