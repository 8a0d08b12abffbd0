/* SPDX-License-Identifier: Apache-2.0 */
/* A hook for ert_run_hooked that adds up the nanoseconds of each step: far cheaper than one in Python. */
#define _POSIX_C_SOURCE 200809L
#include <ert.h>
#include <time.h>

typedef struct {
  int64_t begun;
  int64_t *ns; /* of each step, over all its calls */
} step_times;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void clock_step(void *context, const ert_event *event);

void clock_step(void *context, const ert_event *event) {
  step_times *const times = context;
  if (event->done) times->ns[event->step] += now() - times->begun;
  times->begun = now();
}
