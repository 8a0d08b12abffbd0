/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the module share. */
#ifndef ERT_WEB_H
#define ERT_WEB_H

#include "ert.h"

#define EXPORT(name) __attribute__((export_name(#name)))

enum { EDGE_EMEMORY = -100, EDGE_ESTATE = -101 };

/* Where `bytes` bytes begin that nobody else gets; 0: out of memory. */
uint32_t edge_room(uint32_t bytes);

/* That of the loaded model; NULL for none. */
ert_session *edge_session(void);

#endif
