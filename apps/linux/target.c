/* SPDX-License-Identifier: Apache-2.0 */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "isa.h"
#include "isas.h"

enum { SLIDING = 2 /* ert_model.streamed */ };

static int map_open(target *t, int descriptor) {
  struct stat found;
  if (fstat(descriptor, &found) != 0) return errno;
  if (!S_ISREG(found.st_mode) || found.st_size < 1) return EINVAL;
  void *mapped = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (mapped == MAP_FAILED) return errno;
  t->file = mapped;
  t->file_bytes = (size_t)found.st_size;
  return 0;
}

int target_map(target *t, const char *path) {
  *t = (target){.file = NULL};
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return errno;
  const int err = map_open(t, descriptor);
  close(descriptor);
  return err;
}

/* Pages of the system, zero: aligned to all that a model wants, and taken only where they are written. */
static uint8_t *pages(size_t bytes) {
  void *mapped = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return mapped == MAP_FAILED ? NULL : mapped;
}

static size_t tensors_bytes(const target *t, int (*get)(const ert_session *, int, ert_tensor *)) {
  size_t bytes = 0;
  ert_tensor each;
  for (int i = 0; get(&t->session, i, &each) == ERT_OK; i++) bytes += each.bytes;
  return bytes;
}

/* Without memory for it the model runs as it is. */
static int pack_model(target *t) {
  const size_t bytes = ert_packed_bytes(&t->model);
  uint8_t *memory = bytes ? pages(bytes) : NULL;
  if (memory == NULL) return ERT_OK;
  t->packed_bytes = bytes;
  return ert_pack(&t->model, memory, bytes);
}

int target_load(target *t, int pack) {
  int err = ert_load(&t->model, t->file, t->file_bytes);
  if (!err && pack && isas_needed(&t->model) == (uint32_t)1 << ERT_ISA_c) err = pack_model(t);
  if (err) return err;
  uint8_t *arena = pages(ert_arena_bytes(&t->model));
  if (arena == NULL) return ERT_EARENA;
  err = ert_begin(&t->session, &t->model, arena, ert_arena_bytes(&t->model));
  if (err) return err;
  t->given_bytes = tensors_bytes(t, ert_input);
  t->given = pages(t->given_bytes);
  if (t->given == NULL) return ERT_EARENA;
  return t->model.bound_bytes ? ert_bind_input(&t->session, 0, t->given) : ERT_OK;
}

size_t target_output_bytes(const target *t) { return tensors_bytes(t, ert_output); }

int target_use_threads(target *t, int32_t n) {
  const size_t bytes = ert_threads_bytes(&t->model, n);
  uint8_t *scratch = pages(bytes);
  if (scratch == NULL) return ERT_EARENA;
  const int err = ert_pool_begin(&t->pool, n);
  return err ? err : ert_use_threads(&t->session, &t->threads, n, ert_pool_run, &t->pool, scratch, bytes);
}

void target_place(target *t) {
  ert_tensor in;
  if (t->model.streamed || t->model.bound_bytes) return;
  const uint8_t *from = t->given;
  for (int i = 0; ert_input(&t->session, i, &in) == ERT_OK; i++, from += in.bytes) memcpy(in.data, from, in.bytes);
}

static int push_all(target *t, ert_hook *hook, void *context) {
  ert_tensor in;
  const int err = ert_input(&t->session, 0, &in);
  if (err) return err;
  if (t->model.streamed != SLIDING) return ert_push_rows_hooked(&t->session, t->given, in.dims[1], hook, context);
  ert_reset(&t->session);
  return ert_push_frames_hooked(&t->session, t->given, in.dims[1], hook, context);
}

int target_run(target *t, ert_hook *hook, void *context) {
  if (!t->model.streamed) return ert_run_hooked(&t->session, hook, context);
  const int complete = push_all(t, hook, context);
  return complete == 1 ? ERT_OK : complete < 0 ? complete : ERT_EROWS;
}
