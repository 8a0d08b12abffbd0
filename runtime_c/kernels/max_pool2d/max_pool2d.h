/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, c] = clamp(max over the window of in[.., .., c], min, max), windows as in pool.h.
 * f32: a NaN in the window gives NaN. */
#ifndef ERT_MAX_POOL2D_H
#define ERT_MAX_POOL2D_H

#include "pool.h"

typedef struct {
  ert_pool_geometry g;
  int32_t min, max;
} ert_max_pool2d_s8_params;

typedef ert_max_pool2d_s8_params ert_max_pool2d_s16_params;

typedef struct {
  ert_pool_geometry g;
  float min, max;
} ert_max_pool2d_f32_params;

int ert_max_pool2d_s8_check(const ert_step *s);
int ert_max_pool2d_s16_check(const ert_step *s);
int ert_max_pool2d_f32_check(const ert_step *s);

#endif
