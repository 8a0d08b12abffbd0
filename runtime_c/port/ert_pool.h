/* SPDX-License-Identifier: Apache-2.0 */
/* Threads for ert_use_threads, where there are POSIX threads and C11 atomics:
 *
 *   static ert_pool pool;
 *   int err = ert_pool_begin(&pool, 4);               0, or the system's error number
 *   err = ert_use_threads(&session, &threads, 4, ert_pool_run, &pool, scratch, ert_threads_bytes(&model, 4));
 *   ...
 *   ert_pool_end(&pool);
 *
 * The calling thread is one of them. Parts go to whoever is free: a slow core, or one that is busy with something else,
 * takes fewer. Threads wait for work awake for some microseconds, then asleep. A pool serves one session at a time. */
#ifndef ERT_POOL_H
#define ERT_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "ert.h"

enum { ERT_POOL_MOST = 64 };

typedef struct ert_pool ert_pool;

typedef struct {
  ert_pool *pool;
  int32_t number;
  pthread_t thread;
} ert_pool_worker;

struct ert_pool {
  _Atomic int32_t left; /* parts that nobody has taken */
  _Atomic int32_t done; /* parts that are computed */
  _Atomic int32_t asleep;
  _Atomic int32_t ends;
  int32_t n; /* parts of this work */
  ert_part *part;
  void *context;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int32_t threads;
  ert_pool_worker workers[ERT_POOL_MOST];
};

/* 1 to ERT_POOL_MOST threads, the calling one among them; EINVAL for other numbers. */
int ert_pool_begin(ert_pool *p, int32_t threads);
void ert_pool_end(ert_pool *p);

/* An ert_parallel; `pool` is an ert_pool. */
void ert_pool_run(void *pool, ert_part *part, void *context, int32_t n);

/* For callers that do not see the struct. */
size_t ert_pool_bytes(void);

#endif
