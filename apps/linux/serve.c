/* SPDX-License-Identifier: Apache-2.0 */
#include "serve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "step.h"

static void put(const void *bytes, size_t n) { fwrite(bytes, 1, n, stdout); }

static void put32(int32_t x) { put(&x, sizeof x); }

static void put64(uint64_t x) { put(&x, sizeof x); }

static void put_outputs(const target *t) {
  ert_tensor out;
  for (int i = 0; ert_output(&t->session, i, &out) == ERT_OK; i++) put(out.data, out.bytes);
}

static void on_run(target *t, const meter *m) {
  const uint64_t start = meter_now(m);
  const int code = target_run(t, NULL, NULL);
  const uint64_t cost = meter_now(m) - start;
  put32(code);
  put64(cost);
  put_outputs(t);
}

static void on_profile(target *t, const meter *m) {
  const size_t n = (size_t)t->model.n_steps;
  uint64_t *sums = calloc(2 * n + 1, sizeof *sums);
  step_costs costs = {m, sums, sums + n, 0};
  put32(sums ? target_run(t, costs_hook, &costs) : ERT_EARENA);
  for (size_t i = 0; i < n; i++) {
    put64(sums ? costs.sums[i] : 0);
    put64(sums ? costs.calls[i] : 0);
  }
  free(sums);
}

static void send_call(void *context, const ert_event *event) {
  (void)context;
  if (!event->done) return;
  put32(event->step);
  put32(event->out_bytes);
  put(event->out, (size_t)event->out_bytes);
}

static void on_steps(target *t) {
  const int code = target_run(t, send_call, NULL);
  put32(-1);
  put32(code);
}

static void on_kernels(const target *t) {
  const int32_t *words = t->model.steps;
  for (int32_t i = 0; i < t->model.n_steps; i++, words += ert_step_words(words[0])) put32(words[0] & 0xffff);
}

static void on_reset(target *t) {
  ert_reset(&t->session);
  put32(ERT_OK);
}

/* Whether the inputs of a request arrived whole. */
static int take_inputs(target *t) {
  if (fread(t->given, 1, t->given_bytes, stdin) != t->given_bytes) return 0;
  target_place(t);
  return 1;
}

static int answer(target *t, const meter *m, int kind) {
  if (kind == 'z') {
    on_reset(t);
    return 0;
  }
  if (kind == 'k') {
    on_kernels(t);
    return 0;
  }
  if (kind != 'r' && kind != 'p' && kind != 's') return EPROTO;
  if (!take_inputs(t)) return EIO;
  if (kind == 'r') on_run(t, m);
  else if (kind == 'p') on_profile(t, m);
  else on_steps(t);
  return 0;
}

static void hello(const target *t, const meter *m, int code, uint64_t load_cost) {
  put32(code);
  if (code) return;
  put64(load_cost);
  put64(meter_empty(m));
  put64(meter_empty_call(m));
  put64(ert_arena_bytes(&t->model));
  put32((int32_t)t->given_bytes);
  put32((int32_t)target_output_bytes(t));
  put32(t->model.n_steps);
}

int serve(target *t, const meter *m, int code, uint64_t load_cost) {
  hello(t, m, code, load_cost);
  int err = fflush(stdout) == 0 ? 0 : errno;
  for (int kind = code ? EOF : getchar(); kind != EOF && !err; kind = err ? EOF : getchar()) {
    err = answer(t, m, kind);
    if (!err && fflush(stdout) != 0) err = errno;
  }
  return err;
}
