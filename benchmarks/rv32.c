/* SPDX-License-Identifier: Apache-2.0 */
/* A Linux program without a C library: loads the model, runs it RUNS times on the input and writes the output. */
#include "ert.h"

extern const uint8_t model_bytes[], model_end[], input_bytes[];

static uint8_t arena[ARENA_BYTES] __attribute__((aligned(16)));

static long system_call(long number, long a, const void *b, long c) {
  register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = (long)b;
  register long a2 __asm__("a2") = c;
  register long a7 __asm__("a7") = number;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
  return a0;
}

static int run(void) {
  ert_model m;
  ert_session s;
  ert_tensor in, out;
  int err = ert_load(&m, model_bytes, (size_t)(model_end - model_bytes));
  if (!err) err = ert_begin(&s, &m, arena, sizeof arena);
  if (!err) err = ert_input(&s, 0, &in);
  if (!err) err = ert_output(&s, 0, &out);
  if (err) return -err;
  for (int i = 0; i < RUNS; i++) {
    for (uint32_t k = 0; k < in.bytes; k++) ((uint8_t *)in.data)[k] = input_bytes[k];
    err = ert_run(&s);
    if (err) return -err;
  }
  if (RUNS > 0) system_call(64, 1, out.data, (long)out.bytes); /* write */
  return 0;
}

void _start(void);
void _start(void) {
  system_call(93, run(), 0, 0); /* exit */
  for (;;) continue;
}
