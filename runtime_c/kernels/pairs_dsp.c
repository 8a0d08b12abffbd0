/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops take 29 instructions for 32 products of two pixels (16 of them multiply: 0.5 per product is the floor
 * of SMLAD), 19 for 16 of one pixel. */
#include "pairs.h"
#include "dsp.h"

#if ERT_HAS_dsp

/* Up to four bytes of a vector, zeros behind them. */
static uint32_t last_word(const int8_t *x, int32_t n) {
  uint32_t word = 0;
  for (int32_t i = 0; i < n; i++) word |= (uint32_t)(uint8_t)x[i] << 8 * i;
  return word;
}

void ert_widen_slot(uint32_t *slot, const int8_t *x, int32_t n) {
  const int8_t *const end = x + (n & ~3);
  for (; x < end; x += 4, slot += 4) {
    const uint32_t four = ert_load_word(x);
    slot[0] = ert_even_bytes(four);
    slot[2] = ert_odd_bytes(four);
  }
  if (n & 3) {
    const uint32_t rest = last_word(x, n & 3);
    slot[0] = ert_even_bytes(rest);
    slot[2] = ert_odd_bytes(rest);
  }
}

/* Sums of a block of channels: of each pair the words as they are, and their low bytes. */
typedef struct {
  int32_t whole[2], low[2];
} sums;

/* Two pixels of two pairs; returns the weights that follow. */
ERT_INLINE const uint32_t *dot_2x4(const uint32_t *w, const uint32_t *x, const uint32_t *end, sums *restrict first,
                                   sums *restrict second) {
  int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
#if defined(__ARM_FEATURE_DSP)
  uint32_t x0, x1, v;
#define STEP                            \
  "ldrd %[x0], %[x1], [%[x]], #8\n\t"   \
  "ldr %[v], [%[w]], #4\n\t"            \
  "smlad %[a0], %[x0], %[v], %[a0]\n\t" \
  "smlad %[b0], %[x1], %[v], %[b0]\n\t" \
  "sxtb16 %[v], %[v]\n\t"               \
  "smlad %[a1], %[x0], %[v], %[a1]\n\t" \
  "smlad %[b1], %[x1], %[v], %[b1]\n\t" \
  "ldr %[v], [%[w]], #4\n\t"            \
  "smlad %[a2], %[x0], %[v], %[a2]\n\t" \
  "smlad %[b2], %[x1], %[v], %[b2]\n\t" \
  "sxtb16 %[v], %[v]\n\t"               \
  "smlad %[a3], %[x0], %[v], %[a3]\n\t" \
  "smlad %[b3], %[x1], %[v], %[b3]\n\t"
  __asm__ volatile(
      "1:\n\t" STEP STEP
      "ldr %[v], %[end]\n\t"
      "cmp %[x], %[v]\n\t"
      "bne 1b"
      : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [b0] "+r"(b0), [b1] "+r"(b1), [b2] "+r"(b2),
        [b3] "+r"(b3), [x] "+r"(x), [w] "+r"(w), [x0] "=&r"(x0), [x1] "=&r"(x1), [v] "=&r"(v)
      : [end] "m"(end)
      : "cc", "memory");
#undef STEP
#else
  for (; x != end; x += 2, w += 2) {
    const uint32_t low0 = ert_even_bytes(w[0]), low1 = ert_even_bytes(w[1]);
    a0 = ert_dual_mac(x[0], w[0], a0), b0 = ert_dual_mac(x[1], w[0], b0);
    a1 = ert_dual_mac(x[0], low0, a1), b1 = ert_dual_mac(x[1], low0, b1);
    a2 = ert_dual_mac(x[0], w[1], a2), b2 = ert_dual_mac(x[1], w[1], b2);
    a3 = ert_dual_mac(x[0], low1, a3), b3 = ert_dual_mac(x[1], low1, b3);
  }
#endif
  *first = (sums){{a0, a2}, {a1, a3}};
  *second = (sums){{b0, b2}, {b1, b3}};
  return w;
}

/* Two pixels of the last pair. */
ERT_INLINE void dot_2x2(const uint32_t *w, const uint32_t *x, const uint32_t *end, sums *restrict first,
                        sums *restrict second) {
  int32_t a0 = 0, a1 = 0, b0 = 0, b1 = 0;
  for (; x != end; x += 2, w++) {
    const uint32_t v = *w, low = ert_even_bytes(v), x0 = x[0], x1 = x[1];
    a0 = ert_dual_mac(x0, v, a0), b0 = ert_dual_mac(x1, v, b0);
    a1 = ert_dual_mac(x0, low, a1), b1 = ert_dual_mac(x1, low, b1);
  }
  *first = (sums){{a0, 0}, {a1, 0}};
  *second = (sums){{b0, 0}, {b1, 0}};
}

/* A byte from twice the sum with its bias. */
ERT_INLINE int32_t byte_of(uint32_t doubled, int32_t multiplier, int32_t shift, int32_t round) {
  const int32_t high = ert_high_product((int32_t)doubled, multiplier);
  const int32_t shifted = ert_shift_right((int32_t)((uint32_t)high + (uint32_t)(high >> 31)), shift);
  return ert_half_byte((int32_t)((uint32_t)shifted + (uint32_t)round));
}

/* Twice the sum of a pair's first channel, and of its second. */
ERT_INLINE uint32_t twice_first(const sums *a, int32_t pair) { return (uint32_t)a->low[pair] << 1; }
ERT_INLINE uint32_t twice_second(const sums *a, int32_t pair) {
  return (uint32_t)((int32_t)((uint32_t)a->whole[pair] - (uint32_t)a->low[pair]) >> 7);
}

/* Channels o and o + 1 of two pixels. */
ERT_INLINE void finish_pair(const ert_scales *s, int32_t o, int32_t pair, sums *restrict a, sums *restrict b) {
  const int32_t round = (int32_t)(1u + 2u * (uint32_t)s->zero_point), i = o * s->step, j = i + s->step;
  const uint32_t bias0 = (uint32_t)s->bias[o], bias1 = (uint32_t)s->bias[o + 1];
  const uint32_t a1 = twice_second(a, pair), b1 = twice_second(b, pair);
  a->low[pair] = byte_of(bias0 + twice_first(a, pair), s->multiplier[i], s->shift[i], round);
  b->low[pair] = byte_of(bias0 + twice_first(b, pair), s->multiplier[i], s->shift[i], round);
  a->whole[pair] = byte_of(bias1 + a1, s->multiplier[j], s->shift[j], round);
  b->whole[pair] = byte_of(bias1 + b1, s->multiplier[j], s->shift[j], round);
}

/* Channel o of one pixel. */
ERT_INLINE int8_t finish_one(const ert_scales *s, int32_t o, uint32_t doubled) {
  const int32_t round = (int32_t)(1u + 2u * (uint32_t)s->zero_point), i = o * s->step;
  return (int8_t)ert_clamp(byte_of((uint32_t)s->bias[o] + doubled, s->multiplier[i], s->shift[i], round), s->min,
                           s->max);
}

/* The n channels of a last block. */
static void finish_some(const ert_scales *s, int32_t o, int32_t n, const sums *a, int8_t *out) {
  for (int32_t j = 0; j < n; j++)
    out[o + j] = finish_one(s, o + j, j & 1 ? twice_second(a, j >> 1) : twice_first(a, j >> 1));
}

/* Bytes at least min and at most max, which most layers need not ask for. */
ERT_INLINE uint32_t clamped(const ert_scales *s, uint32_t bytes) {
  if (s->min <= INT8_MIN && s->max >= INT8_MAX) return bytes;
  return ert_clamp_bytes(bytes, (uint8_t)s->min * 0x01010101u, (uint8_t)s->max * 0x01010101u);
}

ERT_INLINE void store_block(const ert_scales *s, const sums *a, int8_t *out) {
  ert_store_word(out, clamped(s, ert_four_bytes(a->low[0], a->whole[0], a->low[1], a->whole[1])));
}

/* One to three channels that are left. */
static void rest_of_two(const ert_pairs *p, const uint32_t *w, const uint32_t *slots, const uint32_t *end,
                        int8_t *first, int8_t *second) {
  const int32_t n = p->n_out & 3, o = p->n_out - n;
  sums a, b;
  if (n > 2) dot_2x4(w, slots, end, &a, &b);
  else dot_2x2(w, slots, end, &a, &b);
  finish_some(&p->s, o, n, &a, first);
  finish_some(&p->s, o, n, &b, second);
}

void ert_pairs_two(const ert_pairs *p, const uint32_t *slots, int8_t *first, int8_t *second) {
  const uint32_t *w = p->w, *const end = slots + ((p->n + 3) & ~3);
  const int32_t whole = p->n_out & ~3;
  for (int32_t o = 0; o < whole; o += 4) {
    sums a, b;
    w = dot_2x4(w, slots, end, &a, &b);
    finish_pair(&p->s, o, 0, &a, &b);
    finish_pair(&p->s, o + 2, 1, &a, &b);
    store_block(&p->s, &a, first + o);
    store_block(&p->s, &b, second + o);
  }
  if (whole < p->n_out) rest_of_two(p, w, slots, end, first, second);
}

/* One pixel of two pairs; `rest` is the last word of x where n is no multiple of 4. */
static const uint32_t *dot_1x4(const uint32_t *w, const int8_t *x, int32_t n, uint32_t rest, sums *a) {
  const int8_t *const end = x + (n & ~3);
  int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
#if defined(__ARM_FEATURE_DSP)
  uint32_t even, odd, v0, v1;
#define STEP(x)                       \
  "ldrd %[v0], %[v1], [%[w]], #8\n\t" \
  "smlad %[a0], " x                   \
  ", %[v0], %[a0]\n\t"                \
  "sxtb16 %[v0], %[v0]\n\t"           \
  "smlad %[a2], " x                   \
  ", %[v1], %[a2]\n\t"                \
  "sxtb16 %[v1], %[v1]\n\t"           \
  "smlad %[a1], " x                   \
  ", %[v0], %[a1]\n\t"                \
  "smlad %[a3], " x ", %[v1], %[a3]\n\t"
  if (x != end)
    __asm__ volatile("1:\n\t"
                     "ldr %[odd], [%[x]], #4\n\t"
                     "sxtb16 %[even], %[odd]\n\t"
                     "sxtb16 %[odd], %[odd], ror #8\n\t" STEP("%[even]") STEP("%[odd]")
                     "cmp %[x], %[end]\n\t"
                     "bne 1b"
                     : [a0] "+r"(a0), [a1] "+r"(a1), [a2] "+r"(a2), [a3] "+r"(a3), [x] "+r"(x), [w] "+r"(w),
                       [even] "=&r"(even), [odd] "=&r"(odd), [v0] "=&r"(v0), [v1] "=&r"(v1)
                     : [end] "r"(end)
                     : "cc", "memory");
#undef STEP
#else
  for (; x != end; x += 4, w += 4) {
    const uint32_t even = ert_even_bytes(ert_load_word(x)), odd = ert_odd_bytes(ert_load_word(x));
    a0 = ert_dual_mac(odd, w[2], ert_dual_mac(even, w[0], a0));
    a1 = ert_dual_mac(odd, ert_even_bytes(w[2]), ert_dual_mac(even, ert_even_bytes(w[0]), a1));
    a2 = ert_dual_mac(odd, w[3], ert_dual_mac(even, w[1], a2));
    a3 = ert_dual_mac(odd, ert_even_bytes(w[3]), ert_dual_mac(even, ert_even_bytes(w[1]), a3));
  }
#endif
  if (n & 3) {
    const uint32_t low = ert_even_bytes(rest), high = ert_odd_bytes(rest);
    a0 = ert_dual_mac(high, w[2], ert_dual_mac(low, w[0], a0));
    a1 = ert_dual_mac(high, ert_even_bytes(w[2]), ert_dual_mac(low, ert_even_bytes(w[0]), a1));
    a2 = ert_dual_mac(high, w[3], ert_dual_mac(low, w[1], a2));
    a3 = ert_dual_mac(high, ert_even_bytes(w[3]), ert_dual_mac(low, ert_even_bytes(w[1]), a3));
    w += 4;
  }
  *a = (sums){{a0, a2}, {a1, a3}};
  return w;
}

/* One pixel of the last pair. */
static void dot_1x2(const uint32_t *w, const int8_t *x, int32_t n, uint32_t rest, sums *a) {
  int32_t a0 = 0, a1 = 0;
  for (int32_t k = 0; k < n; k += 4, w += 2) {
    const uint32_t four = n - k < 4 ? rest : ert_load_word(x + k);
    const uint32_t even = ert_even_bytes(four), odd = ert_odd_bytes(four);
    a0 = ert_dual_mac(odd, w[1], ert_dual_mac(even, w[0], a0));
    a1 = ert_dual_mac(odd, ert_even_bytes(w[1]), ert_dual_mac(even, ert_even_bytes(w[0]), a1));
  }
  *a = (sums){{a0, 0}, {a1, 0}};
}

void ert_pairs_one(const ert_pairs *p, const int8_t *x, int8_t *out) {
  const uint32_t *w = p->w, rest = last_word(x + (p->n & ~3), p->n & 3);
  const int32_t more = p->n_out & 3, whole = p->n_out - more;
  sums a;
  for (int32_t o = 0; o < whole; o += 4) {
    w = dot_1x4(w, x, p->n, rest, &a);
    finish_some(&p->s, o, 4, &a, out);
  }
  if (more > 2) dot_1x4(w, x, p->n, rest, &a);
  else if (more) dot_1x2(w, x, p->n, rest, &a);
  finish_some(&p->s, whole, more, &a, out);
}

#endif
