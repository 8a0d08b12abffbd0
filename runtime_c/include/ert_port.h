/* SPDX-License-Identifier: Apache-2.0 */
/* The whole porting seam: what the runtime needs from outside. Replace by -DERT_PORT='"my_port.h"'.
 *
 * The compiler must use two's complement, shift negative numbers arithmetically and be little-endian. */
#ifndef ERT_PORT_H
#define ERT_PORT_H

#include <stddef.h>
#include <stdint.h>

#ifndef ERT_MEMMOVE
void *memmove(void *to, const void *from, size_t bytes); /* regions may overlap */
void *memset(void *to, int byte, size_t bytes);
#define ERT_MEMMOVE(to, from, bytes) memmove((to), (from), (size_t)(bytes))
#define ERT_MEMSET(to, byte, bytes) memset((to), (byte), (size_t)(bytes))
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error ".edge files are used in place: a little-endian target is needed"
#endif

#endif
