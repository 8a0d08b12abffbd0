/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

static void begin_variable(const ert_model *m, uint8_t *arena, const int32_t *v) {
  if (v[2] == ERT_NO_BLOB) ERT_MEMSET(arena + v[0], v[3], v[1]);
  else ERT_MEMMOVE(arena + v[0], m->weights + v[2], v[1]);
}

void ert_reset(ert_session *s) {
  const ert_model *m = s->model;
  s->at = s->rows = 0;
  for (int32_t i = 0; i < m->n_variables; i++) begin_variable(m, s->arena, m->variables + i * ERT_VARIABLE_WORDS);
}

int ert_begin(ert_session *s, const ert_model *m, void *arena, size_t arena_bytes) {
  if (arena_bytes < m->arena_bytes) return ERT_EARENA;
  if (((uintptr_t)arena & (ERT_ALIGN - 1)) != 0) return ERT_EALIGN;
  *s = (ert_session){m, arena, 0, 0, NULL, NULL};
  ert_reset(s);
  return ERT_OK;
}

static const uint8_t item_bytes[] = {4, 2, 1, 1, 2, 4, 8, 1}; /* by ert_dtype */

static int tensor_at(const ert_session *s, int32_t index, ert_tensor *t) {
  const int32_t *w = s->model->tensors + index * ERT_TENSOR_WORDS;
  uint32_t bytes = item_bytes[w[1]];
  for (int32_t i = 0; i < w[2]; i++) bytes *= (uint32_t)w[6 + i];
  void *data = w[5] == ERT_RESIDENT ? s->arena + w[0] : (void *)(uintptr_t)s->bound;
  *t = (ert_tensor){data, bytes, w + 6, w[2], (ert_dtype)w[1], 0.0f, w[4]};
  ERT_MEMMOVE(&t->scale, &w[3], sizeof t->scale);
  return ERT_OK;
}

int ert_input(const ert_session *s, int index, ert_tensor *t) {
  return index < 0 || index >= s->model->n_inputs ? ERT_EINDEX : tensor_at(s, index, t);
}

int ert_output(const ert_session *s, int index, ert_tensor *t) {
  return index < 0 || index >= s->model->n_outputs ? ERT_EINDEX : tensor_at(s, s->model->n_inputs + index, t);
}

int ert_bind_input(ert_session *s, int index, const void *data) {
  if (index < 0 || index >= s->model->n_inputs) return ERT_EINDEX;
  if (s->model->bound_bytes == 0) return ERT_EBOUND;
  if (((uintptr_t)data & (uintptr_t)(item_bytes[s->model->tensors[1]] - 1)) != 0) return ERT_EALIGN;
  s->bound = data;
  return ERT_OK;
}

typedef struct {
  ert_session *s;
  ert_hook *hook;
  void *context;
} runner;

/* The table that a view names, NULL for rows one after another. */
static const uint16_t *table_of(const ert_session *s, const int32_t *view) {
  const int32_t where = view[0] & ERT_BOUND_BITS;
  return where == ERT_TABLE_BIT ? (const void *)(s->model->weights + (view[0] & ~ERT_BOUND_BITS)) : NULL;
}

/* Where the rows of a view begin; of rows in a table, what each of them adds to. Only what an output view names is
 * written. */
static uint8_t *base_of(const ert_session *s, const int32_t *view, int32_t item) {
  const int32_t where = view[0] & ERT_BOUND_BITS, at = (view[0] & ~ERT_BOUND_BITS) + view[3];
  if (where == ERT_TABLE_BIT) return s->arena + view[3];
  if (where == ERT_CONSTANT_BIT) return (uint8_t *)(uintptr_t)(s->model->weights + at);
  return (where ? (uint8_t *)(uintptr_t)s->bound : s->arena) + at + item * view[1] * view[2];
}

void ert_run_item(const ert_session *s, const int32_t *words, int32_t item, int32_t y0, int32_t y1, void *scratch) {
  const int32_t n_in = (int32_t)((uint32_t)words[0] >> 16 & 0xff);
  const int32_t *out = words + ERT_STEP_WORDS, *in = out + ERT_VIEW_WORDS;
  ert_call c;
  c.params = ert_step_params(s->model, words, in + ERT_VIEW_WORDS * n_in);
  c.weights = ert_step_weights(s->model, words);
  c.scratch = scratch;
  c.out = (ert_out_view){base_of(s, out, item), table_of(s, out), out[1], out[2]};
  for (int32_t i = 0; i < n_in; i++) {
    const int32_t *v = in + ERT_VIEW_WORDS * i;
    c.in[i] = (ert_view){base_of(s, v, item), table_of(s, v), v[1], v[2]};
  }
  ert_find_kernel(words[0] & 0xffff)->run(&c, y0, y1);
}

static void run_rows(const ert_session *s, const int32_t *words, int32_t y0, int32_t y1) {
  for (int32_t item = 0; item < words[2]; item++)
    ert_run_item(s, words, item, y0, y1, s->arena + ert_step_scratch(words));
}

static ert_event event_of(const ert_session *s, int32_t index, const int32_t *words, int32_t y0, int32_t y1) {
  const int32_t *out_words = words + ERT_STEP_WORDS;
  const ert_out_view out = {base_of(s, out_words, 0), table_of(s, out_words), out_words[1], out_words[2]};
  const int whole = y0 == 0 && y1 == ert_step_rows(words);
  const int32_t room = ert_view_room(out_words);
  const int32_t bytes = whole && out_words[3] == 0 ? words[2] * out_words[1] * out_words[2] : room;
  return (ert_event){index, 0, ert_out_row(&out, y0), bytes};
}

/* Rows [y0, y1), or, where the stage is a plain one, perhaps all rows on several threads. */
static void compute(const ert_session *s, const ert_stage *plain, int32_t index, const int32_t *words, int32_t y0,
                    int32_t y1) {
#ifndef ERT_ONE_THREAD
  if (s->threads && plain && s->threads->split(s, plain, index - plain->first, words)) return;
#endif
  (void)plain, (void)index;
  run_rows(s, words, y0, y1);
}

/* The event is made before the first call of the hook, so that nothing but the kernel's call lies between the two. */
static void call_step(const runner *r, const ert_stage *plain, int32_t index, const int32_t *words, int32_t y0,
                      int32_t y1) {
  if (!r->hook) {
    compute(r->s, plain, index, words, y0, y1);
    return;
  }
  ert_event event = event_of(r->s, index, words, y0, y1);
  r->hook(r->context, &event);
  compute(r->s, plain, index, words, y0, y1);
  event.done = 1;
  r->hook(r->context, &event);
}

static const int32_t *run_plain(const runner *r, const ert_stage *g, const int32_t *words) {
  for (int32_t i = g->first; i < g->first + g->count; i++, words += ert_step_words(words[0]))
    call_step(r, g, i, words, 0, ert_step_rows(words));
  return words;
}

/* Follows the program from byte `at` to its end or to an input row that has not arrived; the byte it stops at. */
static int32_t run_program(const runner *r, const ert_stage *g, int32_t at, int32_t arrived) {
  const ert_model *m = r->s->model;
  const uint8_t *program = m->weights + g->program;
  const uint16_t *steps = (const void *)(m->weights + g->steps);
  uint16_t *done = (void *)(r->s->arena + g->counters);
  if (at == 0) ERT_MEMSET(done, 0, 2 * (g->count + 1));
  for (; at < g->program_bytes; at++) {
    const int32_t i = program[at];
    if (i == ERT_AWAIT_ROW) {
      if (done[g->count] == arrived) break;
      done[g->count]++;
    } else if (i < g->count) {
      const int32_t *words = m->steps + steps[i];
      if (done[i] < ert_step_rows(words)) call_step(r, NULL, g->first + i, words, done[i], done[i] + 1);
      done[i]++;
    }
  }
  return at;
}

static const int32_t *skip_steps(const int32_t *words, int32_t n) {
  while (n-- > 0) words += ert_step_words(words[0]);
  return words;
}

/* Stages from `stage` on. */
static void run_stages(const runner *r, int32_t stage) {
  const ert_model *m = r->s->model;
  const int32_t *words = m->steps;
  for (int32_t i = 0; i < m->n_stages; i++) {
    const ert_stage *g = (const void *)(m->stages + i * ERT_STAGE_WORDS);
    if (i < stage) {
      words = skip_steps(words, g->count);
    } else if (g->kind == ERT_STAGE_PLAIN) {
      words = run_plain(r, g, words);
    } else {
      run_program(r, g, 0, INT32_MAX);
      words = skip_steps(words, g->count);
    }
  }
}

int ert_run_hooked(ert_session *s, ert_hook *hook, void *context) {
  const runner r = {s, hook, context};
  if (s->model->streamed) return ERT_EROWS;
  if (s->model->bound_bytes && !s->bound) return ERT_EBOUND;
  run_stages(&r, 0);
  return ERT_OK;
}

int ert_run(ert_session *s) { return ert_run_hooked(s, NULL, NULL); }

static int restart(ert_session *s, int result) {
  s->at = s->rows = 0;
  return result;
}

static int32_t input_row_bytes(const int32_t *tensor) { return tensor[8] * tensor[9] * item_bytes[tensor[1]]; }

/* The program of rows runs to the AWAIT of this row: every call but the first finds it there and does nothing. */
static uint8_t *next_row(const runner *r) {
  ert_session *s = r->s;
  const int32_t *t = s->model->tensors;
  if (s->model->streamed == ERT_FRAMES) return s->arena + t[0] + s->rows % (t[5] >> 8) * input_row_bytes(t);
  const uint16_t *table = (const void *)(s->model->weights + t[0]);
  s->at = run_program(r, (const void *)s->model->stages, s->at, s->rows);
  return s->arena + ERT_ALIGN * table[s->rows];
}

static void row_arrived(const runner *r) {
  ert_session *s = r->s;
  s->rows++;
  s->at = run_program(r, (const void *)s->model->stages, s->at, s->rows);
}

int ert_push_rows_hooked(ert_session *s, const void *rows, int32_t n_rows, ert_hook *hook, void *context) {
  const runner r = {s, hook, context};
  const int32_t *t = s->model->tensors;
  if (s->model->streamed != ERT_ROWS || !ert_within(n_rows, 0, rows ? t[7] - s->rows : 1)) return restart(s, ERT_EROWS);
  const int32_t row_bytes = input_row_bytes(t);
  for (const uint8_t *row = rows; n_rows > 0; n_rows--) {
    uint8_t *place = next_row(&r);
    if (row) ERT_MEMMOVE(place, row, row_bytes), row += row_bytes;
    row_arrived(&r);
  }
  if (s->rows < t[7]) return 0;
  run_stages(&r, 1);
  return restart(s, 1);
}

int ert_push_rows(ert_session *s, const void *rows, int32_t n_rows) {
  return ert_push_rows_hooked(s, rows, n_rows, NULL, NULL);
}

/* The calls that one frame asks for; 1 where the stage's last step is one of them, and with it a window complete. */
static int run_frame(const runner *r, const ert_stage *g) {
  const ert_model *m = r->s->model;
  const uint8_t *program = m->weights + g->program;
  const uint16_t *steps = (const void *)(m->weights + g->steps);
  uint16_t *next = (void *)(r->s->arena + g->counters);
  int complete = 0;
  int32_t at = r->s->at + 1; /* past the byte that awaits the frame */
  for (; at < g->program_bytes && program[at] != ERT_AWAIT_ROW; at++) {
    const int32_t i = program[at];
    if (i >= g->count) continue;
    const int32_t *words = m->steps + steps[i];
    const int32_t y = next[i] < ert_step_rows(words) ? next[i] : 0;
    call_step(r, NULL, g->first + i, words, y, y + 1);
    next[i] = (uint16_t)(y + 1);
    complete |= i == g->count - 1;
  }
  r->s->at = at < g->program_bytes ? at : 0;
  return complete;
}

int ert_push_frames_hooked(ert_session *s, const void *frames, int32_t n_frames, ert_hook *hook, void *context) {
  const runner r = {s, hook, context};
  const int32_t *t = s->model->tensors;
  const ert_stage *g = (const void *)s->model->stages;
  if (s->model->streamed != ERT_FRAMES || !ert_within(n_frames, 0, frames ? INT32_MAX : 1)) return ERT_EROWS;
  const int32_t row_bytes = input_row_bytes(t);
  int fresh = 0;
  for (const uint8_t *frame = frames; n_frames > 0; n_frames--) {
    if (s->rows == 0) ERT_MEMMOVE(s->arena + g->counters, s->model->weights + g->steps + 2 * g->count, 2 * g->count);
    if (frame) ERT_MEMMOVE(next_row(&r), frame, row_bytes), frame += row_bytes;
    s->rows = s->rows == 2 * ERT_WRAP - 1 ? ERT_WRAP : s->rows + 1;
    if (!run_frame(&r, g) || s->rows < t[7]) continue;
    run_stages(&r, 1);
    fresh = 1;
  }
  return fresh;
}

int ert_push_frames(ert_session *s, const void *frames, int32_t n_frames) {
  return ert_push_frames_hooked(s, frames, n_frames, NULL, NULL);
}

void *ert_next_row_hooked(ert_session *s, ert_hook *hook, void *context) {
  const runner r = {s, hook, context};
  return s->model->streamed ? next_row(&r) : NULL;
}

void *ert_next_row(ert_session *s) { return ert_next_row_hooked(s, NULL, NULL); }
