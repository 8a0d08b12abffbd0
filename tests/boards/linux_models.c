/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the programs of a file one after another and writes of each i32 code, u32 bytes and the bytes of its first
 * output. The file is a row of records, each 16-byte aligned: a head, a program, its inputs. Each arena ends where
 * memory ends: a kernel that reads or writes past it traps, and the program says so. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ert.h"

enum { GUARD = 64, PAINT = 0xa7, PAGE = 65536, WROTE_BEFORE_THE_ARENA = 2, TRAPPED = 4, NO_MEMORY = 5 };

typedef struct {
  uint32_t file_bytes, input_bytes, none[2];
} head;

static sigjmp_buf trap;

static void on_trap(int number) { siglongjmp(trap, number); }

static uint32_t aligned(uint32_t n) { return (n + ERT_ALIGN - 1) & ~(uint32_t)(ERT_ALIGN - 1); }

/* Memory of n bytes that ends (but for less than 16 bytes) where nothing more is mapped, GUARD painted bytes before. */
static uint8_t *fenced(uint32_t n, uint8_t **pages, size_t *bytes) {
  const size_t room = (GUARD + aligned(n) + PAGE - 1) / PAGE * PAGE;
  uint8_t *found = mmap(NULL, room + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED || mprotect(found + room, PAGE, PROT_NONE) != 0) return NULL;
  memset(found, PAINT, room);
  *pages = found;
  *bytes = room + PAGE;
  return found + room - aligned(n);
}

static int infer(ert_session *s, const uint8_t *input) {
  ert_tensor t;
  for (int i = 0; ert_input(s, i, &t) == ERT_OK; i++, input += t.bytes) memcpy(t.data, input, t.bytes);
  return ert_run(s);
}

static int put(int32_t code, const void *bytes, uint32_t n) {
  fwrite(&code, sizeof code, 1, stdout);
  fwrite(&n, sizeof n, 1, stdout);
  fwrite(bytes, 1, n, stdout);
  return 0;
}

static int in_arena(const uint8_t *file, const head *h, const ert_model *m, uint8_t *arena) {
  ert_session s;
  ert_tensor out;
  int err = ert_begin(&s, m, arena, ert_arena_bytes(m));
  if (err == ERT_OK) err = infer(&s, file + aligned(h->file_bytes));
  if (err == ERT_OK) err = ert_output(&s, 0, &out);
  for (int i = 1; i <= GUARD; i++)
    if (!err && arena[-i] != PAINT) err = WROTE_BEFORE_THE_ARENA;
  return err ? put(err, NULL, 0) : put(0, out.data, out.bytes);
}

static int run(const uint8_t *file, const head *h) {
  ert_model m;
  uint8_t *pages;
  size_t bytes;
  const int err = ert_load(&m, file, h->file_bytes);
  if (err) return put(err, NULL, 0);
  uint8_t *arena = fenced(ert_arena_bytes(&m), &pages, &bytes);
  if (arena == NULL) return put(NO_MEMORY, NULL, 0);
  if (sigsetjmp(trap, 1) == 0) in_arena(file, h, &m, arena);
  else put(TRAPPED, NULL, 0);
  munmap(pages, bytes);
  return 0;
}

static void catch_traps(void) {
  const int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  struct sigaction action = {.sa_handler = on_trap};
  for (int i = 0; i < 4; i++) sigaction(numbers[i], &action, NULL);
}

int main(int n, char **words) {
  struct stat found;
  const int file = n == 2 ? open(words[1], O_RDONLY) : -1;
  if (file < 0 || fstat(file, &found) != 0) return 2;
  const uint8_t *records = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (records == MAP_FAILED) return 2;
  catch_traps();
  for (const uint8_t *at = records; at < records + found.st_size;) {
    const head *h = (const void *)at;
    run(at + sizeof *h, h);
    at += sizeof *h + aligned(h->file_bytes) + aligned(h->input_bytes);
  }
  return fflush(stdout) == 0 ? 0 : 1;
}
