/* SPDX-License-Identifier: Apache-2.0 */
#include "activation/activation.h"
#include "isa.h"
#include "normalize/normalize.h"
#include "softmax/softmax.h"
#include "unary/unary.h"

#if ERT_HAS_avx2

#define ERT_LANES 8

ERT_BEGIN_avx2

#include "floats.h"

ERT_FLOATS(x8, avx2)

ERT_END_avx2
#endif
