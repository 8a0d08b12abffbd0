/* SPDX-License-Identifier: Apache-2.0 */
/* How the binary kernels walk two operands that broadcast to the output. */
#ifndef ERT_BINARY_WALK_H
#define ERT_BINARY_WALK_H

#include "binary/binary.h"

/* The last item that an operand reads lies in its row. */
static inline int ert_operand_ok(const int32_t *view, const ert_binary_shape *g, int32_t pixel, int32_t item,
                                 int32_t size) {
  if (pixel < 0 || !ert_within(item, 0, 1)) return 0;
  const int64_t n = (int64_t)(g->w - 1) * pixel + (int64_t)(g->c - 1) * item + 1;
  return n <= INT32_MAX && ert_view_ok(view, (int32_t)n, size);
}

static inline int ert_binary_ok(const ert_step *s, int32_t size) {
  const ert_binary_shape *g = (const void *)s->params;
  return s->n_in == 2 && g->w >= 1 && g->c >= 1 && ert_view_ok(s->out, ert_product(g->w, g->c), size) &&
         ert_operand_ok(s->in, g, g->a_pixel, g->a_item, size) &&
         ert_operand_ok(s->in + ERT_VIEW_WORDS, g, g->b_pixel, g->b_item, size);
}

static inline int ert_is_int8(int32_t x) { return ert_within(x, -128, 127); }

/* One pixel: c items. The parameters begin with the shape. */
typedef void ert_pixel_fn(const ert_binary_shape *g, const void *a, const void *b, void *out);

static inline void ert_walk(const ert_call *c, int32_t y0, int32_t y1, int32_t size, ert_pixel_fn *pixel) {
  const ert_binary_shape *g = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const uint8_t *a = ert_row(&c->in[0], y), *b = ert_row(&c->in[1], y);
    uint8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->w; x++)
      pixel(g, a + x * g->a_pixel * size, b + x * g->b_pixel * size, out + x * g->c * size);
  }
}

/* Whether the items of an operand's row are neighbours. */
static inline int ert_operand_is_run(const ert_binary_shape *g, int32_t pixel, int32_t item) {
  return (g->w == 1 || pixel == g->c) && (g->c == 1 || item == 1);
}

/* Runs of items: the pixels of a row together where both operands have them so. */
#define ERT_WALK_RUNS(name, type)                                                                                 \
  static inline void name(                                                                                        \
      const ert_call *c, int32_t y0, int32_t y1,                                                                  \
      void (*run)(const ert_binary_shape *g, const type *a, const type *b, type *out, int32_t n)) {               \
    const ert_binary_shape *g = (const void *)c->params;                                                          \
    const int whole =                                                                                             \
        g->c > 1 && ert_operand_is_run(g, g->a_pixel, g->a_item) && ert_operand_is_run(g, g->b_pixel, g->b_item); \
    const int32_t runs = whole ? 1 : g->w, n = whole ? g->w * g->c : g->c;                                        \
    for (int32_t y = y0; y < y1; y++) {                                                                           \
      const type *a = ert_row(&c->in[0], y), *b = ert_row(&c->in[1], y);                                          \
      type *out = ert_out_row(&c->out, y);                                                                        \
      for (int32_t x = 0; x < runs; x++, out += n) run(g, a + x * g->a_pixel, b + x * g->b_pixel, out, n);        \
    }                                                                                                             \
  }

#endif
