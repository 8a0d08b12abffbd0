/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loops take 29 instructions for 32 products of two pixels (16 of them multiply: 0.5 per product is the floor
 * of SMLAD), 19 for 16 of one pixel. */
#include "pairs.h"
#include "dsp.h"

#if ERT_HAS_dsp

enum { LOW_CHANNEL = -128, HIGH_CHANNEL = 127 };

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

/* What four channels need to become bytes. */
typedef struct {
  int32_t bias[4], multiplier[4], shift[4];
} factors;

ERT_INLINE factors factors_of(const ert_scales *s, int32_t o, int32_t n) {
  factors f;
  for (int32_t j = 0; j < 4; j++) {
    const int32_t at = o + (j < n ? j : 0);
    f.bias[j] = s->bias[at];
    f.multiplier[j] = s->multiplier[at * s->step];
    f.shift[j] = s->shift[at * s->step];
  }
  return f;
}

/* A byte from twice the sum with its bias. */
ERT_INLINE int32_t byte_of(uint32_t doubled, int32_t multiplier, int32_t shift, int32_t round) {
  const int32_t high = ert_high_product((int32_t)doubled, multiplier);
  const int32_t shifted = ert_shift_right((int32_t)((uint32_t)high + (uint32_t)(high >> 31)), shift);
  return ert_half_byte((int32_t)((uint32_t)shifted + (uint32_t)round));
}

ERT_INLINE uint32_t bytes_of(const sums *a, const factors *f, int32_t round) {
  int32_t b[4];
  for (int32_t j = 0; j < 2; j++) {
    const uint32_t low = (uint32_t)a->low[j];
    const int32_t other = (int32_t)((uint32_t)a->whole[j] - low);
    b[2 * j] = byte_of((uint32_t)f->bias[2 * j] + (low << 1), f->multiplier[2 * j], f->shift[2 * j], round);
    b[2 * j + 1] = byte_of((uint32_t)f->bias[2 * j + 1] + (uint32_t)(other >> 7), f->multiplier[2 * j + 1],
                           f->shift[2 * j + 1], round);
  }
  return ert_four_bytes(b[0], b[1], b[2], b[3]);
}

/* Bytes at least min and at most max, which most layers need not ask for. */
ERT_INLINE uint32_t clamped(const ert_scales *s, uint32_t bytes) {
  if (s->min <= LOW_CHANNEL && s->max >= HIGH_CHANNEL) return bytes;
  return ert_clamp_bytes(bytes, (uint8_t)s->min * 0x01010101u, (uint8_t)s->max * 0x01010101u);
}

ERT_INLINE void store_some(int8_t *out, uint32_t bytes, int32_t n) {
  for (int32_t j = 0; j < n; j++) out[j] = (int8_t)(uint8_t)(bytes >> 8 * j);
}

static int32_t round_of(const ert_scales *s) { return (int32_t)(1u + 2u * (uint32_t)s->zero_point); }

/* One to three channels that are left, or the last pair. */
static void rest_of_two(const ert_pairs *p, const uint32_t *w, const uint32_t *slots, const uint32_t *end, int32_t o,
                        int8_t *first, int8_t *second) {
  const int32_t n = p->n_out - o, round = round_of(&p->s);
  const factors f = factors_of(&p->s, o, n);
  sums a, b;
  if (n > 2) dot_2x4(w, slots, end, &a, &b);
  else dot_2x2(w, slots, end, &a, &b);
  store_some(second + o, clamped(&p->s, bytes_of(&b, &f, round)), n);
  store_some(first + o, clamped(&p->s, bytes_of(&a, &f, round)), n);
}

void ert_pairs_two(const ert_pairs *p, const uint32_t *slots, int8_t *first, int8_t *second) {
  const uint32_t *w = p->w, *const end = slots + ((p->n + 3) & ~3);
  const int32_t round = round_of(&p->s);
  int32_t o = 0;
  for (; o + 4 <= p->n_out; o += 4) {
    sums a, b;
    w = dot_2x4(w, slots, end, &a, &b);
    const factors f = factors_of(&p->s, o, 4);
    ert_store_word(second + o, clamped(&p->s, bytes_of(&b, &f, round)));
    ert_store_word(first + o, clamped(&p->s, bytes_of(&a, &f, round)));
  }
  if (o < p->n_out) rest_of_two(p, w, slots, end, o, first, second);
}

/* One pixel of two pairs from n items, the last of them in `rest` where n is no multiple of 4. */
ERT_INLINE const uint32_t *dot_1x4(const uint32_t *w, const int8_t *x, int32_t n, uint32_t rest, sums *restrict a) {
  int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  for (int32_t k = 0; k < n; k += 4, w += 4) {
    const uint32_t four = n - k < 4 ? rest : ert_load_word(x + k);
    const uint32_t even = ert_even_bytes(four), odd = ert_odd_bytes(four);
    a0 = ert_dual_mac(even, w[0], a0), a1 = ert_dual_mac(even, ert_even_bytes(w[0]), a1);
    a2 = ert_dual_mac(even, w[1], a2), a3 = ert_dual_mac(even, ert_even_bytes(w[1]), a3);
    a0 = ert_dual_mac(odd, w[2], a0), a1 = ert_dual_mac(odd, ert_even_bytes(w[2]), a1);
    a2 = ert_dual_mac(odd, w[3], a2), a3 = ert_dual_mac(odd, ert_even_bytes(w[3]), a3);
  }
  *a = (sums){{a0, a2}, {a1, a3}};
  return w;
}

/* One pixel of the last pair. */
ERT_INLINE void dot_1x2(const uint32_t *w, const int8_t *x, int32_t n, uint32_t rest, sums *restrict a) {
  int32_t a0 = 0, a1 = 0;
  for (int32_t k = 0; k < n; k += 4, w += 2) {
    const uint32_t four = n - k < 4 ? rest : ert_load_word(x + k);
    const uint32_t even = ert_even_bytes(four), odd = ert_odd_bytes(four);
    a0 = ert_dual_mac(even, w[0], a0), a1 = ert_dual_mac(even, ert_even_bytes(w[0]), a1);
    a0 = ert_dual_mac(odd, w[1], a0), a1 = ert_dual_mac(odd, ert_even_bytes(w[1]), a1);
  }
  *a = (sums){{a0, 0}, {a1, 0}};
}

void ert_pairs_one(const ert_pairs *p, const int8_t *x, int8_t *out) {
  const uint32_t *w = p->w, rest = last_word(x + (p->n & ~3), p->n & 3);
  const int32_t round = round_of(&p->s);
  for (int32_t o = 0; o < p->n_out; o += 4) {
    const int32_t n = p->n_out - o;
    const factors f = factors_of(&p->s, o, n);
    sums a;
    if (n > 2) w = dot_1x4(w, x, p->n, rest, &a);
    else dot_1x2(w, x, p->n, rest, &a);
    const uint32_t bytes = clamped(&p->s, bytes_of(&a, &f, round));
    if (n >= 4) ert_store_word(out + o, bytes);
    else store_some(out + o, bytes, n);
  }
}

#endif
