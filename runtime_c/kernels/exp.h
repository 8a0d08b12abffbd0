/* SPDX-License-Identifier: Apache-2.0 */
/* e^x without libm. */
#ifndef ERT_EXP_H
#define ERT_EXP_H

#include "kernel.h"

/* e^x within 1 ulp, subnormal results too; NaN gives NaN, overflow infinity, underflow 0. */
float ert_exp(float x);

#endif
