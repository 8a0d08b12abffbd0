/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel table: ops.inc, or for one program the rows that it uses (-DERT_USED='"used.inc"'). */
#include "isa.h"
#include "ops.h"

#ifdef ERT_USED
#define ROWS ERT_USED
#else
#define ROWS "ops.inc"
#endif

/* A row whose parameters are those of op and types, and one with a layout of its own for what it reads. */
#define ERT_KERNEL(number, op, types, tile, isa, bytes) ROW(number, op, types, , op##_##types, tile, isa, bytes)
#define ERT_PACKED(number, op, types, layout, tile, isa, bytes) \
  ROW(number, op, types, layout, op##_##types##_##layout, tile, isa, bytes)

#define ROW(number, op, types, layout, contract, tile, isa, bytes)                \
  ert_kernel_fn ert_##op##_##types##_##tile##__##isa;                             \
  static int32_t scratch_##op##_##types##_##tile##_##isa(const int32_t *params) { \
    const ert_##contract##_params *p = (const void *)params;                      \
    (void)p;                                                                      \
    return (int32_t)(bytes);                                                      \
  }
#include ROWS
#undef ROW

#ifdef ERT_INTROSPECT
#define NAMES(op, types, layout, tile, isa) , #op, #types, #layout, #tile, #isa
#else
#define NAMES(op, types, layout, tile, isa)
#endif

#define ROW(number, op, types, layout, contract, tile, isa, bytes) \
  {number,                                                         \
   ERT_ISA_##isa,                                                  \
   sizeof(ert_##contract##_params) / 4,                            \
   ERT_BUILT_##isa(ert_##op##_##types##_##tile##__##isa),          \
   ert_##contract##_check,                                         \
   scratch_##op##_##types##_##tile##_##isa NAMES(op, types, layout, tile, isa)},
static const ert_kernel table[] = {
#include ROWS
};
#undef ROW

enum { N_KERNELS = sizeof table / sizeof table[0] };

#ifdef ERT_USED
const ert_kernel *ert_find_kernel(int32_t number) {
  for (const ert_kernel *k = table; k < table + N_KERNELS; k++)
    if (k->number == number) return k;
  return NULL;
}
#else
#define ROW(number, op, types, layout, contract, tile, isa, bytes) AT_##op##_##types##_##tile##_##isa,
enum {
#include ROWS
};
#undef ROW
#define ROW(number, op, types, layout, contract, tile, isa, bytes) \
  case number:                                                     \
    return table + AT_##op##_##types##_##tile##_##isa;

/* Hundreds of rows, found at every call: compilers make a search tree of this. */
const ert_kernel *ert_find_kernel(int32_t number) {
  switch (number) {
#include ROWS
    default:
      return NULL;
  }
}
#undef ROW
#endif

#ifdef ERT_INTROSPECT
const ert_kernel *ert_kernel_at(int32_t index);
const ert_kernel *ert_kernel_at(int32_t index) {
  return index >= 0 && index < (int32_t)N_KERNELS ? &table[index] : NULL;
}
#endif
