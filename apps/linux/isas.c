/* SPDX-License-Identifier: Apache-2.0 */
#include "isas.h"

#include <stdio.h>
#include <string.h>

#include "isa.h"
#include "step.h"

static const struct {
  int isa;
  const char *name;
} sets[] = {
    {ERT_ISA_relaxed, "relaxed"},
    {ERT_ISA_simd128, "simd128"},
    {ERT_ISA_neonfp16, "neonfp16"},
    {ERT_ISA_neoni8mm, "neoni8mm"},
    {ERT_ISA_neondot, "neondot"},
    {ERT_ISA_neon, "neon"},
    {ERT_ISA_avxvnni, "avxvnni"},
    {ERT_ISA_avx512vbmi, "avx512vbmi"},
    {ERT_ISA_avx512vnni, "avx512vnni"},
    {ERT_ISA_avx2, "avx2"},
    {ERT_ISA_mve, "mve"},
    {ERT_ISA_dsp, "dsp"},
    {ERT_ISA_thumb2, "thumb2"},
    {ERT_ISA_c, "c"},
};

enum { N_SETS = sizeof sets / sizeof sets[0] };

static uint32_t bit_of(const char *name, size_t n) {
  for (int i = 0; i < N_SETS; i++)
    if (strlen(sets[i].name) == n && memcmp(sets[i].name, name, n) == 0) return (uint32_t)1 << sets[i].isa;
  return 0;
}

uint32_t isas_read(const char *list) {
  uint32_t isas = 0;
  for (const char *at = list;; at++) {
    const size_t n = strcspn(at, ",");
    const uint32_t bit = bit_of(at, n);
    if (bit == 0) return 0;
    isas |= bit;
    at += n;
    if (*at == '\0') return isas;
  }
}

void isas_write(uint32_t isas, char *names) {
  names[0] = '\0';
  for (int i = 0; i < N_SETS; i++) {
    if (!(isas >> sets[i].isa & 1)) continue;
    if (names[0]) strcat(names, ",");
    strcat(names, sets[i].name);
  }
}

/* The sets of the steps that `counts` says yes to. */
static uint32_t isas_of(const ert_model *m, int (*counts)(const ert_kernel *)) {
  uint32_t isas = 0;
  const int32_t *words = m->steps;
  for (int32_t i = 0; i < m->n_steps; i++, words += ert_step_words(words[0])) {
    const ert_kernel *k = ert_find_kernel(words[0] & 0xffff);
    if (k && counts(k)) isas |= (uint32_t)1 << k->isa;
  }
  return isas;
}

static int every(const ert_kernel *k) { return k != NULL; }

static int cannot_run(const ert_kernel *k) { return k->run == NULL || !(ert_isas() >> k->isa & 1); }

uint32_t isas_needed(const ert_model *m) { return isas_of(m, every); }

uint32_t isas_missing(const ert_model *m) { return isas_of(m, cannot_run); }

/* The sets of microcontrollers are never found missing, only not built. */
uint32_t isas_present(void) {
  return ert_isas() & ~((uint32_t)1 << ERT_ISA_thumb2 | (uint32_t)1 << ERT_ISA_dsp | (uint32_t)1 << ERT_ISA_mve);
}
