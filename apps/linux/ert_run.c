/* SPDX-License-Identifier: Apache-2.0 */
/* ert-run: a model on a Linux machine. One static program for every core of an architecture: which kernels a model
 * calls was decided when it was converted, and the loader refuses those that this processor has not got. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "costs.h"
#include "isa.h"
#include "isas.h"
#include "kernel.h"
#include "options.h"
#include "serve.h"
#include "step.h"
#include "target.h"

enum { OK, USAGE = 2, UNSUPPORTED = 3, TOO_LARGE = 4, DEVICE = 6 }; /* exit codes, those of edgesdk */

typedef struct {
  uint64_t load, first, *steady;
} measured;

static int fail(int code, const char *what, const char *why, const char *hint) {
  fprintf(stderr, "error: %s: %s; %s\n", what, why, hint);
  return code;
}

static int code_for(int err) {
  if (err == ERT_EISA || err == ERT_EKERNEL || err == ERT_EFEATURE) return UNSUPPORTED;
  return err == ERT_EARENA ? TOO_LARGE : USAGE;
}

/* A model that was refused for its kernels has been read up to the step that asks for them. */
static int refuse_model(const options *o, const target *t, int err) {
  char needed[ISAS_ROOM], present[ISAS_ROOM], why[64 + 2 * ISAS_ROOM];
  if (err != ERT_EISA) return fail(code_for(err), o->model, ert_message(err), "convert the model again");
  isas_write(isas_missing(&t->model), needed);
  isas_write(isas_present(), present);
  snprintf(why, sizeof why, "it needs kernels for %s, this processor has %s", needed, present);
  return fail(UNSUPPORTED, o->model, why, "convert it for this core or with --portable");
}

static int check_isas(const options *o, const target *t) {
  char other[ISAS_ROOM], why[64 + ISAS_ROOM];
  if (o->isas == NULL) return OK;
  const uint32_t allowed = isas_read(o->isas);
  if (allowed == 0) return fail(USAGE, "--isa", "not a list of instruction sets", "expected names such as neon,c");
  const uint32_t more = isas_needed(&t->model) & ~allowed;
  if (more == 0) return OK;
  isas_write(more, other);
  snprintf(why, sizeof why, "it calls kernels for %s, which --isa leaves out", other);
  return fail(UNSUPPORTED, o->model, why, "convert it with fewer instruction sets");
}

/* The file holds exactly n bytes. */
static int read_input(const char *path, uint8_t *to, size_t n) {
  char why[96];
  FILE *file = fopen(path, "rb");
  if (file == NULL) return fail(USAGE, path, strerror(errno), "expected a file of raw bytes");
  const size_t found = fread(to, 1, n, file);
  const int longer = fgetc(file) != EOF;
  fclose(file);
  if (found == n && !longer) return OK;
  snprintf(why, sizeof why, "it has %s%zu bytes, the input takes %zu", longer ? "more than " : "", found, n);
  return fail(USAGE, path, why, "give the input's raw bytes");
}

static int read_inputs(const options *o, const target *t) {
  uint8_t *to = t->given;
  ert_tensor in;
  if (o->n_inputs == 0) return OK;
  if (o->n_inputs != t->model.n_inputs)
    return fail(USAGE, o->model, "its inputs are not as many as the files", "give --input one file per input");
  for (int i = 0; i < o->n_inputs; i++, to += in.bytes) {
    ert_input(&t->session, i, &in);
    const int code = read_input(o->inputs[i], to, in.bytes);
    if (code) return code;
  }
  return OK;
}

static int save(FILE *file, const target *t) {
  ert_tensor out;
  int whole = file != NULL;
  for (int i = 0; whole && ert_output(&t->session, i, &out) == ERT_OK; i++)
    whole = fwrite(out.data, 1, out.bytes, file) == out.bytes;
  if (file != NULL) whole &= fclose(file) == 0;
  return whole;
}

/* The file appears whole or not at all. */
static int write_outputs(const char *path, const target *t) {
  char part[4096];
  if (path == NULL) return OK;
  if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
    return fail(USAGE, path, "too long a name", "choose a shorter one");
  if (save(fopen(part, "wb"), t) && rename(part, path) == 0) return OK;
  const int err = errno;
  remove(part);
  return fail(DEVICE, path, strerror(err), "free space or choose another place");
}

static int timed_run(target *t, const meter *m, uint64_t *cost) {
  target_place(t);
  const uint64_t start = meter_now(m);
  const int err = target_run(t, NULL, NULL);
  *cost = meter_now(m) - start;
  return err;
}

static int compare(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void print_cost(const char *name, uint64_t cost, const meter *m) {
  if (m->counted) printf("\"%s_instructions\": %llu, ", name, (unsigned long long)cost);
  else printf("\"%s_us\": %.3f, ", name, (double)cost / 1e3);
}

static void print(const options *o, const target *t, const meter *m, const measured *found) {
  char names[ISAS_ROOM];
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  isas_write(isas_needed(&t->model), names);
  printf("{");
  print_cost("load", found->load, m);
  print_cost("first", found->first, m);
  print_cost("steady", found->steady[o->runs / 2], m);
  print_cost("steady_min", found->steady[0], m);
  printf("\"runs\": %d, \"threads\": %d, \"isa\": \"%s\", ", o->runs, o->threads, names);
  printf("\"model_bytes\": %zu, \"packed_bytes\": %zu, ", t->file_bytes, t->packed_bytes);
  printf("\"arena_bytes\": %lu, ", (unsigned long)ert_arena_bytes(&t->model));
  printf("\"peak_rss_bytes\": %lu}\n", (unsigned long)used.ru_maxrss * 1024);
}

/* The outputs that are written are those of the first run: later ones of a model with states go on from it. */
static int measure(const options *o, target *t, const meter *m, measured *found) {
  int err = timed_run(t, m, &found->first);
  const int code = err ? OK : write_outputs(o->output, t);
  if (code) return code;
  for (int i = 0; i < o->runs && !err; i++) err = timed_run(t, m, &found->steady[i]);
  if (err) return fail(DEVICE, o->model, ert_message(err), "report this with the model");
  qsort(found->steady, (size_t)o->runs, sizeof *found->steady, compare);
  print(o, t, m, found);
  return OK;
}

static int check_threads(const options *o, const target *t) {
  int marked = 0;
  for (int32_t i = 0; i < t->model.n_stages; i++) {
    const ert_stage *g = (const void *)(t->model.stages + i * ERT_STAGE_WORDS);
    marked |= g->kind == ERT_STAGE_PLAIN && g->program_bytes > 0;
  }
  if (o->threads == 1 || marked) return OK;
  return fail(USAGE, o->model, "it was not written for threads", "convert it with --threads");
}

static int run(const options *o, target *t, const meter *m, uint64_t load) {
  measured found = {load, 0, calloc((size_t)o->runs, sizeof(uint64_t))};
  if (found.steady == NULL) return fail(TOO_LARGE, "--runs", "no memory for so many", "give fewer");
  int code = check_isas(o, t);
  if (!code) code = check_threads(o, t);
  if (!code) code = read_inputs(o, t);
  if (!code) code = measure(o, t, m, &found);
  free(found.steady);
  return code;
}

static int open_model(const options *o, target *t) {
  const int err = target_map(t, o->model);
  return err ? fail(USAGE, o->model, strerror(err), "expected a .edge file") : OK;
}

/* Packing brings kernels of all sets that the processor has. */
static int may_pack(const options *o) {
  return !o->plain && (o->isas == NULL || (isas_present() & ~isas_read(o->isas)) == 0);
}

static int open_and_run(const options *o) {
  meter m;
  static target t;
  const int system = meter_open(&m, o->counter);
  if (system) return fail(USAGE, o->counter, strerror(system), "expected the file of an emulator's counter");
  int code = open_model(o, &t);
  if (code) return code;
  const uint64_t start = meter_now(&m);
  int err = target_load(&t, may_pack(o));
  if (!err && o->threads > 1) err = target_use_threads(&t, o->threads);
  const uint64_t load = meter_now(&m) - start;
  if (!o->serve) return err ? refuse_model(o, &t, err) : run(o, &t, &m, load);
  code = serve(&t, &m, err, load);
  return code ? fail(DEVICE, "standard input", strerror(code), "see serve.h for the requests") : OK;
}

int main(int n, char **words) {
  options o;
  if (n == 2 && strcmp(words[1], "--help") == 0) {
    fputs(options_usage, stdout);
    return OK;
  }
  return options_read(&o, n, words) ? open_and_run(&o) : USAGE;
}
