/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on standard input, answers on standard output, until the input ends. Numbers are little-endian.
 *
 * First, unasked: i32 code; where it is 0 then u64 cost of loading, u64 empty span, u64 empty call, u64 arena bytes,
 * u32 bytes of all inputs, of all outputs, u32 steps.
 *
 *   'r' inputs -> i32 code, u64 cost of the run, outputs
 *   'p' inputs -> i32 code, u64 cost and u64 calls of each step
 *   's' inputs -> {i32 step, u32 bytes, bytes} for every call of a kernel, i32 -1, i32 code
 *   'k'        -> i32 number of the kernel of each step: of a portable model those that it was packed for
 *   'z'        -> i32 code; variables hold their first contents, and what was pushed is forgotten
 *
 * Inputs and outputs follow one another as the file lists them. Costs are those of costs.h. */
#ifndef SERVE_H
#define SERVE_H

#include "costs.h"
#include "target.h"

/* `code` and `load_cost` are those of target_load. 0, or the system's error number. */
int serve(target *t, const meter *m, int code, uint64_t load_cost);

#endif
