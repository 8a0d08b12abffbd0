/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel gets, and the checks that make it safe to run on any loaded file.
 *
 * A kernel computes output rows [y0, y1) of one step. It reads an input through a row view: row y is
 * row y mod rows of the view, which lies at base + row * row_bytes or, where the view has a table, at
 * base + ERT_ALIGN * table[row]. A whole tensor has as many rows as its height; a fused stage gives
 * each row a place of its own while it is needed. No kernel knows which of the two it reads. */
#ifndef ERT_KERNEL_H
#define ERT_KERNEL_H

#include "ert.h"
#ifdef ERT_PORT
#include ERT_PORT
#else
#include "ert_port.h"
#endif

typedef struct {
  const uint8_t *base;
  const uint16_t *table; /* NULL for rows one after another */
  int32_t rows;
  int32_t row_bytes;
} ert_view;

typedef struct {
  uint8_t *base;
  const uint16_t *table;
  int32_t rows;
  int32_t row_bytes;
} ert_out_view;

typedef struct {
  const int32_t *params;  /* the op's parameter struct */
  const uint8_t *weights; /* blob offsets in params count from here */
  void *scratch;          /* 16-byte aligned */
  ert_out_view out;
  ert_view in[ERT_MAX_INPUTS];
} ert_call;

typedef void ert_kernel_fn(const ert_call *c, int32_t y0, int32_t y1);

/* Views of a step in the file: {offset, rows, row_bytes, first}; a row begins at its byte `first`. */
enum { ERT_VIEW_WORDS = 4 };

/* A step as it lies in the file; out and in are views. */
typedef struct {
  const int32_t *params;
  const int32_t *out;
  const int32_t *in;
  int32_t number, n_in, n_params, rows, batch, scratch_offset;
  uint32_t weights_bytes;
} ert_step;

typedef struct {
  uint16_t number;
  uint8_t isa;
  uint8_t n_params;
  ert_kernel_fn *run;
  int (*check)(const ert_step *s);
  int32_t (*scratch)(const int32_t *params);
#ifdef ERT_INTROSPECT
  const char *op, *types, *layout, *tile, *isa_name;
#endif
} ert_kernel;

const ert_kernel *ert_find_kernel(int32_t number);

/* The instruction sets that this machine runs: bits 1 << ERT_ISA_x (isa.h). */
uint32_t ert_isas(void);

enum { ERT_MAX_EXTENT = 32767, ERT_MAX_CHANNELS = 1 << 24, ERT_NO_BLOB = -1 };

static inline int32_t ert_row_offset(const uint16_t *table, int32_t rows, int32_t row_bytes, int32_t y) {
  const int32_t row = y < rows ? y : y % rows; /* NOLINT(clang-analyzer-core.DivideZero): ert_load wants rows >= 1 */
  return table ? ERT_ALIGN * table[row] : row * row_bytes;
}

static inline const void *ert_row(const ert_view *v, int32_t y) {
  return v->base + ert_row_offset(v->table, v->rows, v->row_bytes, y);
}

static inline void *ert_out_row(const ert_out_view *v, int32_t y) {
  return v->base + ert_row_offset(v->table, v->rows, v->row_bytes, y);
}

static inline const void *ert_blob(const ert_call *c, int32_t offset) { return c->weights + offset; }

/* 1 where low <= x <= high. */
static inline int ert_within(int32_t x, int32_t low, int32_t high) { return x >= low && x <= high; }

/* a * b, INT32_MAX where it does not fit; for factors that are not negative. */
int32_t ert_product(int32_t a, int32_t b);

/* A blob of n items of `size` bytes lies in the weights, aligned to `size`. */
static inline int ert_blob_ok(const ert_step *s, int32_t offset, int32_t n, int32_t size) {
  return offset >= 0 && (offset & (size - 1)) == 0 && n >= 0 &&
         (uint64_t)(uint32_t)offset + (uint64_t)(uint32_t)n * (uint32_t)size <= s->weights_bytes;
}

/* Bytes that a row of the view has from its first one on. */
static inline int32_t ert_view_room(const int32_t *view) { return view[2] - view[3]; }

/* Each row of the view holds n aligned items of `size` bytes.
 * That the view as a whole lies in memory is checked for every step by ert_load, before this. */
static inline int ert_view_ok(const int32_t *view, int32_t n, int32_t size) {
  return ((view[0] | view[2] | view[3]) & (size - 1)) == 0 && n >= 1 && ert_product(n, size) <= ert_view_room(view);
}

#endif
