/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin of QEMU that counts the loads and stores of addresses [begin, end) and keeps the count in FILE:
 *   qemu-system-arm -plugin accesses.so,begin=0x20000000,end=0x20001000,count=FILE
 * Debian's QEMU takes plugins but does not bring their header; these are the declarations that are used of it. */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef void on_block(uint64_t id, void *block);
typedef void on_access(unsigned cpu, uint32_t info, uint64_t address, void *context);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, on_block *call);
void qemu_plugin_register_vcpu_mem_cb(void *instruction, on_access *call, int registers, int kinds, void *context);
size_t qemu_plugin_tb_n_insns(const void *block);
void *qemu_plugin_tb_get_insn(const void *block, size_t index);

enum { NO_REGISTERS = 0, LOADS_AND_STORES = 3 };

int qemu_plugin_version = 1;
static uint64_t begin, end;
static volatile uint64_t *count;

static void count_access(unsigned cpu, uint32_t info, uint64_t address, void *context) {
  (void)cpu, (void)info, (void)context;
  if (address >= begin && address < end) ++*count;
}

static void watch_block(uint64_t id, void *block) {
  (void)id;
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++)
    qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(block, i), count_access, NO_REGISTERS, LOADS_AND_STORES,
                                     NULL);
}

/* The count lies in the mapped file, where it can be read at any time. */
static volatile uint64_t *mapped(const char *path) {
  const int file = open(path, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, sizeof *count)) abort();
  void *bytes = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (bytes == MAP_FAILED) abort();
  close(file);
  return bytes;
}

int qemu_plugin_install(uint64_t id, const void *info, int n, char **arguments);
int qemu_plugin_install(uint64_t id, const void *info, int n, char **arguments) {
  (void)info;
  for (int i = 0; i < n; i++) {
    if (!strncmp(arguments[i], "begin=", 6)) begin = strtoull(arguments[i] + 6, NULL, 0);
    if (!strncmp(arguments[i], "end=", 4)) end = strtoull(arguments[i] + 4, NULL, 0);
    if (!strncmp(arguments[i], "count=", 6)) count = mapped(arguments[i] + 6);
  }
  if (!count) return -1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, watch_block);
  return 0;
}
