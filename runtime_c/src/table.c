/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel table: ops.inc, or for one program the rows that it uses (-DERT_USED='"used.inc"'). */
#include "isa.h"
#include "ops.h"

#ifdef ERT_USED
#define ROWS ERT_USED
#else
#define ROWS "ops.inc"
#endif

#define ERT_KERNEL(number, op, types, tile, isa, bytes)                           \
  ert_kernel_fn ert_##op##_##types##_##tile##__##isa;                             \
  static int32_t scratch_##op##_##types##_##tile##_##isa(const int32_t *params) { \
    const ert_##op##_##types##_params *p = (const void *)params;                  \
    (void)p;                                                                      \
    return (int32_t)(bytes);                                                      \
  }
#include ROWS
#undef ERT_KERNEL

#ifdef ERT_INTROSPECT
#define NAMES(op, types, tile, isa) , #op, #types, #tile, #isa
#else
#define NAMES(op, types, tile, isa)
#endif

#define ERT_KERNEL(number, op, types, tile, isa, bytes)   \
  {number,                                                \
   ERT_ISA_##isa,                                         \
   sizeof(ert_##op##_##types##_params) / 4,               \
   ERT_BUILT_##isa(ert_##op##_##types##_##tile##__##isa), \
   ert_##op##_##types##_check,                            \
   scratch_##op##_##types##_##tile##_##isa NAMES(op, types, tile, isa)},
static const ert_kernel table[] = {
#include ROWS
};
#undef ERT_KERNEL

enum { N_KERNELS = sizeof table / sizeof table[0] };

const ert_kernel *ert_find_kernel(int32_t number) {
  for (const ert_kernel *k = table; k < table + N_KERNELS; k++)
    if (k->number == number) return k;
  return NULL;
}

#ifdef ERT_INTROSPECT
const ert_kernel *ert_kernel_at(int32_t index);
const ert_kernel *ert_kernel_at(int32_t index) {
  return index >= 0 && index < (int32_t)N_KERNELS ? &table[index] : NULL;
}
#endif
