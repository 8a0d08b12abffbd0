/* SPDX-License-Identifier: Apache-2.0 */
/* Threads of a module whose memory workers share. Each worker has an instance of the module over that memory:
 *
 *   at = edge_stack()              for each worker: where its stack begins, from which it grows down; 0: out of memory
 *   edge_work(number)              in the worker, 1 to threads - 1; comes back after edge_end
 *   edge_threads(threads, sleeps)  in the first thread: runs are shared out from now on; 0 or a negative code
 *   edge_end()                     before the workers end
 *
 * Parts go to whoever is free. Workers wait for work awake for a while, then asleep; the first thread sleeps while others
 * end their parts where `sleeps` says that it may: that of a page may not. */
#include "ert_web.h"

enum { STACK_BYTES = 65536, TURNS_AWAKE = 1 << 17 };

static struct {
  int32_t left, done; /* parts that nobody has taken, that are computed */
  int32_t calls;      /* of run: what workers sleep on */
  int32_t asleep, ends, sleeps;
  int32_t waits; /* the first thread does, for the last part */
  int32_t n;     /* parts of this work */
  ert_part *part;
  void *context;
  ert_threads threads;
} pool;

static int32_t get(const int32_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }

static void set(int32_t *p, int32_t value) { __atomic_store_n(p, value, __ATOMIC_SEQ_CST); }

static void add(int32_t *p, int32_t n) { __atomic_fetch_add(p, n, __ATOMIC_SEQ_CST); }

/* Sleeps while *p is `value`, until it is woken. A function of its own: the first tier of V8 11 (node 20) spoils locals
 * that a caller of the instruction still needs. */
static __attribute__((noinline)) void wait(int32_t *p, int32_t value) {
  __builtin_wasm_memory_atomic_wait32(p, value, -1);
}

/* Whoever lowers `left` from k to k - 1 has part n - k, and looks at the work only then: that stays what it is until the
 * part is done. */
static int take(int32_t *part) {
  const int32_t left = get(&pool.left) > 0 ? __atomic_fetch_sub(&pool.left, 1, __ATOMIC_SEQ_CST) : 0;
  if (left > 0) *part = pool.n - left;
  return left > 0;
}

static void work(int32_t worker) {
  int32_t part;
  while (take(&part)) {
    pool.part(pool.context, part, worker);
    add(&pool.done, 1);
    if (get(&pool.waits)) __builtin_wasm_memory_atomic_notify(&pool.done, 1);
  }
}

static int idle(void) { return get(&pool.left) <= 0 && !get(&pool.ends); }

/* A call that comes after `calls` was read ends the wait before it begins, one that comes later sees that somebody is
 * asleep. */
static void sleep_until_work(void) {
  add(&pool.asleep, 1);
  const int32_t calls = get(&pool.calls);
  if (idle()) wait(&pool.calls, calls);
  add(&pool.asleep, -1);
}

static void wake_all(void) {
  add(&pool.calls, 1);
  if (get(&pool.asleep) > 0) __builtin_wasm_memory_atomic_notify(&pool.calls, UINT32_MAX);
}

/* Until all parts are done. `waits` is raised before `done` is looked at again, and those who add to `done` look at `waits`
 * afterwards: one of the two sees the other. */
static void wait_for(int32_t n) {
  set(&pool.waits, pool.sleeps);
  for (int32_t done; (done = get(&pool.done)) < n;)
    if (pool.sleeps) wait(&pool.done, done);
  set(&pool.waits, 0);
}

/* An ert_parallel. */
static void run(void *unused, ert_part *part, void *context, int32_t n) {
  (void)unused;
  pool.part = part, pool.context = context, pool.n = n;
  set(&pool.done, 0);
  set(&pool.left, n);
  wake_all();
  work(0);
  for (int32_t turn = 0; turn < TURNS_AWAKE && get(&pool.done) < n; turn++) continue;
  wait_for(n);
}

EXPORT(edge_stack) uint32_t edge_stack(void) {
  const uint32_t at = edge_room(STACK_BYTES);
  return at ? at + STACK_BYTES : 0;
}

EXPORT(edge_work) void edge_work(int32_t worker) {
  while (!get(&pool.ends)) {
    for (int32_t turn = 0; turn < TURNS_AWAKE && idle(); turn++) continue;
    if (idle()) sleep_until_work();
    work(worker);
  }
}

EXPORT(edge_threads) int32_t edge_threads(int32_t threads, int32_t sleeps) {
  ert_session *session = edge_session();
  if (!session) return EDGE_ESTATE;
  const size_t bytes = ert_threads_bytes(session->model, threads);
  const uint32_t scratch = bytes <= UINT32_MAX ? edge_room((uint32_t)bytes) : 0;
  if (!scratch) return EDGE_EMEMORY;
  pool.sleeps = sleeps;
  return ert_use_threads(session, &pool.threads, threads, run, NULL, (void *)(uintptr_t)scratch, bytes);
}

EXPORT(edge_end) void edge_end(void) {
  set(&pool.ends, 1);
  wake_all();
}
