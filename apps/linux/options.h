/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPTIONS_H
#define OPTIONS_H

enum { MAX_FILES = 64 };

typedef struct {
  const char *model, *output, *isas, *counter;
  const char *inputs[MAX_FILES];
  int n_inputs, runs, threads, serve, plain;
} options;

/* 1 where the words make sense; else 0, and the reason is on stderr. */
int options_read(options *o, int n, char **words);

extern const char options_usage[];

#endif
