/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ERT_TILES_X86_H
#define ERT_TILES_X86_H

#include "tiles.h"

/* Before a loop of few turns that must leave nothing of itself: its arrays are registers. */
#if defined(__clang__)
#define ERT_UNROLL_ALL _Pragma("clang loop unroll(full)")
#else
#define ERT_UNROLL_ALL _Pragma("GCC unroll 16")
#endif

extern const ert_tiling ert_tiling_f32_avx2, ert_depthwise_f32_avx2;
extern const ert_tiling ert_tiling_s8_avx512vnni;

#endif
