/* SPDX-License-Identifier: Apache-2.0 */
/* Products of a matrix with some vectors, the matrix row by row as portable kernels have it: terms are added up lane by
 * lane and only then across lanes. A few rows stay in the first cache for all vectors. */
#ifndef ERT_PRODUCTS_FLOATS_H
#define ERT_PRODUCTS_FLOATS_H

#include "floats.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

enum {
  ERT_V_TALL = 8,                      /* rows of a matrix that are multiplied with one vector at once */
  ERT_V_FLAT = 4,                      /* rows where there are several vectors */
  ERT_V_SIDE = ERT_HAS_simd128 ? 2 : 3 /* and how many of those there may be */
};

/* Vectors of n items that a matrix w[rows][n] is multiplied with, and where the sums of each go, `step` floats apart. */
typedef struct {
  const float *w;
  int32_t n, rows;
  const float *const *x;
  float *out;
  int32_t step;
} ert_v_product;

/* The lanes of a vector that ends with a run of n items which the whole vectors before it do not have. */
ERT_INLINE ert_v_s32 ert_v_rest(int32_t n) {
  float first[ERT_LANES];
  for (int32_t i = 0; i < ERT_LANES; i++) first[i] = i < ERT_LANES - n % ERT_LANES ? 1.0f : 0.0f;
  return ert_v_load(first) == 0.0f;
}

ERT_INLINE ert_v ert_v_masked(const float *p, ert_v_s32 mask) { return (ert_v)((ert_v_s32)ert_v_load(p) & mask); }

/* The sums of the lanes of four vectors. */
ERT_INLINE void ert_v_store_sums(float *out, ert_v a, ert_v b, ert_v c, ert_v d) {
#if ERT_HAS_avx2
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps((__m256)a, (__m256)b), _mm256_unpackhi_ps((__m256)a, (__m256)b));
  const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps((__m256)c, (__m256)d), _mm256_unpackhi_ps((__m256)c, (__m256)d));
  const __m256 all = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
#elif defined(__aarch64__)
  const float32x4_t ab = vpaddq_f32((float32x4_t)a, (float32x4_t)b), cd = vpaddq_f32((float32x4_t)c, (float32x4_t)d);
  vst1q_f32(out, vpaddq_f32(ab, cd));
#elif ERT_HAS_simd128
  const v128_t p = (v128_t)a, q = (v128_t)b, r = (v128_t)c, s = (v128_t)d;
  const v128_t pr = wasm_f32x4_add(wasm_i32x4_shuffle(p, r, 0, 1, 4, 5), wasm_i32x4_shuffle(p, r, 2, 3, 6, 7));
  const v128_t qs = wasm_f32x4_add(wasm_i32x4_shuffle(q, s, 0, 1, 4, 5), wasm_i32x4_shuffle(q, s, 2, 3, 6, 7));
  wasm_v128_store(out, wasm_f32x4_add(wasm_i32x4_shuffle(pr, qs, 0, 4, 2, 6), wasm_i32x4_shuffle(pr, qs, 1, 5, 3, 7)));
#else
  out[0] = ert_v_sum_of(a), out[1] = ert_v_sum_of(b), out[2] = ert_v_sum_of(c), out[3] = ert_v_sum_of(d);
#endif
}

/* Sums of the matrix's rows o ... with vectors i ...: `rows` and `side` are constants. */
ERT_INLINE void ert_v_sums(const ert_v_product *p, int32_t o, int32_t i, int rows, int side) {
  const ert_v none = {0};
  ert_v sums[ERT_V_FLAT * ERT_V_SIDE], x[ERT_V_SIDE];
  const ptrdiff_t n = p->n;
  const float *w = p->w + o * n;
  ptrdiff_t k = 0;
  ERT_UNROLLED
  for (int s = 0; s < rows * side; s++) sums[s] = none;
  for (; k + ERT_LANES <= n; k += ERT_LANES) {
    ERT_UNROLLED
    for (int j = 0; j < side; j++) x[j] = ert_v_load(p->x[i + j] + k);
    ERT_UNROLLED
    for (int s = 0; s < rows * side; s++) sums[s] = ert_v_madd(x[s % side], ert_v_load(w + s / side * n + k), sums[s]);
  }
  if (k < n) {
    const ert_v_s32 mask = ert_v_rest(p->n);
    k = n - ERT_LANES;
    ERT_UNROLLED
    for (int j = 0; j < side; j++) x[j] = ert_v_masked(p->x[i + j] + k, mask);
    ERT_UNROLLED
    for (int s = 0; s < rows * side; s++)
      sums[s] = ert_v_madd(x[s % side], ert_v_masked(w + s / side * n + k, mask), sums[s]);
  }
  ERT_UNROLLED
  for (int j = 0; j < side; j++) {
    float *out = p->out + (ptrdiff_t)(i + j) * p->step + o;
    ert_v_store_sums(out, sums[j], sums[side + j], sums[2 * side + j], sums[3 * side + j]);
    if (rows == ERT_V_TALL) ert_v_store_sums(out + 4, sums[4], sums[5], sums[6], sums[7]);
  }
}

/* Few rows, or rows that are shorter than a vector. */
ERT_INLINE void ert_v_multiply_few(const ert_v_product *p, int32_t count) {
  for (int32_t o = 0; o < p->rows; o++)
    for (int32_t i = 0; i < count; i++) {
      float sum = 0.0f;
      for (int32_t k = 0; k < p->n; k++) sum += p->w[o * p->n + k] * p->x[i][k];
      p->out[i * p->step + o] = sum;
    }
}

/* Rows o ... with all vectors. */
ERT_INLINE void ert_v_multiply_rows(const ert_v_product *p, int32_t o, int32_t count) {
  int32_t i = 0;
  for (; i + ERT_V_SIDE <= count; i += ERT_V_SIDE) {
    ert_v_sums(p, o, i, ERT_V_FLAT, ERT_V_SIDE);
    ert_v_sums(p, o + ERT_V_FLAT, i, ERT_V_FLAT, ERT_V_SIDE);
  }
  for (; i < count; i++) ert_v_sums(p, o, i, ERT_V_TALL, 1);
}

/* out[i * step + o] = sum over k of w[o][k] * x[i][k]. The last rows begin where there are enough of them: some sums are
 * computed twice. */
ERT_APART void ert_v_multiply(const ert_v_product *p, int32_t count) {
  const int32_t last = p->rows - ERT_V_TALL;
  if (p->n < ERT_LANES || last < 0) {
    ert_v_multiply_few(p, count);
    return;
  }
  for (int32_t o = 0; o < p->rows; o += ERT_V_TALL) ert_v_multiply_rows(p, o < last ? o : last, count);
}

ERT_END_LANES

#endif

#endif
