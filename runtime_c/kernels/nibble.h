/* SPDX-License-Identifier: Apache-2.0 */
/* int4 weights: two in a byte, the even one in the low nibble, each row of them from a byte of its own.
 *
 * Rows may be cut into groups of `group` weights, the last one shorter: weight k of row o then stands for the integer
 * w[o][k] * factors[o][k / group]. Without factors a row is one group of factor 1. Sums of int8 are thus those of int8
 * weights with these values, modulo 2^32. */
#ifndef ERT_NIBBLE_H
#define ERT_NIBBLE_H

#include "dot.h"

static inline int32_t ert_low4(uint8_t pair) { return (int32_t)((pair & 15u) ^ 8u) - 8; }

static inline int32_t ert_high4(uint8_t pair) { return (int32_t)(((uint32_t)pair >> 4) ^ 8u) - 8; }

/* Bytes of n weights. */
static inline int32_t ert_nibble_bytes(int32_t n) { return n / 2 + (n & 1); }

/* `n_rows` rows of n weights lie in the blob; n may be INT32_MAX for "too many". */
static inline int ert_nibbles_ok(const ert_step *s, int32_t weights, int32_t n, int32_t n_rows) {
  return ert_within(n, 1, INT32_MAX - 1) && ert_product(ert_nibble_bytes(n), n_rows) < INT32_MAX &&
         ert_blob_ok(s, weights, ert_nibble_bytes(n) * n_rows, 1);
}

/* The grouped weights of conv2d and fully_connected, n of them for each of out_c channels. */
typedef struct {
  int32_t weights; /* blob: int4[out_c][n], rows padded to bytes */
  int32_t group;   /* weights that share a factor: even, or n */
  int32_t factors; /* blob: uint8[out_c][ceil(n / group)], -1 for none */
} ert_weights_s4;

static inline int ert_weights_s4_ok(const ert_step *s, const ert_weights_s4 *w, int32_t n, int32_t n_out) {
  if (!ert_nibbles_ok(s, w->weights, n, n_out) || !ert_within(w->group, 1, n)) return 0;
  if (w->group < n && (w->group & 1)) return 0;
  return w->factors == ERT_NO_BLOB || ert_blob_ok(s, w->factors, ert_product((n - 1) / w->group + 1, n_out), 1);
}

/* An ert_weights_s4 with its blobs found, once per call. */
typedef struct {
  const uint8_t *weights, *factors;
  int32_t n, row_bytes, group, n_groups;
} ert_rows_s4;

static inline ert_rows_s4 ert_rows_s4_of(const ert_call *c, const ert_weights_s4 *w, int32_t n) {
  const uint8_t *factors = w->factors == ERT_NO_BLOB ? NULL : ert_blob(c, w->factors);
  return (ert_rows_s4){ert_blob(c, w->weights), factors, n, ert_nibble_bytes(n), w->group, (n - 1) / w->group + 1};
}

/* The rows from row o on. */
static inline ert_rows_s4 ert_rows_s4_from(ert_rows_s4 r, int32_t o) {
  r.weights += o * r.row_bytes;
  if (r.factors) r.factors += o * r.n_groups;
  return r;
}

/* acc[o] += sum over k of x[k] * w[o][k] for n_out rows, modulo 2^32 */
void ert_add_s8s4(const int8_t *x, const ert_rows_s4 *w, int32_t n_out, uint32_t *acc);

/* One output pixel of n_out channels from a window of n values; as ert_pixel_s8 and ert_pixel_f32s8. */
void ert_pixel_s8s4(const ert_scales *s, const int8_t *x, const ert_rows_s4 *w, int32_t n_out, int8_t *out);
void ert_pixel_f32s4(const ert_float_finish *f, const float *x, const ert_rows_s4 *w, int32_t n_out, float *out);

#endif
