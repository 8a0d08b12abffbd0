/* SPDX-License-Identifier: Apache-2.0 */
#include "ert_pool.h"

#include <errno.h>
#include <sched.h>

enum { TURNS_AWAKE = 2000 };

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __asm__ volatile("pause");
#elif defined(__aarch64__) || (defined(__ARM_ARCH) && __ARM_ARCH >= 7)
  __asm__ volatile("yield");
#endif
}

/* Whoever lowers `left` from k to k - 1 has part n - k. Only then does it look at the work: that stays what it is until
 * the part is done, so it does not matter whether `left` was read before another work began. */
static int take(ert_pool *p, int32_t *part) {
  int32_t left = atomic_load_explicit(&p->left, memory_order_acquire);
  while (left > 0)
    if (atomic_compare_exchange_weak_explicit(&p->left, &left, left - 1, memory_order_acq_rel, memory_order_acquire)) {
      *part = p->n - left;
      return 1;
    }
  return 0;
}

static void work(ert_pool *p, int32_t worker) {
  int32_t part;
  while (take(p, &part)) {
    p->part(p->context, part, worker);
    atomic_fetch_add_explicit(&p->done, 1, memory_order_release);
  }
}

static int idle(ert_pool *p) { return atomic_load(&p->left) <= 0 && !atomic_load(&p->ends); }

/* `asleep` is raised before `left` is looked at again, and ert_pool_run sets `left` before it looks at `asleep`: one of
 * the two sees the other. */
static void sleep_until_work(ert_pool *p) {
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add(&p->asleep, 1);
  while (idle(p)) pthread_cond_wait(&p->wake, &p->lock);
  atomic_fetch_sub(&p->asleep, 1);
  pthread_mutex_unlock(&p->lock);
}

static void *serve(void *context) {
  const ert_pool_worker *w = context;
  ert_pool *p = w->pool;
  while (!atomic_load(&p->ends)) {
    for (int turn = 0; turn < TURNS_AWAKE && idle(p); turn++) relax();
    if (idle(p)) sleep_until_work(p);
    work(p, w->number);
  }
  return NULL;
}

static void wake_all(ert_pool *p) {
  pthread_mutex_lock(&p->lock);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

void ert_pool_run(void *pool, ert_part *part, void *context, int32_t n) {
  ert_pool *p = pool;
  p->part = part;
  p->context = context;
  p->n = n;
  atomic_store_explicit(&p->done, 0, memory_order_relaxed);
  atomic_store(&p->left, n);
  if (atomic_load(&p->asleep) > 0) wake_all(p);
  work(p, 0);
  for (int turn = 0; atomic_load_explicit(&p->done, memory_order_acquire) < n; turn++) {
    if (turn < TURNS_AWAKE) relax();
    else sched_yield(); /* another thread may need this core to end its part */
  }
}

void ert_pool_end(ert_pool *p) {
  atomic_store(&p->ends, 1);
  wake_all(p);
  for (int32_t i = 1; i < p->threads; i++) pthread_join(p->workers[i].thread, NULL);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
}

int ert_pool_begin(ert_pool *p, int32_t threads) {
  if (threads < 1 || threads > ERT_POOL_MOST) return EINVAL;
  atomic_init(&p->left, 0);
  atomic_init(&p->done, 0);
  atomic_init(&p->asleep, 0);
  atomic_init(&p->ends, 0);
  int err = pthread_mutex_init(&p->lock, NULL);
  if (err) return err;
  err = pthread_cond_init(&p->wake, NULL);
  if (err) pthread_mutex_destroy(&p->lock);
  for (p->threads = 1; p->threads < threads && !err; p->threads += !err) {
    ert_pool_worker *w = &p->workers[p->threads];
    w->pool = p;
    w->number = p->threads;
    err = pthread_create(&w->thread, NULL, serve, w);
    if (err) ert_pool_end(p);
  }
  return err;
}

size_t ert_pool_bytes(void) { return sizeof(ert_pool); }
