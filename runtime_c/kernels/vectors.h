/* SPDX-License-Identifier: Apache-2.0 */
/* The instruction set whose vectors floats.h and bytes.h are written for: a build has one, and on x86 a file that defines
 * ERT_WIDE before has vectors twice as wide. ERT_LANES words are a vector. */
#ifndef ERT_VECTORS_H
#define ERT_VECTORS_H

#include "isa.h"

#if ERT_HAS_avx2
#include <immintrin.h>
#ifdef ERT_WIDE
#define ERT_LANES 16
#define ERT_BEGIN_LANES ERT_BEGIN_avx512vnni
#define ERT_END_LANES ERT_END_avx512vnni
#else
#define ERT_LANES 8
#define ERT_BEGIN_LANES ERT_BEGIN_avx2
#define ERT_END_LANES ERT_END_avx2
#endif
#elif defined(ERT_WIDE)
#elif ERT_HAS_neon || ERT_HAS_simd128
#if ERT_HAS_neon
#include <arm_neon.h>
#else
#include <wasm_simd128.h>
#endif
#define ERT_LANES 4
#define ERT_BEGIN_LANES
#define ERT_END_LANES
#endif

#endif
