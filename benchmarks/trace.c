/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin of QEMU that counts what is executed between a call of the function at `begin` and the next of that at `end`:
 *   qemu-system-arm -plugin trace.so,base=0x0,bytes=0x8000,begin=0x100,end=0x200,flash=0x400000,counts=FILE
 * FILE holds, for every two bytes of code from `base` on, three numbers of 64 bits: how often the instruction there was
 * executed, how often it was followed by another than the next one, how many of its loads were below `base` + `flash`.
 * It is written each time that `end` is reached. Debian's QEMU takes plugins but does not bring their header; these are
 * the declarations that are used of it. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void on_block(uint64_t id, void *block);
typedef void on_execution(unsigned cpu, void *context);
typedef void on_access(unsigned cpu, uint32_t info, uint64_t address, void *context);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_block *call);
void qemu_plugin_register_vcpu_tb_exec_cb(void *block, on_execution *call, int registers, void *context);
void qemu_plugin_register_vcpu_insn_exec_cb(void *instruction, on_execution *call, int registers, void *context);
void qemu_plugin_register_vcpu_insn_exec_inline(void *instruction, int op, void *counter, uint64_t amount);
void qemu_plugin_register_vcpu_mem_cb(void *instruction, on_access *call, int registers, int kinds, void *context);
size_t qemu_plugin_tb_n_insns(const void *block);
void *qemu_plugin_tb_get_insn(const void *block, size_t index);
_Bool qemu_plugin_mem_is_store(uint32_t info);
uint64_t qemu_plugin_insn_vaddr(const void *instruction);
size_t qemu_plugin_insn_size(const void *instruction);

enum { NO_REGISTERS = 0, ADD = 0, LOADS_AND_STORES = 3 }; /* QEMU 7.2 takes stores for loads where asked for one kind */

typedef struct {
  uint64_t executed, left, flash;
} counts;

/* Code between two branches. */
typedef struct {
  uint64_t begin, end;
  counts *last;
} block_of_code;

int qemu_plugin_version = 1;
static uint64_t base, n_bytes, begin, end, flash, next;
static counts *now, *before, *found, *last;
static int active;

static size_t items(void) { return (size_t)(n_bytes / 2); }

static void start(unsigned cpu, void *context) {
  (void)cpu, (void)context;
  active = 1;
  memcpy(before, now, items() * sizeof *now);
}

static void stop(unsigned cpu, void *context) {
  (void)cpu, (void)context;
  if (!active) return;
  active = 0;
  for (size_t i = 0; i < items(); i++) {
    found[i].executed = now[i].executed - before[i].executed;
    found[i].left = now[i].left - before[i].left;
    found[i].flash = now[i].flash - before[i].flash;
  }
}

static void enter(unsigned cpu, void *context) {
  (void)cpu;
  const block_of_code *block = context;
  if (last && block->begin != next) last->left++;
  last = block->last;
  next = block->end;
}

static void load(unsigned cpu, uint32_t info, uint64_t address, void *context) {
  (void)cpu;
  if (!qemu_plugin_mem_is_store(info) && address >= base && address < base + flash) ((counts *)context)->flash++;
}

static counts *counter_of(const void *instruction) {
  const uint64_t at = qemu_plugin_insn_vaddr(instruction);
  return at >= base && at < base + n_bytes ? &now[(at - base) / 2] : NULL;
}

static void watch(void *instruction) {
  counts *counter = counter_of(instruction);
  if (!counter) return;
  qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD, &counter->executed, 1);
  qemu_plugin_register_vcpu_mem_cb(instruction, load, NO_REGISTERS, LOADS_AND_STORES, counter);
  if (qemu_plugin_insn_vaddr(instruction) == begin)
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, start, NO_REGISTERS, NULL);
  if (qemu_plugin_insn_vaddr(instruction) == end)
    qemu_plugin_register_vcpu_insn_exec_cb(instruction, stop, NO_REGISTERS, NULL);
}

static void watch_block(uint64_t id, void *block) {
  (void)id;
  const size_t n = qemu_plugin_tb_n_insns(block);
  void *const final = qemu_plugin_tb_get_insn(block, n - 1);
  block_of_code *context = malloc(sizeof *context); /* QEMU keeps it as long as the block */
  if (!context) abort();
  context->begin = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(block, 0));
  context->end = qemu_plugin_insn_vaddr(final) + qemu_plugin_insn_size(final);
  context->last = counter_of(final);
  qemu_plugin_register_vcpu_tb_exec_cb(block, enter, NO_REGISTERS, context);
  for (size_t i = 0; i < n; i++) watch(qemu_plugin_tb_get_insn(block, i));
}

static counts *mapped(const char *path) {
  const int file = open(path, O_RDWR | O_CREAT, 0600);
  const size_t bytes = items() * sizeof(counts);
  if (file < 0 || ftruncate(file, (off_t)bytes)) abort();
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (at == MAP_FAILED) abort();
  close(file);
  return at;
}

int qemu_plugin_install(uint64_t id, const void *info, int n, char **arguments);
int qemu_plugin_install(uint64_t id, const void *info, int n, char **arguments) {
  (void)info;
  const char *path = NULL;
  const struct {
    const char *name;
    uint64_t *to;
  } numbers[] = {{"base=", &base}, {"bytes=", &n_bytes}, {"begin=", &begin}, {"end=", &end}, {"flash=", &flash}};
  for (int i = 0; i < n; i++) {
    for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
      const size_t length = strlen(numbers[k].name);
      if (!strncmp(arguments[i], numbers[k].name, length)) *numbers[k].to = strtoull(arguments[i] + length, NULL, 0);
    }
    if (!strncmp(arguments[i], "counts=", 7)) path = arguments[i] + 7;
  }
  if (!path || !n_bytes) return -1;
  now = calloc(items(), sizeof *now);
  before = calloc(items(), sizeof *before);
  if (!now || !before) abort();
  found = mapped(path);
  qemu_plugin_register_vcpu_tb_trans_cb(id, watch_block);
  return 0;
}
