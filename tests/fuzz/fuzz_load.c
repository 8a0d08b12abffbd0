/* SPDX-License-Identifier: Apache-2.0 */
/* libFuzzer on the loader: any bytes give a model or an error code, and a model that is accepted runs without
 * undefined behaviour. Built with AddressSanitizer and UndefinedBehaviorSanitizer by `make fuzz`. */
#define _XOPEN_SOURCE 700
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "step.h"

enum {
  MAX_ARENA_BYTES = 1 << 20,
  MAX_PACKED_BYTES = 1 << 24,
  LIGHT_BYTES = 1 << 14,
  RUN_MICROSECONDS = 1000,
  HEADER_WORDS = 8,
  MIN_BYTES = 4 * HEADER_WORDS
};

/* With -DLOAD_ONLY=1 the loader alone is fuzzed, some hundred times as often in the same time. */
#ifndef LOAD_ONLY
#define LOAD_ONLY 0
#endif

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sigjmp_buf out_of_time;
static pthread_t runner;
static volatile sig_atomic_t running;

/* The signal may reach libFuzzer's own thread, which passes it on, perhaps too late. */
static void stop(int signal_number) {
  if (!pthread_equal(pthread_self(), runner)) pthread_kill(runner, signal_number);
  else if (running) siglongjmp(out_of_time, 1);
}

static void set_timer(int microseconds) {
  const struct itimerval t = {.it_value = {0, microseconds}};
  setitimer(ITIMER_VIRTUAL, &t, NULL);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* One row of a streamed input, taken from the bytes of the file, in a block of its own (null if nothing streams); the
 * bytes of the file also say how each row is given. */
typedef struct {
  uint8_t *row;
  size_t row_bytes;
  const uint8_t *ways;
  size_t n_ways;
} feed;

static feed input_rows(ert_session *s, const uint8_t *data, size_t size) {
  ert_tensor t;
  feed f = {NULL, 0, data, size};
  if (!s->model->streamed || ert_input(s, 0, &t) != ERT_OK) return f;
  f.row_bytes = t.bytes / (uint32_t)t.dims[1];
  f.row = calloc(1, f.row_bytes + 1);
  memcpy(f.row, data, least(size, f.row_bytes));
  return f;
}

/* Copied from a block; written where ert_next_row says, which may be asked again; or left as it lies there. */
static int push_row(ert_session *s, const feed *f, size_t i) {
  const int way = f->ways[i % f->n_ways] % 4;
  for (int asked = 0; asked < way && way < 3; asked++) {
    uint8_t *place = ert_next_row(s);
    memcpy(place, f->row, f->row_bytes);
  }
  const void *rows = way ? NULL : f->row;
  return s->model->streamed == ERT_ROWS ? ert_push_rows(s, rows, 1) : ert_push_frames(s, rows, 1);
}

static void push(ert_session *s, const feed *f) {
  if (s->model->streamed == ERT_ROWS)
    for (size_t i = 0; push_row(s, f, i) == 0; i++) continue;
  else
    for (size_t i = 0; i < 64; i++) (void)push_row(s, f, i);
}

/* Pushes that every model refuses; two rows cannot lie where the next one belongs. */
static void push_wrongly(ert_session *s) {
  const int32_t wrong[] = {-1, 2, INT32_MAX, INT32_MIN};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
    if (ert_push_rows(s, NULL, wrong[i]) != ERT_EROWS || ert_push_frames(s, NULL, wrong[i]) != ERT_EROWS) abort();
  if (!s->model->streamed && ert_next_row(s)) abort();
}

/* An accepted model may still ask for hours of work; a few milliseconds of it are enough here. Nothing between the
 * two jumps may own memory. */
static void run(ert_session *s, const feed *f) {
  runner = pthread_self();
  signal(SIGVTALRM, stop);
  if (sigsetjmp(out_of_time, 1) == 0) {
    running = 1;
    set_timer(RUN_MICROSECONDS);
    push_wrongly(s);
    if (f->row) push(s, f);
    else ert_run(s);
  }
  running = 0;
  set_timer(0);
}

static void read_every_byte(const ert_tensor *t) {
  volatile uint8_t sink = 0;
  for (uint32_t i = 0; i < t->bytes; i++) sink = (uint8_t)(sink ^ ((const uint8_t *)t->data)[i]);
}

/* Output bytes of a run, 0 to INT32_MAX. */
static int32_t output_bytes(const ert_model *m) {
  const int32_t *words = m->steps;
  int64_t sum = 0;
  for (int32_t i = 0; i < m->n_steps; i++, words += ert_step_words(words[0]))
    sum += (int64_t)ert_product(words[1], words[2]) * words[ERT_STEP_WORDS + 2];
  return sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}

/* Models that would mostly run into the timer are executed one time in sixteen. */
static int is_worth_it(const ert_model *m, const uint8_t *data, size_t size) {
  if (ert_arena_bytes(m) > MAX_ARENA_BYTES || m->bound_bytes > MAX_ARENA_BYTES) return 0;
  return output_bytes(m) <= LIGHT_BYTES || data[size - 1] % 16 == 0;
}

static void run_model(const ert_model *m, const uint8_t *data, size_t size) {
  ert_session s;
  ert_tensor t;
  /* Blocks of their own, so that the sanitizer sees their ends. */
  uint8_t *arena = malloc(m->arena_bytes + 1u), *bound = calloc(1, m->bound_bytes + 1u);
  for (size_t i = 0; i < m->arena_bytes; i += size) memcpy(arena + i, data, least(size, m->arena_bytes - i));
  if (ert_begin(&s, m, arena, m->arena_bytes) == ERT_OK) {
    for (int i = 0; ert_input(&s, i, &t) == ERT_OK && t.data; i++) read_every_byte(&t);
    if (m->bound_bytes) ert_bind_input(&s, 0, bound);
    const feed f = input_rows(&s, data, size);
    run(&s, &f);
    free(f.row);
    for (int i = 0; ert_output(&s, i, &t) == ERT_OK; i++) read_every_byte(&t);
  }
  free(arena);
  free(bound);
}

/* The same model with the kernels of this processor, where they compute any of it: in a block that is just large enough. */
static void pack_and_run(const ert_model *plain, const uint8_t *data, size_t size) {
  ert_model m = *plain;
  const size_t bytes = ert_packed_bytes(&m);
  if (bytes == 0 || bytes > MAX_PACKED_BYTES) return;
  uint8_t *memory = malloc(bytes);
  if (ert_pack(&m, memory, bytes - 1) != ERT_EARENA || memcmp(&m, plain, sizeof m) != 0) abort();
  if (ert_pack(&m, memory, bytes) != ERT_OK || ert_packed_bytes(&m) != 0) abort();
  if (is_worth_it(&m, data, size)) run_model(&m, data, size);
  free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ert_model m;
  uint8_t *file = malloc(size ? size : 1);
  if (size) memcpy(file, data, size);
  (void)ert_check(file, size);
  if (ert_load(&m, file, size) == ERT_OK && !LOAD_ONLY && is_worth_it(&m, file, size)) {
    run_model(&m, file, size);
    pack_and_run(&m, file, size);
  }
  free(file);
  return 0;
}

static uint32_t next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

static uint32_t interesting(uint32_t *state, uint32_t old) {
  static const uint32_t words[] = {0,          1,          2,          3,          4,          16,
                                   255,        32767,      32768,      65536,      0x3fffffff, 0x40000000,
                                   0x7fffffff, 0x80000000, 0xffffff80, 0xffffffff, 0x7fc00000, 0xff800000};
  const uint32_t n = sizeof words / sizeof words[0], r = next(state) >> 8;
  switch (r % 4) {
    case 0:
      return words[(next(state) >> 8) % n];
    case 1:
      return old + (next(state) >> 28) - 8;
    case 2:
      return old ^ (1u << (next(state) >> 27));
    default:
      return next(state);
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
