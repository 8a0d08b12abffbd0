/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of floats_avx2.c with vectors twice as wide, which pay where there is much to compute. */
#define ERT_WIDE
#include "activation/activation_floats.h"
#include "softmax/softmax_floats.h"
#include "unary/elementary_floats.h"
#include "unary/unary_floats.h"

#if ERT_HAS_avx512vnni

ERT_BEGIN_avx512vnni

ERT_FUNCTIONS(x16, avx512vnni)

ERT_END_avx512vnni

#endif
