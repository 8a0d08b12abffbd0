/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of products back to int8 or int16, and the rescale parameters that conv2d, depthwise_conv2d and
 * fully_connected share. */
#ifndef ERT_REQUANTIZE_H
#define ERT_REQUANTIZE_H

#include "isa.h"
#include "kernel.h"

/* clamp(zero_point + requantize(acc + bias[o], multiplier[o * step], shift[o * step]), min, max) */
typedef struct {
  int32_t bias;       /* blob: int32[n], input zero point folded in */
  int32_t multiplier; /* blob: int32[n] or int32[1] */
  int32_t shift;      /* blob: int8[n] or int8[1] */
  int32_t step;       /* 1 per channel, 0 per tensor */
  int32_t zero_point;
  int32_t min, max;
} ert_rescale;

static inline int ert_rescale_ok(const ert_step *s, const ert_rescale *r, int32_t n) {
  const int32_t scales = r->step ? n : 1;
  return ert_within(r->step, 0, 1) && ert_blob_ok(s, r->bias, n, 4) && ert_blob_ok(s, r->multiplier, scales, 4) &&
         ert_blob_ok(s, r->shift, scales, 1);
}

/* x * multiplier * 2^(shift - 31): a high product rounded half up, then, for a shift below 0, a right
 * shift rounded half away from zero: half up of a number that is one less below 0. TFLite Micro's
 * MultiplyByQuantizedMultiplier (double rounding). Any word of a file may be a shift. */
#if ERT_THUMB1_ASM
int32_t ert_requantize(int32_t x, int32_t multiplier, int32_t shift);
#else
static inline int32_t ert_doubling_product(int32_t x, int32_t y) {
  return (int32_t)(((int64_t)x * y + (1 << 30)) >> 31);
}

static inline int32_t ert_requantize(int32_t x, int32_t multiplier, int32_t shift) {
  if (shift >= 0) return ert_doubling_product((int32_t)((uint32_t)x << (shift & 31)), multiplier);
  const int32_t high = ert_doubling_product(x, multiplier);
  const int32_t halves = (int32_t)((uint32_t)high - (high < 0)) >> (~shift & 31);
  return (int32_t)((uint32_t)halves + 1) >> 1;
}
#endif

/* x * multiplier * 2^(shift - 15), rounded half up, once; the low 32 bits of it. TFLite Micro's
 * MultiplyByQuantizedMultiplier of 64-bit sums, its multiplier reduced to 15 bits beforehand. */
static inline int32_t ert_requantize_wide(int64_t x, int32_t multiplier, int32_t shift) {
  const uint32_t right = (15u - (uint32_t)shift) & 63; /* any word of a file may be a shift */
  const uint64_t half = ((uint64_t)1 << right) >> 1;
  return (int32_t)((int64_t)((uint64_t)x * (uint64_t)(int64_t)multiplier + half) >> right);
}

static inline int32_t ert_clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

/* Words of an array in scratch which vectors of any instruction set go through whole. */
static inline int32_t ert_whole_vectors(int32_t n) { return n > INT32_MAX - 7 ? INT32_MAX : (n + 7) & ~7; }

/* Outputs that a kernel has only saturated, clamped: few layers have a narrower range than their type. */
void ert_clamp_row(int8_t *out, int32_t n, int32_t low, int32_t high);

/* An ert_rescale with its blobs found, once per call. */
typedef struct {
  const int32_t *bias, *multiplier;
  const int8_t *shift;
  int32_t step, zero_point, min, max;
} ert_scales;

static inline ert_scales ert_scales_of(const ert_call *c, const ert_rescale *r) {
  return (ert_scales){
      ert_blob(c, r->bias), ert_blob(c, r->multiplier), ert_blob(c, r->shift), r->step, r->zero_point, r->min, r->max};
}

/* The output byte of channel o from its sum of products. */
static inline int8_t ert_finish_s8(const ert_scales *s, int32_t o, uint32_t acc) {
  const int32_t i = o * s->step;
  const int32_t x = ert_requantize((int32_t)(acc + (uint32_t)s->bias[o]), s->multiplier[i], s->shift[i]);
  return (int8_t)ert_clamp((int32_t)((uint32_t)x + (uint32_t)s->zero_point), s->min, s->max);
}

/* wide 0: clamp(requantize(sum + bias[o], multiplier[o * step], shift[o * step]), min, max), the sum modulo 2^32
 * wide 1: clamp(requantize_wide(...), min, max), the sum in 64 bits, multipliers of 15 bits
 * All zero points of int16 are 0. */
typedef struct {
  int32_t bias;       /* blob: int64[n] */
  int32_t multiplier; /* blob: int32[n] or int32[1] */
  int32_t shift;      /* blob: int8[n] or int8[1] */
  int32_t step;       /* 1 per channel, 0 per tensor */
  int32_t wide;
  int32_t min, max;
} ert_rescale_s16;

static inline int ert_rescale_s16_ok(const ert_step *s, const ert_rescale_s16 *r, int32_t n) {
  const int32_t scales = r->step ? n : 1;
  return ert_within(r->step, 0, 1) && ert_within(r->wide, 0, 1) && ert_blob_ok(s, r->bias, n, 8) &&
         ert_blob_ok(s, r->multiplier, scales, 4) && ert_blob_ok(s, r->shift, scales, 1);
}

/* An ert_rescale_s16 with its blobs found, once per call. */
typedef struct {
  const int64_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
  int32_t step, wide, min, max;
} ert_scales_s16;

static inline ert_scales_s16 ert_scales_s16_of(const ert_call *c, const ert_rescale_s16 *r) {
  return (ert_scales_s16){
      ert_blob(c, r->bias), ert_blob(c, r->multiplier), ert_blob(c, r->shift), r->step, r->wide, r->min, r->max};
}

/* The output item of channel o from its sum of products. */
static inline int16_t ert_finish_s16(const ert_scales_s16 *s, int32_t o, int64_t acc) {
  const int32_t i = o * s->step;
  const int64_t sum = (int64_t)((uint64_t)acc + (uint64_t)s->bias[o]);
  const int32_t x = s->wide ? ert_requantize_wide(sum, s->multiplier[i], s->shift[i])
                            : ert_requantize((int32_t)sum, s->multiplier[i], s->shift[i]);
  return (int16_t)ert_clamp(x, s->min, s->max);
}

#endif
