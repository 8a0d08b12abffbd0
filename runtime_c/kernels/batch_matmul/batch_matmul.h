/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices a [m, k] and b [k, n], one after another: output row y is row y mod m of product t = y / m,
 *
 * out[y, j] = sum over i of a[t / a.repeat mod a.count][y mod m, i] * b[t / b.repeat mod b.count][i, j]
 *
 * Rows of the input a are those of its matrices; those of b are its k rows of n items or, where it is stored
 * transposed, n rows of k items.
 *
 * s8s8: clamp(zero_point + requantize(sum over i of (a - a_zero_point) * (b - b_zero_point), multiplier, shift),
 *       -128, 127). Sums are modulo 2^32; the writer guarantees that none wraps.
 * s16s16: clamp(requantize_wide(sum over i of a * b, multiplier, shift), -32768, 32767), the sum in 64 bits, the
 *         multiplier of 15 bits (requantize.h). */
#ifndef ERT_BATCH_MATMUL_H
#define ERT_BATCH_MATMUL_H

#include "requantize.h"

/* Which matrix of an operand a product reads: each `repeat` times in a row, over again after `count` of them. */
typedef struct {
  int32_t repeat, count;
} ert_batch_matmul_operand;

typedef struct {
  int32_t m, k, n, transposed;
  ert_batch_matmul_operand a, b;
} ert_batch_matmul_shape;

typedef struct {
  ert_batch_matmul_shape shape;
  int32_t a_zero_point, b_zero_point, multiplier, shift, zero_point;
} ert_batch_matmul_s8s8_params;

typedef struct {
  ert_batch_matmul_shape shape;
} ert_batch_matmul_f32_params;

typedef struct {
  ert_batch_matmul_shape shape;
  int32_t multiplier, shift;
} ert_batch_matmul_s16s16_params;

/* Items of a row of a that vectors read at once: k, filled up. */
ERT_INLINE int32_t ert_batch_matmul_depth(const ert_batch_matmul_shape *g) {
  return g->k < INT32_MAX - 15 ? (g->k + 15) / 16 * 16 : INT32_MAX;
}

/* The matrix that product t reads. */
ERT_INLINE int32_t ert_batch_matmul_matrix(const ert_batch_matmul_operand *o, int32_t t) {
  return t / o->repeat % o->count;
}

/* The row of a that output row y reads. */
ERT_INLINE const void *ert_batch_matmul_row(const ert_call *c, const ert_batch_matmul_shape *g, int32_t y) {
  return ert_row(&c->in[0], ert_batch_matmul_matrix(&g->a, y / g->m) * g->m + y % g->m);
}

int ert_batch_matmul_s8s8_check(const ert_step *s);
int ert_batch_matmul_f32_check(const ert_step *s);
int ert_batch_matmul_s16s16_check(const ert_step *s);

#endif
