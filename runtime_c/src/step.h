/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a .edge file, shared by load.c and run.c. See FORMAT.md. */
#ifndef ERT_STEP_H
#define ERT_STEP_H

#include "isa.h"
#include "kernel.h"

enum {
  ERT_HEADER_BYTES = 32,
  ERT_SECTION_BYTES = 12,
  ERT_TENSOR_WORDS = 12,
  ERT_STEP_WORDS = 4,
  ERT_STAGE_WORDS = 7,
  ERT_VARIABLE_WORDS = 4 /* arena offset, bytes, blob with the first contents or ERT_NO_BLOB, then the byte they are */
};

enum {
  ERT_SECTION_TENSORS = 1,
  ERT_SECTION_STEPS = 2,
  ERT_SECTION_STAGES = 3,
  ERT_SECTION_WEIGHTS = 4,
  ERT_SECTION_VARIABLES = 6
};

/* Required features of a file that this runtime has. */
enum { ERT_FEATURE_VARIABLES = 1, ERT_FEATURES = ERT_FEATURE_VARIABLES };

/* An input view whose offset has this bit lies in the weights, not in the arena. */
#define ERT_CONSTANT_BIT ((int32_t)0x40000000)
/* A view whose offset has this bit names a row table in the weights: uint16[rows], arena offsets / ERT_ALIGN. */
#define ERT_TABLE_BIT ((int32_t)0x20000000)
/* Both bits: an input view of the bound input, at this offset of it. */
#define ERT_BOUND_BITS (ERT_CONSTANT_BIT | ERT_TABLE_BIT)

/* plain: steps one after another on whole tensors. rows: single rows in the order of the stage's program.
 * frames: rows too, but for ever: the program repeats, and rings keep what the next frames need. */
enum { ERT_STAGE_PLAIN = 0, ERT_STAGE_ROWS = 1, ERT_STAGE_FRAMES = 2 };

/* How an input arrives: word 5 of its record, bits 0 to 7; of frames, bits 8 on are the rows of its ring. */
enum { ERT_RESIDENT = 0, ERT_ROWS = 1, ERT_FRAMES = 2, ERT_BOUND = 3 };

/* Row numbers of frames begin again after this many frames. */
enum { ERT_WRAP = 1 << 14 };

/* A byte of a row program: this step of the stage computes its next row, or: a row of the model's input arrives. */
enum { ERT_AWAIT_ROW = 0xff };

typedef struct ert_stage {
  int32_t kind, first, count;
  int32_t program, program_bytes; /* blob: uint8[program_bytes]; plain: rows in a part of each step, or none */
  int32_t steps;    /* blob: uint16[count], word offset of each step in the step section; frames: then its first row */
  int32_t counters; /* arena offset of uint16[count]: rows done; rows: then rows of input arrived */
} ert_stage;

/* Words of the step at `words`, from its first word alone. */
static inline int32_t ert_step_words(int32_t first) {
  const int32_t n_in = (int32_t)((uint32_t)first >> 16 & 0xff), n_params = (int32_t)((uint32_t)first >> 24);
  return ERT_STEP_WORDS + ERT_VIEW_WORDS * (1 + n_in) + n_params;
}

/* Rows that the step at `words` is called for. */
static inline int32_t ert_step_rows(const int32_t *words) { return words[1]; }

/* ert_pack copies the steps into its memory. One whose weights it packed has this bit in its scratch offset, and in place
 * of its first parameter the word, counted from the first step, where its parameters begin; their blobs count from the
 * first step, too. Elsewhere the bit is never set: offsets of scratch are aligned. */
#define ERT_PACKED_BIT ((int32_t)1)

static inline int ert_step_packed(const int32_t *words) { return ERT_HAS_VECTORS && (words[3] & ERT_PACKED_BIT) != 0; }

/* Where in the arena the step's scratch lies. */
static inline int32_t ert_step_scratch(const int32_t *words) {
  return ERT_HAS_VECTORS ? words[3] & ~ERT_PACKED_BIT : words[3];
}

/* The parameters of the step at `words`, whose own ones begin at `params`; and what their blobs count from. */
static inline const int32_t *ert_step_params(const ert_model *m, const int32_t *words, const int32_t *params) {
  return ert_step_packed(words) ? m->steps + params[0] : params;
}

static inline const uint8_t *ert_step_weights(const ert_model *m, const int32_t *words) {
  return ert_step_packed(words) ? (const void *)m->steps : m->weights;
}

/* Rows [y0, y1) of one item of the step's batch. */
void ert_run_item(const ert_session *s, const int32_t *words, int32_t item, int32_t y0, int32_t y1, void *scratch);

/* Whether the rows of a kernel's op may be computed in any order and at the same time. */
int ert_splits(int32_t number);

static inline ert_step ert_step_at(const ert_model *m, const int32_t *words) {
  ert_step s;
  s.number = words[0] & 0xffff;
  s.n_in = (int32_t)((uint32_t)words[0] >> 16 & 0xff);
  s.n_params = (int32_t)((uint32_t)words[0] >> 24);
  s.rows = words[1];
  s.batch = words[2];
  s.scratch_offset = ert_step_scratch(words);
  s.out = words + ERT_STEP_WORDS;
  s.in = s.out + ERT_VIEW_WORDS;
  s.params = ert_step_params(m, words, s.in + ERT_VIEW_WORDS * s.n_in);
  s.weights_bytes = m->weights_bytes;
  return s;
}

#endif
