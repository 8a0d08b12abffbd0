/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction sets by name, and what the steps of a model need. */
#ifndef ISAS_H
#define ISAS_H

#include <stdint.h>

#include "ert.h"

/* The bits (1 << ERT_ISA_x) that a list such as "neondot,neon,c" names; 0 where one of them is not known. */
uint32_t isas_read(const char *list);

/* Writes the names of the bits, "neon,c": `room` is enough for all of them. */
enum { ISAS_ROOM = 160 };
void isas_write(uint32_t isas, char *names);

/* The sets of the kernels that the steps of the model call, up to the one that the loader refused. */
uint32_t isas_needed(const ert_model *m);

/* Those of them that this program or this processor has not got, and what it has. */
uint32_t isas_missing(const ert_model *m);
uint32_t isas_present(void);

#endif
