/* SPDX-License-Identifier: Apache-2.0 */
/* e^x without libm. */
#ifndef ERT_EXP_H
#define ERT_EXP_H

#include "kernel.h"

/* e^x within 1 ulp, subnormal results too; NaN gives NaN, overflow infinity, underflow 0. */
float ert_exp(float x);

/* 1 / (1 + e^-x) and tanh(x), both within 4 ulp; NaN gives NaN. Vectors compute tanh within 6 ulp, and have 0 for
 * logistic results below 2^-126. */
float ert_logistic(float x);
float ert_tanh(float x);

#endif
