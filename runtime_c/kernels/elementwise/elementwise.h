/* SPDX-License-Identifier: Apache-2.0 */
/* out[y, x, k] = f(a, b), operands broadcast: operand i reads item x * pixel[i] + k * item[i] of its row y mod rows.
 * dtype is that of a and b. f by kind:
 *
 * EQUAL, NOT_EQUAL, LESS, LESS_EQUAL   bools; a NaN equals nothing. Where a.multiplier is not 0, each side is first
 *                                      requantize((x - zero_point) * 2^8, multiplier, shift)
 * AND, OR, XOR                         bit by bit, integers and bools
 * SHIFT_LEFT, SHIFT_RIGHT              a by b bits, b clamped to [0, bits of the dtype - 1]; signed ones keep the sign
 * SELECT                               in[0] is a bool: a where it is not 0, else b; any dtype */
#ifndef ERT_ELEMENTWISE_H
#define ERT_ELEMENTWISE_H

#include "requantize.h"

enum {
  ERT_EQUAL = 0,
  ERT_NOT_EQUAL = 1,
  ERT_LESS = 2,
  ERT_LESS_EQUAL = 3,
  ERT_AND = 4,
  ERT_OR = 5,
  ERT_XOR = 6,
  ERT_SHIFT_LEFT = 7,
  ERT_SHIFT_RIGHT = 8,
  ERT_SELECT = 9
};

typedef struct {
  int32_t zero_point, multiplier, shift;
} ert_operand_scale;

typedef struct {
  int32_t w, c; /* a row is w pixels of c items */
  int32_t pixel[3], item[3];
  int32_t kind, dtype;
  ert_operand_scale a, b;
} ert_elementwise_any_params;

int ert_elementwise_any_check(const ert_step *s);

#endif
