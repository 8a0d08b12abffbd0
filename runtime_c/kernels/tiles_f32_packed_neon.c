/* SPDX-License-Identifier: Apache-2.0 */
/* Floats, as in tiles_f32_neon.c, with windows of a single run that are packed first: [k / 4][pixels][4], then the up to
 * three terms behind them of each pixel. An instruction loads four vectors of inputs, or of weights. Cores that execute in
 * order write results back in order, too, so a load waits for the products before it, less where it takes long itself:
 * loads come in a few groups, those of single vectors together with what ends a turn of the loop. */
#include "tiles_arm.h"

#if ERT_HAS_neon && ERT_NEON_ORDERED

enum { PIXELS = 8, FEWEST = 4, CHANNELS = 8, TURN = 8 /* terms */ };

typedef struct {
  float32x4_t low[PIXELS], high[PIXELS]; /* channels 0-3 and 4-7 */
} sums;

/* Registers: 0-7 have four terms of each pixel, 8-15 the weights of four terms, 16-31 the sums. */
#define FMLA(sum, w, x, lane) "fmla v" #sum ".4s, v" #w ".4s, v" #x ".s[" #lane "]\n"
#define PIXEL(x, low, high, w0, w1, lane) FMLA(low, w0, x, lane) FMLA(high, w1, x, lane)
#define FIRST(...)              \
  PIXEL(0, 16, 17, __VA_ARGS__) \
  PIXEL(1, 18, 19, __VA_ARGS__) PIXEL(2, 20, 21, __VA_ARGS__) PIXEL(3, 22, 23, __VA_ARGS__)
#define REST_4(...)
#define REST_5(...) PIXEL(4, 24, 25, __VA_ARGS__)
#define REST_6(...) REST_5(__VA_ARGS__) PIXEL(5, 26, 27, __VA_ARGS__)
#define REST_7(...) REST_6(__VA_ARGS__) PIXEL(6, 28, 29, __VA_ARGS__)
#define REST_8(...) REST_7(__VA_ARGS__) PIXEL(7, 30, 31, __VA_ARGS__)
#define TERM(n, ...) FIRST(__VA_ARGS__) REST_##n(__VA_ARGS__)

#define LOAD_FOUR(first, last, from) "ld1 {v" #first ".4s-v" #last ".4s}, [%[" #from "]]\n"
#define LOAD_REST_4(from)
#define LOAD_REST_5(from) "ld1 {v4.4s}, [%[" #from "]]\n"
#define LOAD_REST_6(from) "ld1 {v4.4s, v5.4s}, [%[" #from "]]\n"
#define LOAD_REST_7(from) "ld1 {v4.4s, v5.4s, v6.4s}, [%[" #from "]]\n"
#define LOAD_REST_8(from) LOAD_FOUR(4, 7, from)
/* Where loops end, vectors come one by one: the other pixels, `at` bytes behind, and the weights of two terms. */
#define LOAD(to, from, at) "ldr q" #to ", [%[" #from "], #(" #at ")]\n"
#define NEXT_4(at)
#define NEXT_5(at) LOAD(4, x, at)
#define NEXT_6(at) NEXT_5(at) LOAD(5, x, at + 16)
#define NEXT_7(at) NEXT_6(at) LOAD(6, x, at + 32)
#define NEXT_8(at) NEXT_7(at) LOAD(7, x, at + 48)
#define ADD(to, n) "add %[" #to "], %[" #to "], #(" #n ")\n"

/* Eight terms whose first four have their inputs and weights in registers, and, where `more` says so, those that follow. */
#define LAST_FOUR(n) TERM(n, 8, 9, 0) LOAD_FOUR(12, 15, w4) TERM(n, 10, 11, 1) TERM(n, 12, 13, 2) TERM(n, 14, 15, 3)
#define FIRST_FOUR(n) \
  TERM(n, 8, 9, 0)    \
  TERM(n, 10, 11, 1)  \
  LOAD_FOUR(8, 11, w2) TERM(n, 12, 13, 2) FIRST(14, 15, 3) LOAD_FOUR(0, 3, x1) REST_##n(14, 15, 3) LOAD_REST_##n(x2)
#define LAST_FOUR_OF_MANY(n) \
  TERM(n, 8, 9, 0)           \
  LOAD_FOUR(12, 15, w4)      \
  TERM(n, 10, 11, 1) LOAD_FOUR(8, 11, w6) TERM(n, 12, 13, 2) FIRST(14, 15, 3) LOAD_FOUR(0, 3, x3) REST_##n(14, 15, 3)
#define NEXT(n)                                                                                                \
  NEXT_##n(32 * n + 64) ADD(x1, 32 * n) LOAD(12, w, 320) ADD(x2, 32 * n) LOAD(13, w, 336) ADD(x3, 32 * n)      \
      LOAD(14, w, 352) "subs %[turns], %[turns], #1\n" ADD(w2, 256) LOAD(15, w, 368) ADD(w4, 256) ADD(w6, 256) \
          ADD(x, 32 * n) ADD(w, 256)

/* Sums begin with the biases; those of pixels beyond the n-th hold nothing. */
#define BEGIN(low, high) "mov v" #low ".16b, v16.16b\nmov v" #high ".16b, v17.16b\n"
#define STORE(a, b, at) "stp q" #a ", q" #b ", [%[s], #" #at "]\n"

/* 8 * (turns + 1) terms of n pixels. */
#define MULTIPLY(n)                                                                                                    \
  static void multiply##n(sums *s, const float *x, const float *w, const float *bias, ptrdiff_t turns) {               \
    const float *w2 = w + 32, *w4 = w + 48, *w6 = w + 64, *x1 = x + 4 * n, *x2 = x + 4 * n + 16, *x3 = x + 8 * n;      \
    __asm__ volatile("ldp q16, q17, [%[bias]]\n" BEGIN(18, 19) BEGIN(20, 21) BEGIN(22, 23) BEGIN(24, 25) BEGIN(26, 27) \
                         BEGIN(28, 29) BEGIN(30, 31) LOAD_FOUR(0, 3, x) LOAD_FOUR(8, 11, w) NEXT_##n(64)               \
                             LOAD(12, w, 64) LOAD(13, w, 80) LOAD(14, w, 96)                                           \
                                 LOAD(15, w, 112) "cbz %[turns], 2f\n1:\n" FIRST_FOUR(n) LAST_FOUR_OF_MANY(n)          \
                                     NEXT(n) "b.ne 1b\n2:\n" FIRST_FOUR(n) LAST_FOUR(n) STORE(16, 18, 0)               \
                                         STORE(20, 22, 32) STORE(24, 26, 64) STORE(28, 30, 96) STORE(17, 19, 128)      \
                                             STORE(21, 23, 160) STORE(25, 27, 192) STORE(29, 31, 224)                  \
                     : [x] "+r"(x), [w] "+r"(w), [turns] "+r"(turns), [w2] "+r"(w2), [w4] "+r"(w4), [w6] "+r"(w6),     \
                       [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3)                                                     \
                     : [s] "r"(s), [bias] "r"(bias)                                                                    \
                     : "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11",       \
                       "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24",      \
                       "v25", "v26", "v27", "v28", "v29", "v30", "v31");                                               \
  }
#if defined(__clang__) /* 4095 characters are the least that C99 asks for; compilers of this file take any number */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Woverlength-strings"
#endif
MULTIPLY(4)
MULTIPLY(5)
MULTIPLY(6)
MULTIPLY(7)
MULTIPLY(8)
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

typedef void multiply_fn(sums *s, const float *x, const float *w, const float *bias, ptrdiff_t turns);

/* Terms that pixels have in the block of term k: four, or what is left. */
ERT_INLINE int32_t block_of(int32_t k, int32_t run) { return run - k / 4 * 4 < 4 ? run % 4 : 4; }

/* Term k of every pixel. */
ERT_INLINE void add_term(sums *s, const ert_tile_args *t, int32_t k, const int pixels) {
  const int32_t block = block_of(k, t->run);
  const float *x = (const float *)t->in[0] + (ptrdiff_t)(k / 4) * 4 * pixels + k % 4;
  const float *w = (const float *)t->weights + (ptrdiff_t)k * CHANNELS;
  const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4);
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++, x += block) {
    s->low[i] = vfmaq_n_f32(s->low[i], w0, *x);
    s->high[i] = vfmaq_n_f32(s->high[i], w1, *x);
  }
}

ERT_INLINE void tile(const ert_tile_args *t, multiply_fn *multiply, const int pixels) {
  const int32_t turns = t->run / TURN;
  const float *bias = t->scales;
  sums s;
  if (turns > 0) {
    multiply(&s, t->in[0], t->weights, bias, turns - 1);
  } else {
    ERT_UNROLLED
    for (int i = 0; i < pixels; i++) s.low[i] = vld1q_f32(bias), s.high[i] = vld1q_f32(bias + 4);
  }
  for (int32_t k = turns * TURN; k < t->run; k++) add_term(&s, t, k, pixels);
  ert_neon_store_floats(t, s.low, s.high, pixels);
}

/* Few pixels are packed one behind the other. */
ERT_INLINE void few(const ert_tile_args *t, const int pixels) {
  const void *in[FEWEST];
  ert_tile_args a = *t;
  for (int i = 0; i < pixels; i++) in[i] = (const float *)t->in[0] + (ptrdiff_t)i * t->run;
  a.in = in, a.stride = pixels;
  ert_tiling_f32_neon.by_pixels[pixels - 1](&a);
}

#define FEW(n) \
  static void f32_packed_neon##n(const ert_tile_args *t) { few(t, n); }
#define TILE(n)                                                                \
  static void f32_packed_neon##n(const ert_tile_args *t) {                     \
    if (t->channels == CHANNELS) tile(t, multiply##n, n);                      \
    else ert_tile_some(t, f32_packed_neon##n, &ert_tiling_f32_packed_neon, n); \
  }
FEW(1)
FEW(2)
FEW(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
static ert_tile_fn *const by_pixels[] = {f32_packed_neon1, f32_packed_neon2, f32_packed_neon3, f32_packed_neon4,
                                         f32_packed_neon5, f32_packed_neon6, f32_packed_neon7, f32_packed_neon8};

/* Whole blocks of a pixel: vectors of four terms, `step` floats apart. */
static void pack_blocks(float *to, const float *from, int32_t whole, ptrdiff_t step) {
  int32_t k = 0;
  for (; k < whole - 15; k += 16, to += 4 * step) {
    const float32x4_t a = vld1q_f32(from + k), b = vld1q_f32(from + k + 4), c = vld1q_f32(from + k + 8);
    vst1q_f32(to, a);
    vst1q_f32(to + step, b);
    vst1q_f32(to + 2 * step, c);
    vst1q_f32(to + 3 * step, vld1q_f32(from + k + 12));
  }
  for (; k < whole; k += 4, to += step) vst1q_f32(to, vld1q_f32(from + k));
}

static void pack(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run) {
  const int32_t rest = pixels < FEWEST ? run : run % 4, whole = run - rest;
  float *y = to, *behind = y + (ptrdiff_t)whole * pixels;
  (void)stride, (void)runs; /* a single one */
  for (int32_t i = 0; i < pixels; i++, behind += rest) {
    const float *from = in[i];
    pack_blocks(y + (ptrdiff_t)4 * i, from, whole, (ptrdiff_t)4 * pixels);
    if (rest > 0) ERT_MEMMOVE(behind, from + whole, 4 * rest);
  }
}

const ert_tiling ert_tiling_f32_packed_neon = {by_pixels, PIXELS, {CHANNELS, 1, 4, 32, ERT_SCALES_F32}, pack, 4, 0, 0};

#endif
