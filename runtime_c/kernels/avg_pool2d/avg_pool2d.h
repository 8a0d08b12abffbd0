/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, c] = clamp(sum over the window of in[.., .., c] / n, min, max), windows as in pool.h.
 * n is the number of pixels of the window that lie inside the image.
 *
 * s8, s16: the quotient is rounded to nearest, halves away from zero.
 * With count_padding, n is kernel_h * kernel_w and each pixel of the padding adds in_zero_point (s16, f32: 0). */
#ifndef ERT_AVG_POOL2D_H
#define ERT_AVG_POOL2D_H

#include "pool.h"

typedef struct {
  ert_pool_geometry g;
  int32_t count_padding, in_zero_point;
  int32_t min, max;
} ert_avg_pool2d_s8_params;

typedef struct {
  ert_pool_geometry g;
  int32_t count_padding;
  int32_t min, max;
} ert_avg_pool2d_s16_params;

typedef struct {
  ert_pool_geometry g;
  int32_t count_padding;
  float min, max;
} ert_avg_pool2d_f32_params;

int ert_avg_pool2d_s8_check(const ert_step *s);
int ert_avg_pool2d_s16_check(const ert_step *s);
int ert_avg_pool2d_f32_check(const ert_step *s);

#endif
