/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNS = 1000000, MAX_THREADS = 64 };

const char options_usage[] =
    "usage: ert-run MODEL.edge [--input FILE...] [--output FILE] [--runs N] [--threads N] [--isa LEVEL,...]\n"
    "               [--plain]\n"
    "Runs the model and prints what it takes as JSON.\n"
    "  --input FILE...    one file of raw bytes per input, in the model's own types; without it they are zeros\n"
    "  --output FILE      the raw bytes of all outputs, one after another\n"
    "  --runs N           measured runs after the first (10)\n"
    "  --threads N        threads for steps that a model converted with --threads may share out (1)\n"
    "  --isa LEVEL,...    refuse a model with kernels of other instruction sets\n"
    "  --plain            run a portable model as it is, without packing it for this processor\n"
    "  --counter FILE     costs are what an emulator counts in this file, not microseconds\n"
    "  --serve            answer requests on standard input (see serve.h)\n";

static int wrong(const char *option, const char *said, const char *expected) {
  fprintf(stderr, "error: %s %s: expected %s; see --help\n", option, said ? said : "", expected);
  return 0;
}

static int number(const char *option, const char *text, int most, int *value) {
  char *end = NULL;
  const long found = text ? strtol(text, &end, 10) : 0;
  if (text == NULL || end == text || *end != '\0' || found < 1 || found > most)
    return wrong(option, text, most == MAX_THREADS ? "a number from 1 to 64" : "a number from 1 to 1000000");
  *value = (int)found;
  return 1;
}

static int text(const char *option, const char *word, const char **value) {
  if (word == NULL || word[0] == '\0') return wrong(option, word, "a value after it");
  *value = word;
  return 1;
}

/* Every word up to the next option is a file. The number of words taken, or 0. */
static int input_files(options *o, char **words) {
  int taken = 0;
  for (; words[taken] != NULL && strncmp(words[taken], "--", 2) != 0; taken++) {
    if (o->n_inputs == MAX_FILES) return wrong("--input", words[taken], "at most 64 files");
    o->inputs[o->n_inputs++] = words[taken];
  }
  return taken ? taken : wrong("--input", words[0], "one file per input");
}

/* One option with its values at words[0]: how many words it took, 0 where it is wrong. */
static int option(options *o, char **words) {
  const char *name = words[0], *value = words[1];
  if (strcmp(name, "--input") == 0) {
    const int taken = input_files(o, words + 1);
    return taken ? taken + 1 : 0;
  }
  if (strcmp(name, "--output") == 0) return 2 * text(name, value, &o->output);
  if (strcmp(name, "--isa") == 0) return 2 * text(name, value, &o->isas);
  if (strcmp(name, "--counter") == 0) return 2 * text(name, value, &o->counter);
  if (strcmp(name, "--runs") == 0) return 2 * number(name, value, MAX_RUNS, &o->runs);
  if (strcmp(name, "--threads") == 0) return 2 * number(name, value, MAX_THREADS, &o->threads);
  if (strcmp(name, "--plain") == 0) return o->plain = 1;
  if (strcmp(name, "--serve") != 0) return wrong(name, "", "an option that is known");
  return o->serve = 1;
}

int options_read(options *o, int n, char **words) {
  *o = (options){.runs = 10, .threads = 1};
  for (int i = 1; i < n;) {
    if (strncmp(words[i], "--", 2) != 0) {
      if (o->model) return wrong(words[i], "", "one model");
      o->model = words[i++];
      continue;
    }
    const int taken = option(o, words + i);
    if (taken == 0) return 0;
    i += taken;
  }
  return o->model ? 1 : wrong("MODEL.edge", "", "the file of a model");
}
