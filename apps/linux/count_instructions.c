/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin for QEMU's user mode that counts the instructions of a program, block by block: exact, since a block is left
 * at its end. With counter=PATH the count lies in that file, eight bytes that the program itself may map and read while it
 * runs (ert-run --counter); without, it is said on stderr at the end.
 *
 * The declarations are those of the plugin interface. From version 2 on it has no counters of its own that several
 * processors share: there each block calls back (-DPLUGIN_INTERFACE=2). */
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef PLUGIN_INTERFACE
#define PLUGIN_INTERFACE 1
#endif

typedef uint64_t plugin_id;
struct qemu_plugin_tb;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*each)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*last)(plugin_id, void *), void *context);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
#if PLUGIN_INTERFACE == 1
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int add, void *counter, uint64_t by);
#else
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*each)(unsigned, void *), int flags,
                                          void *context);
#endif

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_INTERFACE;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

static uint64_t own;
static uint64_t *executed = &own;

#if PLUGIN_INTERFACE == 1
static void on_block(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_inline(block, 0, executed, qemu_plugin_tb_n_insns(block));
}
#else
static void add(unsigned cpu, void *instructions) {
  (void)cpu;
  *executed += (uintptr_t)instructions;
}

static void on_block(plugin_id id, struct qemu_plugin_tb *block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(block, add, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}
#endif

static void on_exit_of(plugin_id id, void *context) {
  (void)id, (void)context;
  fprintf(stderr, "%" PRIu64 "\n", *executed);
}

/* 1 where the file is there and mapped. */
static int share(const char *path) {
  const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof own) != 0) return 0;
  void *mapped = mmap(NULL, sizeof own, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (mapped == MAP_FAILED) return 0;
  executed = mapped;
  return 1;
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info;
  if (argc == 1 && strncmp(argv[0], "counter=", 8) == 0) {
    if (!share(argv[0] + 8)) return 1;
  } else {
    qemu_plugin_register_atexit_cb(id, on_exit_of, NULL);
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
  return 0;
}
