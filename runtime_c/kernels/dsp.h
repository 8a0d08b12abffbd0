/* SPDX-License-Identifier: Apache-2.0 */
/* The instructions of Armv7E-M that kernels are written with, one function each, and what they compute in plain C for
 * builds without them. A word holds two signed halves or four bytes, the first in its low bits. Sums wrap. */
#ifndef ERT_DSP_H
#define ERT_DSP_H

#include "isa.h"
#include "kernel.h"

/* Four bytes from any address. */
ERT_INLINE uint32_t ert_load_word(const void *from) {
#if defined(__GNUC__)
  uint32_t x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
#else
  const uint8_t *b = from;
  return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
#endif
}

/* Two bytes from any address. */
ERT_INLINE uint32_t ert_load_half(const void *from) {
#if defined(__GNUC__)
  uint16_t x;
  __builtin_memcpy(&x, from, sizeof x);
  return x;
#else
  const uint8_t *b = from;
  return b[0] | (uint32_t)b[1] << 8;
#endif
}

ERT_INLINE void ert_store_word(void *to, uint32_t x) {
#if defined(__GNUC__)
  __builtin_memcpy(to, &x, sizeof x);
#else
  uint8_t *b = to;
  for (int i = 0; i < 4; i++) b[i] = (uint8_t)(x >> 8 * i);
#endif
}

/* x >> 1, saturated to a byte. */
ERT_INLINE int32_t ert_half_byte(int32_t x) {
#if defined(__GNUC__) && defined(__ARM_FEATURE_SAT)
  int32_t r;
  __asm__("ssat %0, #8, %1, asr #1" : "=r"(r) : "r"(x) : "cc");
  return r;
#else
  const int32_t half = x >> 1;
  return half < -128 ? -128 : half > 127 ? 127 : half;
#endif
}

#if defined(__ARM_FEATURE_DSP)

/* The signed bytes 0 and 2 as halves. */
ERT_INLINE uint32_t ert_even_bytes(uint32_t x) {
  uint32_t r;
  __asm__("sxtb16 %0, %1" : "=r"(r) : "r"(x));
  return r;
}

/* The signed bytes 1 and 3 as halves. */
ERT_INLINE uint32_t ert_odd_bytes(uint32_t x) {
  uint32_t r;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(x));
  return r;
}

/* acc + x.low * y.low + x.high * y.high */
ERT_INLINE int32_t ert_dual_mac(uint32_t x, uint32_t y, int32_t acc) {
  int32_t r;
  __asm__("smlad %0, %1, %2, %3" : "=r"(r) : "r"(x), "r"(y), "r"(acc));
  return r;
}

/* acc + x.low * y.low */
ERT_INLINE int32_t ert_low_mac(uint32_t x, uint32_t y, int32_t acc) {
  int32_t r;
  __asm__("smlabb %0, %1, %2, %3" : "=r"(r) : "r"(x), "r"(y), "r"(acc));
  return r;
}

/* acc + x.high * y.high */
ERT_INLINE int32_t ert_high_mac(uint32_t x, uint32_t y, int32_t acc) {
  int32_t r;
  __asm__("smlatt %0, %1, %2, %3" : "=r"(r) : "r"(x), "r"(y), "r"(acc));
  return r;
}

/* acc + x.high * y.low */
ERT_INLINE int32_t ert_high_low_mac(uint32_t x, uint32_t y, int32_t acc) {
  int32_t r;
  __asm__("smlatb %0, %1, %2, %3" : "=r"(r) : "r"(x), "r"(y), "r"(acc));
  return r;
}

/* The low halves of x and y. */
ERT_INLINE uint32_t ert_low_halves(uint32_t x, uint32_t y) {
  uint32_t r;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(r) : "r"(x), "r"(y));
  return r;
}

/* The high halves of x and y. */
ERT_INLINE uint32_t ert_high_halves(uint32_t x, uint32_t y) {
  uint32_t r;
  __asm__("pkhtb %0, %1, %2, asr #16" : "=r"(r) : "r"(y), "r"(x));
  return r;
}

/* (x * y + 2^31) >> 32 */
ERT_INLINE int32_t ert_high_word(int32_t x, int32_t y) {
  int32_t r;
  __asm__("smmulr %0, %1, %2" : "=r"(r) : "r"(x), "r"(y));
  return r;
}

/* z + (x * y + 2^31) >> 32 */
ERT_INLINE int32_t ert_high_mac_rounded(int32_t x, int32_t y, int32_t z) {
  int32_t r;
  __asm__("smmlar %0, %1, %2, %3" : "=r"(r) : "r"(x), "r"(y), "r"(z));
  return r;
}

/* x, saturated to a byte. */
ERT_INLINE int32_t ert_signed_byte(int32_t x) {
  int32_t r;
  __asm__("ssat %0, #8, %1" : "=r"(r) : "r"(x) : "cc");
  return r;
}

/* x >> n for n in 0..31; some other shift of x for any other n. */
ERT_INLINE int32_t ert_shift_right(int32_t x, int32_t n) {
  int32_t r;
  __asm__("asr %0, %1, %2" : "=r"(r) : "r"(x), "r"(n));
  return r;
}

/* The low bytes of a, b, c, d. */
ERT_INLINE uint32_t ert_four_bytes(int32_t a, int32_t b, int32_t c, int32_t d) {
  __asm__("bfi %0, %1, #8, #8\n\tbfi %0, %2, #16, #8\n\tbfi %0, %3, #24, #8" : "+r"(a) : "r"(b), "r"(c), "r"(d));
  return (uint32_t)a;
}

/* Each signed byte of x, at least that of low and at most that of high. */
ERT_INLINE uint32_t ert_clamp_bytes(uint32_t x, uint32_t low, uint32_t high) {
  uint32_t t;
  __asm__("ssub8 %1, %0, %2\n\tsel %0, %0, %2\n\tssub8 %1, %3, %0\n\tsel %0, %0, %3"
          : "+r"(x), "=&r"(t)
          : "r"(low), "r"(high)
          : "cc");
  return x;
}

#else

ERT_INLINE int32_t ert_low_half(uint32_t x) { return (int16_t)(uint16_t)x; }
ERT_INLINE int32_t ert_high_half(uint32_t x) { return (int16_t)(uint16_t)(x >> 16); }

ERT_INLINE uint32_t ert_even_bytes(uint32_t x) {
  return (uint16_t)(int16_t)(int8_t)x | (uint32_t)(uint16_t)(int16_t)(int8_t)(x >> 16) << 16;
}

ERT_INLINE uint32_t ert_odd_bytes(uint32_t x) { return ert_even_bytes(x >> 8); }

/* x * y + acc for halves as they are. */
ERT_INLINE int32_t ert_mac(int32_t x, int32_t y, int32_t acc) { return (int32_t)((uint32_t)acc + (uint32_t)(x * y)); }

ERT_INLINE int32_t ert_low_mac(uint32_t x, uint32_t y, int32_t acc) {
  return ert_mac(ert_low_half(x), ert_low_half(y), acc);
}

ERT_INLINE int32_t ert_high_mac(uint32_t x, uint32_t y, int32_t acc) {
  return ert_mac(ert_high_half(x), ert_high_half(y), acc);
}

ERT_INLINE int32_t ert_high_low_mac(uint32_t x, uint32_t y, int32_t acc) {
  return ert_mac(ert_high_half(x), ert_low_half(y), acc);
}

ERT_INLINE int32_t ert_dual_mac(uint32_t x, uint32_t y, int32_t acc) {
  return ert_high_mac(x, y, ert_low_mac(x, y, acc));
}

ERT_INLINE uint32_t ert_low_halves(uint32_t x, uint32_t y) { return (x & 0xffff) | y << 16; }

ERT_INLINE uint32_t ert_high_halves(uint32_t x, uint32_t y) { return x >> 16 | (y & 0xffff0000u); }

ERT_INLINE int32_t ert_high_word(int32_t x, int32_t y) {
  return (int32_t)(((int64_t)x * y + ((int64_t)1 << 31)) >> 32);
}

ERT_INLINE int32_t ert_high_mac_rounded(int32_t x, int32_t y, int32_t z) {
  return (int32_t)((uint32_t)z + (uint32_t)ert_high_word(x, y));
}

ERT_INLINE int32_t ert_signed_byte(int32_t x) { return x < -128 ? -128 : x > 127 ? 127 : x; }

ERT_INLINE int32_t ert_signed_half(int32_t x) { return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x; }

ERT_INLINE int32_t ert_shift_right(int32_t x, int32_t n) { return x >> (n & 31); }

ERT_INLINE uint32_t ert_four_bytes(int32_t a, int32_t b, int32_t c, int32_t d) {
  return (uint8_t)a | (uint32_t)(uint8_t)b << 8 | (uint32_t)(uint8_t)c << 16 | (uint32_t)(uint8_t)d << 24;
}

ERT_INLINE uint32_t ert_clamp_bytes(uint32_t x, uint32_t low, uint32_t high) {
  uint32_t r = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    const int8_t b = (int8_t)(x >> shift), l = (int8_t)(low >> shift), h = (int8_t)(high >> shift);
    const int8_t kept = b < l ? l : b;
    r |= (uint32_t)(uint8_t)(kept > h ? h : kept) << shift;
  }
  return r;
}

#endif

#endif
