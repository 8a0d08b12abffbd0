/* SPDX-License-Identifier: Apache-2.0 */
/* int32 accumulators back to int8, and the rescale parameters that conv2d, depthwise_conv2d and
 * fully_connected share. */
#ifndef ERT_REQUANTIZE_H
#define ERT_REQUANTIZE_H

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
 * shift rounded half away from zero. TFLite Micro's MultiplyByQuantizedMultiplier (double rounding). */
static inline int32_t ert_requantize(int32_t x, int32_t multiplier, int32_t shift) {
  const int32_t left = shift > 0 ? shift : 0;
  const int32_t right = (int32_t)((uint32_t)left - (uint32_t)shift); /* any word of a file may be a shift */
  const int64_t product = (int64_t)(int32_t)((uint32_t)x << (left & 31)) * multiplier;
  const int32_t high = (int32_t)((product + (1 << 30)) >> 31);
  const int32_t mask = (int32_t)((1u << (right & 31)) - 1u);
  const int32_t threshold = (mask >> 1) + (high < 0);
  return (high >> (right & 31)) + ((high & mask) > threshold);
}

static inline int32_t ert_clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }

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

#endif
