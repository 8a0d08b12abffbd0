/* SPDX-License-Identifier: Apache-2.0 */
#include "nibble.h"

/* What the weights of group g of row o are multiplied by. */
static uint32_t factor(const ert_rows_s4 *r, int32_t o, int32_t g) {
  return r->factors ? r->factors[o * r->n_groups + g] : 1u;
}

static int32_t group_size(const ert_rows_s4 *r, int32_t k) { return r->n - k < r->group ? r->n - k : r->group; }

/* acc[j] = sum over k of x[k] * w[j][k] for four rows of n weights, row_bytes apart. */
static void group4_s8(const int8_t *restrict x, const uint8_t *restrict w, int32_t row_bytes, int32_t n,
                      uint32_t *restrict acc) {
  const uint8_t *w1 = w + row_bytes, *w2 = w1 + row_bytes, *w3 = w2 + row_bytes;
  const int32_t pairs = n / 2;
  uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  for (int32_t i = 0; i < pairs; i++) {
    const int32_t even = x[2 * i], odd = x[2 * i + 1];
    a0 += (uint32_t)(even * ert_low4(w[i]) + odd * ert_high4(w[i]));
    a1 += (uint32_t)(even * ert_low4(w1[i]) + odd * ert_high4(w1[i]));
    a2 += (uint32_t)(even * ert_low4(w2[i]) + odd * ert_high4(w2[i]));
    a3 += (uint32_t)(even * ert_low4(w3[i]) + odd * ert_high4(w3[i]));
  }
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
  if (!(n & 1)) return;
  const int32_t last = x[n - 1];
  acc[0] += (uint32_t)(last * ert_low4(w[pairs])), acc[1] += (uint32_t)(last * ert_low4(w1[pairs]));
  acc[2] += (uint32_t)(last * ert_low4(w2[pairs])), acc[3] += (uint32_t)(last * ert_low4(w3[pairs]));
}

static uint32_t group_s8(const int8_t *restrict x, const uint8_t *restrict w, int32_t n) {
  uint32_t acc = 0;
  for (int32_t i = 0; i < n / 2; i++) acc += (uint32_t)(x[2 * i] * ert_low4(w[i]) + x[2 * i + 1] * ert_high4(w[i]));
  return n & 1 ? acc + (uint32_t)(x[n - 1] * ert_low4(w[n / 2])) : acc;
}

static void rows4_s8(const ert_rows_s4 *r, int32_t o, const int8_t *x, uint32_t *acc) {
  const uint8_t *w = r->weights + o * r->row_bytes;
  for (int32_t j = 0; j < 4; j++) acc[j] = 0;
  for (int32_t k = 0, g = 0; k < r->n; g++) {
    const int32_t n = group_size(r, k);
    uint32_t sums[4];
    group4_s8(x + k, w + k / 2, r->row_bytes, n, sums);
    for (int32_t j = 0; j < 4; j++) acc[j] += sums[j] * factor(r, o + j, g);
    k += n;
  }
}

static uint32_t row_s8(const ert_rows_s4 *r, int32_t o, const int8_t *x) {
  const uint8_t *w = r->weights + o * r->row_bytes;
  uint32_t acc = 0;
  for (int32_t k = 0, g = 0; k < r->n; g++) {
    const int32_t n = group_size(r, k);
    acc += group_s8(x + k, w + k / 2, n) * factor(r, o, g);
    k += n;
  }
  return acc;
}

void ert_pixel_s8s4(const ert_scales *s, const int8_t *x, const ert_rows_s4 *w, int32_t n_out, int8_t *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4) {
    uint32_t acc[4];
    rows4_s8(w, o, x, acc);
    for (int32_t j = 0; j < 4; j++) out[o + j] = ert_finish_s8(s, o + j, acc[j]);
  }
  for (; o < n_out; o++) out[o] = ert_finish_s8(s, o, row_s8(w, o, x));
}

void ert_add_s8s4(const int8_t *x, const ert_rows_s4 *w, int32_t n_out, uint32_t *acc) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4) {
    uint32_t sums[4];
    rows4_s8(w, o, x, sums);
    for (int32_t j = 0; j < 4; j++) acc[o + j] += sums[j];
  }
  for (; o < n_out; o++) acc[o] += row_s8(w, o, x);
}

static float group_f32(const float *restrict x, const uint8_t *restrict w, int32_t n) {
  float acc = 0;
  for (int32_t i = 0; i < n / 2; i++) acc += x[2 * i] * (float)ert_low4(w[i]) + x[2 * i + 1] * (float)ert_high4(w[i]);
  return n & 1 ? acc + x[n - 1] * (float)ert_low4(w[n / 2]) : acc;
}

void ert_pixel_f32s4(const ert_float_finish *f, const float *x, const ert_rows_s4 *w, int32_t n_out, float *out) {
  for (int32_t o = 0; o < n_out; o++) {
    const uint8_t *row = w->weights + o * w->row_bytes;
    float acc = 0;
    for (int32_t k = 0, g = 0; k < w->n; g++) {
      const int32_t n = group_size(w, k);
      acc += group_f32(x + k, row + k / 2, n) * (float)factor(w, o, g);
      k += n;
    }
    const float y = f->bias[o] + f->scale[o * f->step] * acc;
    out[o] = y < f->min ? f->min : y > f->max ? f->max : y;
  }
}
