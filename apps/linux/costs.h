/* SPDX-License-Identifier: Apache-2.0 */
/* What a program's work costs: nanoseconds, or instructions where an emulator counts them. The emulator's plugin
 * (count_instructions.c) keeps its count in a file that both sides map, so reading it is a load. */
#ifndef COSTS_H
#define COSTS_H

#include <stdint.h>

#include "ert.h"

typedef struct {
  const volatile uint64_t *counted; /* NULL: nanoseconds */
} meter;

/* A sum and a number of calls per step, while a run is watched. */
typedef struct {
  const meter *meter;
  uint64_t *sums, *calls;
  uint64_t start;
} step_costs;

/* 0, or the system's error number. `file` NULL: nanoseconds. */
int meter_open(meter *m, const char *file);

uint64_t meter_now(const meter *m);

/* What measuring nothing gives: a span, and a call of a hook. */
uint64_t meter_empty(const meter *m);
uint64_t meter_empty_call(const meter *m);

/* An ert_hook whose context is a step_costs. */
void costs_hook(void *context, const ert_event *event);

#endif
