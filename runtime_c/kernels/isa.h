/* SPDX-License-Identifier: Apache-2.0 */
/* Instruction sets. ERT_BUILT_<isa>(f) is f where this build has the set, NULL elsewhere,
 * so that no table needs an #if. */
#ifndef ERT_ISA_H
#define ERT_ISA_H

enum { ERT_ISA_c = 0 };

#define ERT_BUILT_c(f) f

#endif
