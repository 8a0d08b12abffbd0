/* SPDX-License-Identifier: Apache-2.0 */
/* Four items at a time: a loop of 16 instructions for four sums, of 14 for four products. */
#include "binary/walk.h"
#include "mve.h"

#if ERT_HAS_mve

enum { CHUNK = 64 }; /* items for which one that stands for all is copied */

/* n <= CHUNK or, where both operands have an item each, any number of items. */
typedef void items_fn(const void *params, const int8_t *a, const int8_t *b, int8_t *out, int32_t n);

static const int8_t *copied(int8_t *copies, int8_t item) {
  for (int32_t i = 0; i < CHUNK; i += 16) vstrbq_s8(copies + i, vdupq_n_s8(item));
  return copies;
}

ERT_INLINE void pixel(const ert_binary_shape *g, const int8_t *a, const int8_t *b, int8_t *out, items_fn *items) {
  int8_t a_copies[CHUNK], b_copies[CHUNK];
  const int32_t chunk = g->a_item && g->b_item ? g->c : CHUNK;
  if (!g->a_item) a = copied(a_copies, *a);
  if (!g->b_item) b = copied(b_copies, *b);
  for (int32_t n = g->c; n > 0; n -= chunk, a += g->a_item * chunk, b += g->b_item * chunk, out += chunk)
    items(g, a, b, out, n < chunk ? n : chunk);
}

/* Factors are half of those of binary.h: VQRDMULH doubles its product. */
__attribute__((noinline)) static void add_items(const void *params, const int8_t *a, const int8_t *b, int8_t *out,
                                                int32_t n) {
  const ert_add_s8s8_params *p = params;
  const int32_t a_factor = p->a_factor / 2, b_factor = p->b_gain / 2;
  const int32x4_t min = vdupq_n_s32(p->min), max = vdupq_n_s32(p->max);
  __asm__ volatile(
      "wlstp.32 lr, %[n], 2f\n\t"
      "movs %[n], #1\n"
      "1:\n\t"
      "vldrb.s32 q0, [%[b]], #4\n\t"
      "vmlas.s32 q0, %q[b_factor], %[b_base]\n\t"
      "vqrdmulh.s32 q0, q0, %[b_multiplier]\n\t"
      "vqdmlah.s32 q0, q0, %[n]\n\t"
      "vldrb.s32 q1, [%[a]], #4\n\t"
      "vrshl.s32 q0, %[b_shift]\n\t"
      "vmlas.s32 q1, %q[a_factor], %[a_base]\n\t"
      "vmla.s32 q1, q0, %[b_sign]\n\t"
      "vqrdmulh.s32 q1, q1, %[multiplier]\n\t"
      "vqdmlah.s32 q1, q1, %[n]\n\t"
      "vrshl.s32 q1, %[shift]\n\t"
      "vadd.i32 q1, q1, %[zero_point]\n\t"
      "vmax.s32 q1, q1, %q[min]\n\t"
      "vmin.s32 q1, q1, %q[max]\n\t"
      "vstrb.32 q1, [%[out]], #4\n\t"
      "letp lr, 1b\n"
      "2:"
      : [a] "+l"(a), [b] "+l"(b), [out] "+l"(out), [n] "+l"(n)
      : [a_factor] "w"(vdupq_n_s32(a_factor)), [a_base] "r"(-p->a_zero_point * a_factor),
        [b_factor] "w"(vdupq_n_s32(b_factor)), [b_base] "r"(-p->b_zero_point * b_factor),
        [b_multiplier] "r"(p->b_scale.multiplier), [b_shift] "r"(-p->b_scale.shift), [b_sign] "r"(p->b_factor / 2),
        [multiplier] "r"(p->scale.multiplier), [shift] "r"(-p->scale.shift), [zero_point] "r"(p->zero_point),
        [min] "w"(min), [max] "w"(max)
      : "lr", "q0", "q1", "cc", "memory");
}

/* The second rounding is that of a shift to the right: without one, VQDMLAH adds high * 0. */
__attribute__((noinline)) static void mul_items(const void *params, const int8_t *a, const int8_t *b, int8_t *out,
                                                int32_t n) {
  const ert_mul_s8s8_params *p = params;
  const int32x4_t min = vdupq_n_s32(p->min), max = vdupq_n_s32(p->max);
  __asm__ volatile(
      "wlstp.32 lr, %[n], 2f\n"
      "1:\n\t"
      "vldrb.s32 q0, [%[a]], #4\n\t"
      "vsub.i32 q0, q0, %[a_zero_point]\n\t"
      "vldrb.s32 q1, [%[b]], #4\n\t"
      "vsub.i32 q1, q1, %[b_zero_point]\n\t"
      "vmul.i32 q0, q0, q1\n\t"
      "vshl.s32 q0, %[left]\n\t"
      "vqrdmulh.s32 q0, q0, %[multiplier]\n\t"
      "vqdmlah.s32 q0, q0, %[rounds]\n\t"
      "vrshl.s32 q0, %[right]\n\t"
      "vadd.i32 q0, q0, %[zero_point]\n\t"
      "vmax.s32 q0, q0, %q[min]\n\t"
      "vmin.s32 q0, q0, %q[max]\n\t"
      "vstrb.32 q0, [%[out]], #4\n\t"
      "letp lr, 1b\n"
      "2:"
      : [a] "+l"(a), [b] "+l"(b), [out] "+l"(out)
      : [n] "r"(n), [a_zero_point] "r"(p->a_zero_point), [b_zero_point] "r"(p->b_zero_point),
        [left] "r"(p->shift > 0 ? p->shift : 0), [multiplier] "r"(p->multiplier), [rounds] "r"(p->shift < 0),
        [right] "r"(p->shift < 0 ? p->shift : 0), [zero_point] "r"(p->zero_point), [min] "w"(min), [max] "w"(max)
      : "lr", "q0", "q1", "cc", "memory");
}

#define EXTREMES(instruction)                     \
  __asm__ volatile(                               \
      "wlstp.8 lr, %[n], 2f\n"                    \
      "1:\n\t"                                    \
      "vldrb.8 q0, [%[a]], #16\n\t"               \
      "vldrb.8 q1, [%[b]], #16\n\t" instruction   \
      " q0, q0, q1\n\t"                           \
      "vstrb.8 q0, [%[out]], #16\n\t"             \
      "letp lr, 1b\n"                             \
      "2:"                                        \
      : [a] "+r"(a), [b] "+r"(b), [out] "+r"(out) \
      : [n] "r"(n)                                \
      : "lr", "q0", "q1", "memory")

static void minmax_items(const void *params, const int8_t *a, const int8_t *b, int8_t *out, int32_t n) {
  if (((const ert_minmax_s8s8_params *)params)->sign > 0) EXTREMES("vmin.s8");
  else EXTREMES("vmax.s8");
}

static void add_s8(const ert_binary_shape *g, const void *a, const void *b, void *out) {
  pixel(g, a, b, out, add_items);
}

static void mul_s8(const ert_binary_shape *g, const void *a, const void *b, void *out) {
  pixel(g, a, b, out, mul_items);
}

static void minmax_s8(const ert_binary_shape *g, const void *a, const void *b, void *out) {
  pixel(g, a, b, out, minmax_items);
}

void ert_add_s8s8_x4__mve(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, add_s8); }
void ert_mul_s8s8_x4__mve(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, mul_s8); }
void ert_minmax_s8s8_x16__mve(const ert_call *c, int32_t y0, int32_t y1) { ert_walk(c, y0, y1, 1, minmax_s8); }

#endif
