/* SPDX-License-Identifier: Apache-2.0 */
/* Steps whose rows several threads compute. Nothing here is linked into a program that does not call ert_use_threads;
 * -DERT_ONE_THREAD also leaves out the question whether there are any. */
#include "step.h"

/* Ops whose rows may be computed in any order and at the same time: a call finds nothing that it needs in scratch,
 * writes its own rows only, and what it reads does not depend on what another row wrote. */
static const uint8_t independent[] = {
    0x01, 0x02, 0x03, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0a, /* convolutions, pools, softmax, quantize, resize */
    0x10, 0x11, 0x12, 0x13, 0x14,                         /* item by item, copies */
    0x40, 0x41, 0x42, 0x43, 0x44, 0x48, 0x49, 0x4a, 0x50, 0x51,
};

int ert_splits(int32_t number) {
  for (size_t i = 0; i < sizeof independent; i++)
    if (independent[i] == number >> 8) return 1;
  return 0;
}

/* Rows in a part of each step of a plain stage: 0 where one thread computes the step; NULL where one computes all. */
static const uint8_t *parts_of(const ert_model *m, const ert_stage *g) {
  return g->kind == ERT_STAGE_PLAIN && g->program_bytes > 0 ? m->weights + g->program : NULL;
}

static int overlap(const int32_t *a, const int32_t *b, int32_t batch) {
  return a[0] < b[0] + batch * b[1] * b[2] && b[0] < a[0] + batch * a[1] * a[2];
}

/* Nobody reads what another thread writes: an input lies apart from the output, or row by row in its place. */
static int may_split(const ert_step *s) {
  if (!ert_splits(s->number) || (s->out[0] & ERT_BOUND_BITS) != 0 || s->out[1] != s->rows) return 0;
  for (int32_t i = 0; i < s->n_in; i++) {
    const int32_t *in = s->in + ERT_VIEW_WORDS * i, where = in[0] & ERT_BOUND_BITS;
    if (where == ERT_TABLE_BIT) return 0;
    const int same = in[0] == s->out[0] && in[1] == s->out[1] && in[2] == s->out[2];
    if (where == 0 && !same && overlap(in, s->out, s->batch)) return 0;
  }
  return 1;
}

static int32_t scratch_of(const ert_step *s) {
  const int32_t bytes = ert_find_kernel(s->number)->scratch(s->params);
  return (bytes + ERT_ALIGN - 1) & ~(ERT_ALIGN - 1); /* lies in the arena, so it is far from INT32_MAX */
}

/* The largest scratch of the steps that are split; ERT_ELAYOUT where one of them must not be. */
static int32_t largest_scratch(const ert_model *m) {
  int32_t most = 0;
  const int32_t *words = m->steps;
  for (int32_t i = 0; i < m->n_stages; i++) {
    const ert_stage *g = (const void *)(m->stages + i * ERT_STAGE_WORDS);
    const uint8_t *parts = parts_of(m, g);
    const ert_step blobs = {.weights_bytes = m->weights_bytes};
    if (parts && (g->program_bytes != g->count || !ert_blob_ok(&blobs, g->program, g->count, 1))) return ERT_ELAYOUT;
    for (int32_t k = 0; k < g->count; k++, words += ert_step_words(words[0])) {
      if (!parts || parts[k] == 0) continue;
      const ert_step s = ert_step_at(m, words);
      if (!may_split(&s)) return ERT_ELAYOUT;
      most = scratch_of(&s) > most ? scratch_of(&s) : most;
    }
  }
  return most;
}

size_t ert_threads_bytes(const ert_model *m, int32_t n) {
  const int32_t each = largest_scratch(m);
  if (each <= 0 || n <= 1) return 0;
  const size_t others = (size_t)(n - 1), most = SIZE_MAX / (size_t)each;
  return others > most ? SIZE_MAX : others * (size_t)each;
}

/* A step as its threads see it. */
typedef struct {
  const ert_session *s;
  const int32_t *words;
  int32_t rows, parts; /* rows in a part, parts in an item of the batch */
} share;

static void compute_part(void *context, int32_t part, int32_t worker) {
  const share *h = context;
  const ert_threads *t = h->s->threads;
  const int32_t y0 = part % h->parts * h->rows, left = ert_step_rows(h->words) - y0;
  uint8_t *own =
      worker > 0 ? t->scratch + (size_t)(worker - 1) * t->scratch_bytes : h->s->arena + ert_step_scratch(h->words);
  ert_run_item(h->s, h->words, part / h->parts, y0, y0 + (left < h->rows ? left : h->rows), own);
}

/* 1 where the threads computed step k of the stage, 0 where it is not theirs. */
static int split(const ert_session *s, const ert_stage *g, int32_t k, const int32_t *words) {
  const uint8_t *parts = parts_of(s->model, g);
  const int32_t rows = parts ? parts[k] : 0;
  if (rows == 0 || (rows >= ert_step_rows(words) && words[2] == 1)) return 0;
  share h = {s, words, rows, (ert_step_rows(words) + rows - 1) / rows};
  s->threads->parallel(s->threads->pool, compute_part, &h, h.parts * words[2]);
  return 1;
}

int ert_use_threads(ert_session *s, ert_threads *t, int32_t n, ert_parallel *parallel, void *pool, void *scratch,
                    size_t scratch_bytes) {
  const int32_t each = largest_scratch(s->model);
  if (each < 0) return each;
  if (n < 1 || ((uintptr_t)scratch & (ERT_ALIGN - 1)) != 0) return n < 1 ? ERT_EINDEX : ERT_EALIGN;
  if (scratch_bytes / (uint32_t)(each > 0 ? each : 1) < (size_t)(each > 0 ? n - 1 : 0)) return ERT_EARENA;
  *t = (ert_threads){parallel, pool, scratch, (uint32_t)each, split};
  s->threads = n > 1 ? t : NULL;
  return ERT_OK;
}
