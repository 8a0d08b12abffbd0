/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer on the loader: any bytes give a model or an error code, and a model that is accepted runs without
 * undefined behaviour. Built with AddressSanitizer and UndefinedBehaviorSanitizer by `make fuzz`. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "ert.h"

enum { MAX_ARENA_BYTES = 1 << 20, RUN_MICROSECONDS = 5000, HEADER_WORDS = 8, MIN_BYTES = 4 * HEADER_WORDS };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sigjmp_buf out_of_time;

static void stop(int signal_number) {
  (void)signal_number;
  siglongjmp(out_of_time, 1);
}

static void set_timer(int microseconds) {
  const struct itimerval t = {.it_value = {0, microseconds}};
  setitimer(ITIMER_VIRTUAL, &t, NULL);
}

/* An accepted model may still ask for hours of work; a few milliseconds of it are enough here. */
static void run(const ert_session *s) {
  signal(SIGVTALRM, stop);
  if (sigsetjmp(out_of_time, 1) == 0) {
    set_timer(RUN_MICROSECONDS);
    ert_run(s);
  }
  set_timer(0);
}

static void read_every_byte(const ert_tensor *t) {
  volatile uint8_t sink = 0;
  for (uint32_t i = 0; i < t->bytes; i++) sink = (uint8_t)(sink ^ ((const uint8_t *)t->data)[i]);
}

static void run_model(const ert_model *m, const uint8_t *data, size_t size) {
  ert_session s;
  ert_tensor t;
  uint8_t *arena = malloc(m->arena_bytes + 1u); /* a block of its own, so that the sanitizer sees its end */
  for (uint32_t i = 0; i < m->arena_bytes; i++) arena[i] = data[i % size];
  if (ert_begin(&s, m, arena, m->arena_bytes) == ERT_OK) {
    for (int i = 0; ert_input(&s, i, &t) == ERT_OK; i++) read_every_byte(&t);
    run(&s);
    for (int i = 0; ert_output(&s, i, &t) == ERT_OK; i++) read_every_byte(&t);
  }
  free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ert_model m;
  uint8_t *file = malloc(size ? size : 1);
  if (size) memcpy(file, data, size);
  (void)ert_check(file, size);
  if (ert_load(&m, file, size) == ERT_OK && ert_arena_bytes(&m) <= MAX_ARENA_BYTES) run_model(&m, file, size);
  free(file);
  return 0;
}

static uint32_t next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static uint32_t interesting(uint32_t *state, uint32_t old) {
  static const uint32_t words[] = {0, 1, 2, 3, 4, 16, 255, 32767, 32768, 65536, 0x3fffffff, 0x40000000, 0x7fffffff,
                                   0x80000000, 0xffffff80, 0xffffffff, 0x7fc00000, 0xff800000};
  const uint32_t n = sizeof words / sizeof words[0], r = next(state) >> 8;
  switch (r % 4) {
    case 0: return words[(next(state) >> 8) % n];
    case 1: return old + (next(state) >> 28) - 8;
    case 2: return old ^ (1u << (next(state) >> 27));
    default: return next(state);
  }
}

/* Half of the changes hit one aligned word, because the records are made of words; the other half are libFuzzer's
 * own. Magic, version and size are mostly put right again: what lies behind them is of more interest. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
  uint32_t state = seed, word;
  const uint32_t head[3] = {0x45474445u, ERT_FORMAT_MAJOR | ERT_FORMAT_MINOR << 16, 0};
  next(&state);
  if (size < MIN_BYTES || (next(&state) & 0x10000)) {
    size = LLVMFuzzerMutate(data, size, max_size);
  } else {
    const size_t at = 4 * (4 + (next(&state) >> 8) % (size / 4 - 4));
    memcpy(&word, data + at, 4);
    word = interesting(&state, word);
    memcpy(data + at, &word, 4);
  }
  if (size < MIN_BYTES || (next(&state) & 0x70000) == 0) return size;
  memcpy(data, head, 8);
  word = (uint32_t)size;
  memcpy(data + 8, &word, 4);
  return size;
}
