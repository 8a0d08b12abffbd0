/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin for QEMU's user mode that says at the end which blocks took the most instructions: for each its address, how
 * often it was executed, and its instructions in hexadecimal. A block ends at a branch or at the end of a page. The
 * declarations are those of version 1 of the plugin interface. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*each)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*last)(plugin_id, void *), void *context);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int add, void *counter, uint64_t by);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

enum { MOST_BLOCKS = 1 << 16, SAID = 200 };

typedef struct {
  uint64_t address, executed;
  size_t n;
  uint32_t *words;
} block;

static block blocks[MOST_BLOCKS];
static size_t n_blocks;

static block *known(uint64_t address, size_t n) {
  for (size_t i = 0; i < n_blocks; i++)
    if (blocks[i].address == address && blocks[i].n == n) return &blocks[i];
  return NULL;
}

static block *added(const struct qemu_plugin_tb *tb, uint64_t address, size_t n) {
  if (n_blocks == MOST_BLOCKS) return NULL;
  block *b = &blocks[n_blocks++];
  *b = (block){address, 0, n, malloc(n * sizeof(uint32_t))};
  if (b->words == NULL) abort();
  for (size_t i = 0; i < n; i++) memcpy(&b->words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), 4);
  return b;
}

static void on_block(plugin_id id, struct qemu_plugin_tb *tb) {
  (void)id;
  const uint64_t address = qemu_plugin_tb_vaddr(tb);
  const size_t n = qemu_plugin_tb_n_insns(tb);
  block *b = known(address, n);
  if (b == NULL) b = added(tb, address, n);
  if (b) qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &b->executed, 1);
}

static int costlier(const void *a, const void *b) {
  const block *x = a, *y = b;
  const uint64_t p = x->executed * x->n, q = y->executed * y->n;
  return (p < q) - (p > q);
}

static void on_exit_of(plugin_id id, void *context) {
  (void)id, (void)context;
  qsort(blocks, n_blocks, sizeof *blocks, costlier);
  for (size_t i = 0; i < n_blocks && i < SAID; i++) {
    fprintf(stderr, "block %" PRIx64 " %" PRIu64, blocks[i].address, blocks[i].executed);
    for (size_t k = 0; k < blocks[i].n; k++) fprintf(stderr, " %08" PRIx32, blocks[i].words[k]);
    fprintf(stderr, "\n");
  }
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info, (void)argc, (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
  qemu_plugin_register_atexit_cb(id, on_exit_of, NULL);
  return 0;
}
