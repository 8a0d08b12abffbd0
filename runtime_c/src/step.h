/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a .edge file, shared by load.c and run.c. See FORMAT.md. */
#ifndef ERT_STEP_H
#define ERT_STEP_H

#include "kernel.h"

enum {
  ERT_HEADER_BYTES = 32,
  ERT_SECTION_BYTES = 12,
  ERT_TENSOR_WORDS = 12,
  ERT_STEP_WORDS = 4,
  ERT_VIEW_WORDS = 3,
  ERT_STAGE_WORDS = 3
};

enum { ERT_SECTION_TENSORS = 1, ERT_SECTION_STEPS = 2, ERT_SECTION_STAGES = 3, ERT_SECTION_WEIGHTS = 4 };

/* An input view whose offset has this bit lies in the weights, not in the arena. */
#define ERT_CONSTANT_BIT ((int32_t)0x40000000)

/* Words of the step at `words`, from its first word alone. */
static inline int32_t ert_step_words(int32_t first) {
  const int32_t n_in = (int32_t)((uint32_t)first >> 16 & 0xff), n_params = (int32_t)((uint32_t)first >> 24);
  return ERT_STEP_WORDS + ERT_VIEW_WORDS * (1 + n_in) + n_params;
}

static inline ert_step ert_step_at(const ert_model *m, const int32_t *words) {
  ert_step s;
  s.number = words[0] & 0xffff;
  s.n_in = (int32_t)((uint32_t)words[0] >> 16 & 0xff);
  s.n_params = (int32_t)((uint32_t)words[0] >> 24);
  s.rows = words[1];
  s.batch = words[2];
  s.scratch_offset = words[3];
  s.out = words + ERT_STEP_WORDS;
  s.in = s.out + ERT_VIEW_WORDS;
  s.params = s.in + ERT_VIEW_WORDS * s.n_in;
  s.weights_bytes = m->weights_bytes;
  return s;
}

#endif
