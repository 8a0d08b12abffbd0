/* SPDX-License-Identifier: Apache-2.0 */
/* A model on this machine: its file mapped, an arena, and inputs that a run may be repeated with. */
#ifndef TARGET_H
#define TARGET_H

#include <stddef.h>
#include <stdint.h>

#include "ert.h"
#include "ert_pool.h"

typedef struct {
  ert_model model;
  ert_session session;
  const uint8_t *file;
  size_t file_bytes;
  ert_threads threads;
  ert_pool pool;
  uint8_t *given; /* the inputs, one after another, as the caller wants them at the start of a run */
  size_t given_bytes;
  size_t packed_bytes; /* 0 where the file runs as it is */
} target;

/* Maps the file: 0, or the system's error number. */
int target_map(target *t, const char *path);

/* Loads the mapped file and begins a session: 0 or an ERT_E code. ERT_EARENA where the system gives no memory. A portable
 * file is packed for this processor where `pack` is 1. */
int target_load(target *t, int pack);

/* Shares the steps of a loaded model out among n threads: 0, an ERT_E code, or the system's error number. */
int target_use_threads(target *t, int32_t n);

/* Puts the inputs where the model reads them; what ert_run then overwrites is a copy. */
void target_place(target *t);

/* One inference on what was placed: 0 or an ERT_E code. A streamed input is pushed whole. */
int target_run(target *t, ert_hook *hook, void *context);

/* Bytes of all outputs. */
size_t target_output_bytes(const target *t);

#endif
