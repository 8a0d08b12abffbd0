/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

int ert_begin(ert_session *s, const ert_model *m, void *arena, size_t arena_bytes) {
  if (arena_bytes < m->arena_bytes) return ERT_EARENA;
  if (((uintptr_t)arena & (ERT_ALIGN - 1)) != 0) return ERT_EALIGN;
  *s = (ert_session){m, arena};
  return ERT_OK;
}

static int tensor_at(const ert_session *s, int32_t index, ert_tensor *t) {
  static const uint8_t sizes[] = {4, 2, 1, 1, 2, 4, 8, 1};
  const int32_t *w = s->model->tensors + index * ERT_TENSOR_WORDS;
  uint32_t bytes = sizes[w[1]];
  for (int32_t i = 0; i < w[2]; i++) bytes *= (uint32_t)w[6 + i];
  *t = (ert_tensor){s->arena + w[0], bytes, w + 6, w[2], (ert_dtype)w[1], 0.0f, w[4]};
  ERT_MEMCPY(&t->scale, &w[3], sizeof t->scale);
  return ERT_OK;
}

int ert_input(const ert_session *s, int index, ert_tensor *t) {
  return index < 0 || index >= s->model->n_inputs ? ERT_EINDEX : tensor_at(s, index, t);
}

int ert_output(const ert_session *s, int index, ert_tensor *t) {
  return index < 0 || index >= s->model->n_outputs ? ERT_EINDEX : tensor_at(s, s->model->n_inputs + index, t);
}

static ert_view input_view(const ert_session *s, const int32_t *view, int32_t item) {
  if ((view[0] & ERT_CONSTANT_BIT) != 0)
    return (ert_view){s->model->weights + (view[0] & ~ERT_CONSTANT_BIT), view[1], view[2]};
  return (ert_view){s->arena + view[0] + item * view[1] * view[2], view[1], view[2]};
}

static void run_step(const ert_session *s, const ert_step *step) {
  const ert_kernel *k = ert_find_kernel(step->number);
  ert_call c;
  c.params = step->params;
  c.weights = s->model->weights;
  c.scratch = s->arena + step->scratch_offset;
  for (int32_t item = 0; item < step->batch; item++) {
    const int32_t at = step->out[0] + item * step->out[1] * step->out[2];
    c.out = (ert_out_view){s->arena + at, step->out[1], step->out[2]};
    for (int32_t i = 0; i < step->n_in; i++) c.in[i] = input_view(s, step->in + ERT_VIEW_WORDS * i, item);
    k->run(&c, 0, step->rows);
  }
}

int ert_run_hooked(const ert_session *s, ert_hook *hook, void *context) {
  const int32_t *words = s->model->steps;
  for (int32_t i = 0; i < s->model->n_steps; i++, words += ert_step_words(words[0])) {
    const ert_step step = ert_step_at(s->model, words);
    ert_event event = {i, 0, s->arena + step.out[0], step.batch * step.out[1] * step.out[2]};
    if (hook) hook(context, &event);
    run_step(s, &step);
    event.done = 1;
    if (hook) hook(context, &event);
  }
  return ERT_OK;
}

int ert_run(const ert_session *s) { return ert_run_hooked(s, NULL, NULL); }
