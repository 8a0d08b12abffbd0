/* SPDX-License-Identifier: Apache-2.0 */
/* Items whose dtype is a parameter: one kernel serves every integer type where speed does not matter. */
#ifndef ERT_ITEMS_H
#define ERT_ITEMS_H

#include "kernel.h"

/* Bytes of an item of an ert_dtype; 0 for a number that is none. */
int32_t ert_item_size(int32_t dtype);

/* Item i of an array of integers or bools, a bool as 0 or 1; ert_store_item keeps the low bits. */
int64_t ert_load_item(const void *items, int32_t i, int32_t dtype);
void ert_store_item(void *items, int32_t i, int32_t dtype, int64_t value);

static inline int ert_is_integer(int32_t dtype) { return ert_within(dtype, ERT_S8, ERT_BOOL); }
static inline int ert_is_index(int32_t dtype) { return ert_within(dtype, ERT_S32, ERT_S64); }

#endif
