/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ERT_TILES_X86_H
#define ERT_TILES_X86_H

#include "tiles.h"

extern const ert_tiling ert_tiling_f32_avx2, ert_depthwise_f32_avx2;

#endif
