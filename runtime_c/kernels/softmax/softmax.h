/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax over each row of n items.
 *
 * s8:  e[i] = exp[max(in) - in[i]], 0 past the table's end: the Q31 value that TFLite's fixed-point exp gives for
 *      that difference. sum = sum over i of (e[i] / 2^12, rounded), in Q12.19;
 *      out[i] = clamp(-128 + ((1 / sum) * e[i] * 2^8, rounded), -128, 127), 1 / sum by three Newton steps.
 * s16: e[i] = lookup(exp, clamp(32767 + requantize(in[i] - max(in)), -32768, 32767)), sum of all e[i] in Q16.15;
 *      with z leading zeros of the sum and m = sum * 2^(z - 1) / 2^14, rounded half up,
 *      out[i] = clamp(e[i] * lookup(reciprocal, m - 3 * 2^15) / 2^(31 - z), rounded half up, 0, 32767); lookup as in lut.h.
 * f32: out[i] = exp(beta * (in[i] - max(in))) / sum over j of exp(beta * (in[j] - max(in))); NaN anywhere gives NaN.
 *      Vectors may have 0 where an exp is below 2^-126.
 *
 * pixel_softmax: the same over each of the `pixels` runs of n items that follow each other in a row. */
#ifndef ERT_SOFTMAX_H
#define ERT_SOFTMAX_H

#include "kernel.h"

typedef struct {
  int32_t n;
  int32_t exp;   /* blob: int32[n_exp], exp[0] = 2^31 - 1, no item negative */
  int32_t n_exp; /* 1 to 256 */
} ert_softmax_s8_params;

typedef struct {
  int32_t n; /* at most 65535 */
  int32_t multiplier, shift;
  int32_t exp;        /* blob: int16[513], e^x in Q15 for x from -10 to 0 */
  int32_t reciprocal; /* blob: int16[513], 1 / (1 + x) in Q15 for x from 0 to 1 */
} ert_softmax_s16_params;

typedef struct {
  int32_t n;
  float beta;
} ert_softmax_f32_params;

typedef struct {
  int32_t pixels;
  ert_softmax_s8_params each;
} ert_pixel_softmax_s8_params;

typedef struct {
  int32_t pixels;
  ert_softmax_s16_params each;
} ert_pixel_softmax_s16_params;

typedef struct {
  int32_t pixels;
  ert_softmax_f32_params each;
} ert_pixel_softmax_f32_params;

int ert_softmax_s8_check(const ert_step *s);
int ert_softmax_s16_check(const ert_step *s);
int ert_softmax_f32_check(const ert_step *s);
int ert_pixel_softmax_s8_check(const ert_step *s);
int ert_pixel_softmax_s16_check(const ert_step *s);
int ert_pixel_softmax_f32_check(const ert_step *s);

#endif
