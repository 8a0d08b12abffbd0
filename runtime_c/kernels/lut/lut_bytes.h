/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of 256 bytes on vectors: each holds sixteen entries, and what a table does not have comes out of it as 0. */
#ifndef ERT_LUT_BYTES_H
#define ERT_LUT_BYTES_H

#include "bytes.h"
#include "lut/lut.h"

#ifdef ERT_LANES

ERT_BEGIN_LANES

#if ERT_HAS_avx2

enum { ERT_B_LOOKED_UP = 32 };

typedef struct {
  __m256i part[16];
} ert_b_table;

/* Of each half of the bytes' values the parts are the differences from the part before: a shuffle gives 0 for what is
 * negative, so that an entry is the sum of all parts that a value, less sixteen for each, has not yet fallen below. */
ERT_INLINE ert_b_table ert_b_table_of(const int8_t *table) {
  ert_b_table t;
  __m128i before = _mm_setzero_si128();
  for (int32_t k = 0; k < 16; k++) {
    const __m128i part = _mm_loadu_si128((const void *)(table + 16 * ((k + 8) & 15)));
    t.part[k] = _mm256_broadcastsi128_si256(_mm_xor_si128(part, k == 8 ? _mm_setzero_si128() : before));
    before = part;
  }
  return t;
}

ERT_INLINE void ert_b_look_up(const ert_b_table *t, const int8_t *in, int8_t *out) {
  const __m256i sixteen = _mm256_set1_epi8(16);
  __m256i x = _mm256_loadu_si256((const void *)in), y = _mm256_xor_si256(x, _mm256_set1_epi8(-128));
  __m256i a = _mm256_shuffle_epi8(t->part[0], x), b = _mm256_shuffle_epi8(t->part[8], y);
  ERT_UNROLLED
  for (int k = 1; k < 8; k++) {
    x = _mm256_subs_epi8(x, sixteen), y = _mm256_subs_epi8(y, sixteen);
    a = _mm256_xor_si256(a, _mm256_shuffle_epi8(t->part[k], x));
    b = _mm256_xor_si256(b, _mm256_shuffle_epi8(t->part[8 + k], y));
  }
  _mm256_storeu_si256((void *)out, _mm256_xor_si256(a, b));
}

#elif ERT_HAS_neon

enum { ERT_B_LOOKED_UP = 16 };

#if defined(__aarch64__)

typedef struct {
  int8x16x4_t part[4];
} ert_b_table;

ERT_INLINE ert_b_table ert_b_table_of(const int8_t *table) {
  ert_b_table t;
  ERT_UNROLLED
  for (int k = 0; k < 4; k++)
    for (int i = 0; i < 4; i++) t.part[k].val[i] = vld1q_s8(table + 64 * k + 16 * i);
  return t;
}

ERT_INLINE void ert_b_look_up(const ert_b_table *t, const int8_t *in, int8_t *out) {
  const uint8x16_t x = veorq_u8(vreinterpretq_u8_s8(vld1q_s8(in)), vdupq_n_u8(128));
  int8x16_t y = vqtbl4q_s8(t->part[0], x);
  y = vqtbx4q_s8(y, t->part[1], veorq_u8(x, vdupq_n_u8(64)));
  y = vqtbx4q_s8(y, t->part[2], veorq_u8(x, vdupq_n_u8(128)));
  y = vqtbx4q_s8(y, t->part[3], veorq_u8(x, vdupq_n_u8(192)));
  vst1q_s8(out, y);
}

#else

typedef struct {
  int8x8x4_t part[8];
} ert_b_table;

ERT_INLINE ert_b_table ert_b_table_of(const int8_t *table) {
  ert_b_table t;
  ERT_UNROLLED
  for (int k = 0; k < 8; k++)
    for (int i = 0; i < 4; i++) t.part[k].val[i] = vld1_s8(table + 32 * k + 8 * i);
  return t;
}

ERT_INLINE int8x8_t ert_b_eight_looked_up(const ert_b_table *t, int8x8_t x) {
  x = veor_s8(x, vdup_n_s8(-128));
  int8x8_t y = vtbl4_s8(t->part[0], x);
  ERT_UNROLLED
  for (int k = 1; k < 8; k++) y = vtbx4_s8(y, t->part[k], veor_s8(x, vdup_n_s8((int8_t)(32 * k))));
  return y;
}

ERT_INLINE void ert_b_look_up(const ert_b_table *t, const int8_t *in, int8_t *out) {
  const int8x16_t x = vld1q_s8(in);
  vst1q_s8(out, vcombine_s8(ert_b_eight_looked_up(t, vget_low_s8(x)), ert_b_eight_looked_up(t, vget_high_s8(x))));
}

#endif

#else

enum { ERT_B_LOOKED_UP = 16 };

typedef struct {
  v128_t part[16];
} ert_b_table;

ERT_INLINE ert_b_table ert_b_table_of(const int8_t *table) {
  ert_b_table t;
  ERT_UNROLLED
  for (int k = 0; k < 16; k++) t.part[k] = wasm_v128_load(table + 16 * k);
  return t;
}

ERT_INLINE void ert_b_look_up(const ert_b_table *t, const int8_t *in, int8_t *out) {
  const v128_t sixteen = wasm_i8x16_splat(16);
  v128_t x = wasm_v128_xor(wasm_v128_load(in), wasm_i8x16_splat(-128)), y = wasm_i8x16_swizzle(t->part[0], x);
  ERT_UNROLLED
  for (int k = 1; k < 16; k++) {
    x = wasm_i8x16_sub(x, sixteen);
    y = wasm_v128_or(y, wasm_i8x16_swizzle(t->part[k], x));
  }
  wasm_v128_store(out, y);
}

#endif

/* Short rows and ends of rows one by one: out may be in. */
ERT_APART void ert_b_lut_rows(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_lut_s8_params *p = (const void *)c->params;
  const int8_t *table = ert_blob(c, p->table);
  const ert_b_table t = ert_b_table_of(table);
  for (int32_t y = y0; y < y1; y++) {
    const int8_t *in = ert_row(&c->in[0], y);
    int8_t *out = ert_out_row(&c->out, y);
    int32_t k = 0;
    for (; k <= p->n - ERT_B_LOOKED_UP; k += ERT_B_LOOKED_UP) ert_b_look_up(&t, in + k, out + k);
    for (; k < p->n; k++) out[k] = table[in[k] + 128];
  }
}

ERT_END_LANES

#endif

#endif
