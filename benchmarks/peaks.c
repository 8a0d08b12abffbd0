/* SPDX-License-Identifier: Apache-2.0 */
/* The most that one thread of this machine does: products per second of float32 and of int8, and bytes per second read
 * and copied in buffers of growing size. Built with -O3 -march=native; prints JSON. */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#endif

#if defined __AVX512F__
enum { VECTOR = 64 };
#elif defined __AVX__
enum { VECTOR = 32 };
#else
enum { VECTOR = 16 };
#endif
enum { SUMS = 12, TURNS = 200000, TRIES = 40 }; /* as many sums as hide the latency of two units */

typedef float floats __attribute__((vector_size(VECTOR)));
typedef int64_t words __attribute__((vector_size(VECTOR)));

#if defined __AVX512VNNI__
typedef __m512i dots;
static dots dot(dots sum, dots a, dots b) { return _mm512_dpbusd_epi32(sum, a, b); }
static dots all(int x) { return _mm512_set1_epi8((char)x); }
static const char *const dot_name = "avx512vnni";
enum { DOT_PRODUCTS = 64 };
#elif defined __AVXVNNI__
typedef __m256i dots;
static dots dot(dots sum, dots a, dots b) { return _mm256_dpbusd_avx_epi32(sum, a, b); }
static dots all(int x) { return _mm256_set1_epi8((char)x); }
static const char *const dot_name = "avxvnni";
enum { DOT_PRODUCTS = 32 };
#elif defined __AVX2__
typedef __m256i dots; /* both factors widened to 16 bits, for pairs of products of bytes need not fit there */
static dots dot(dots sum, dots a, dots b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
static dots all(int x) { return _mm256_set1_epi16((short)x); }
static const char *const dot_name = "avx2, widened to 16 bits";
enum { DOT_PRODUCTS = 16 };
#elif defined __ARM_FEATURE_DOTPROD
typedef int32x4_t dots;
static dots dot(dots sum, dots a, dots b) {
  return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
}
static dots all(int x) { return vreinterpretq_s32_s8(vdupq_n_s8((int8_t)x)); }
static const char *const dot_name = "neon dot product";
enum { DOT_PRODUCTS = 16 };
#elif defined __aarch64__
typedef int32x4_t dots; /* eight products, widened to 16 bits and added in pairs */
static dots dot(dots sum, dots a, dots b) {
  return vpadalq_s16(sum, vmull_s8(vget_low_s8(vreinterpretq_s8_s32(a)), vget_low_s8(vreinterpretq_s8_s32(b))));
}
static dots all(int x) { return vreinterpretq_s32_s8(vdupq_n_s8((int8_t)x)); }
static const char *const dot_name = "neon";
enum { DOT_PRODUCTS = 8 };
#else
typedef int32_t dots;
static dots dot(dots sum, dots a, dots b) {
  __asm__("" : "+r"(a)); /* or all turns become one product */
  return sum + a * b;
}
static dots all(int x) { return x; }
static const char *const dot_name = "plain C";
enum { DOT_PRODUCTS = 1 };
#endif

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The compiler can neither know what lies there nor leave it out. */
static void keep(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

static void multiply_floats(void) {
  floats sum[SUMS] = {{0}}, a = {0}, b = {0};
  keep(&a), keep(&b), keep(sum);
  for (int t = 0; t < TURNS; t++)
    for (int k = 0; k < SUMS; k++) sum[k] += a * b;
  keep(sum);
}

static void multiply_bytes(void) {
  dots sum[SUMS], a = all(3), b = all(5);
  memset(sum, 0, sizeof sum);
  keep(&a), keep(&b), keep(sum);
  for (int t = 0; t < TURNS; t++)
    for (int k = 0; k < SUMS; k++) sum[k] = dot(sum[k], a, b);
  keep(sum);
}

static double fastest(void (*work)(void)) {
  double best = 1e9;
  for (int i = 0; i < TRIES; i++) {
    const double begun = now();
    work();
    const double took = now() - begun;
    if (took < best) best = took;
  }
  return best;
}

static void read_all(const char *from, size_t bytes) {
  const words *p = (const void *)from;
  words sum[8] = {{0}};
  for (size_t i = 0; i < bytes / sizeof *p; i += 8)
    for (int k = 0; k < 8; k++) sum[k] += p[i + (size_t)k];
  keep(sum);
}

static void copy_half(const char *from, size_t bytes) { memcpy((char *)(uintptr_t)from + bytes / 2, from, bytes / 2); }

/* Bytes per second; a copy counts what it reads and what it writes. */
static double rate(void (*move)(const char *, size_t), char *buffer, size_t bytes) {
  const size_t turns = 1 + ((size_t)1 << 25) / bytes;
  double best = 0;
  for (int i = 0; i < TRIES / 4; i++) {
    const double begun = now();
    for (size_t t = 0; t < turns; t++) move(buffer, bytes), keep(buffer);
    const double reached = (double)(turns * bytes) / (now() - begun);
    if (reached > best) best = reached;
  }
  return best;
}

static void print_rates(const char *name, void (*move)(const char *, size_t), char *buffer, size_t most) {
  printf(", \"%s\": [", name);
  for (size_t bytes = 1 << 14; bytes <= most; bytes *= 4)
    printf("%s[%zu, %.4g]", bytes > 1 << 14 ? ", " : "", bytes, rate(move, buffer, bytes));
  printf("]");
}

int main(void) {
  const size_t most = (size_t)1 << 28;
  void *buffer;
  if (posix_memalign(&buffer, 4096, most)) return 1;
  memset(buffer, 1, most);
  const double products = (double)TURNS * (double)SUMS;
  printf("{\"float32\": %.4g", products * (VECTOR / sizeof(float)) / fastest(multiply_floats));
  printf(", \"int8\": %.4g, \"int8_by\": \"%s\"", products * (double)DOT_PRODUCTS / fastest(multiply_bytes), dot_name);
  print_rates("read", read_all, buffer, most);
  print_rates("copy", copy_half, buffer, most);
  printf("}\n");
  free(buffer);
  return 0;
}
