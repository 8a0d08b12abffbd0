/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs that a kernel changes in place: the state that one call leaves to the next. */
#ifndef ERT_STATE_H
#define ERT_STATE_H

#include "step.h"

/* The view words of input i. */
static inline const int32_t *ert_step_input(const ert_step *s, int32_t i) { return s->in + ERT_VIEW_WORDS * i; }

/* Input i lies in the arena, where it may be written, and each of its rows holds n items of `size` bytes. */
static inline int ert_state_ok(const ert_step *s, int32_t i, int32_t n, int32_t size) {
  const int32_t *view = ert_step_input(s, i);
  return (view[0] & ERT_CONSTANT_BIT) == 0 && ert_view_ok(view, n, size);
}

static inline void *ert_state_row(const ert_view *v, int32_t y) { return (void *)(uintptr_t)ert_row(v, y); }

#endif
