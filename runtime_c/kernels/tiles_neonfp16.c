/* SPDX-License-Identifier: Apache-2.0 */
/* Floats with float16 weights, multiplied as float16: 8 pixels x 16 channels, 16 vectors of sums; for eight terms of K 16
 * vectors of weights, one of each pixel and 128 products of eight channels. Inputs are rounded as they are packed,
 * [k / 8][pixels][8]. Sums of CHUNK terms are float16 ones; those are added up as floats, beginning with the bias.
 *
 * The error: with u = 2^-11 an input, a product with its sum, and a sum of float16 each are within u of what they round,
 * so that an output is within (CHUNK + 1) * u of the sum of its products' magnitudes; of random ones it is about
 * 2e-4 * sqrt(CHUNK / 2) of the output, 1.1e-3. What exceeds 65504 on the way is an infinity. */
#include "tiles_arm.h"

#if ERT_HAS_neonfp16 && ERT_HAS_neon

ERT_BEGIN_neonfp16

enum { HALF_PIXELS = 8, HALF_CHANNELS = 16, HALF_TERMS = 8, CHUNK = 64 };

typedef struct {
  float16x8_t low[HALF_PIXELS], high[HALF_PIXELS]; /* channels 0-7 and 8-15 */
} halves;

typedef struct {
  float32x4_t of[HALF_PIXELS][4]; /* channels 0-3, 4-7, 8-11 and 12-15 */
} sums;

/* A term of every pixel; `wide`: of more than eight channels. */
#define MULTIPLY(term)                                                    \
  do {                                                                    \
    const float16x8_t w0 = vld1q_f16(w + HALF_CHANNELS * (term));         \
    const float16x8_t w1 = vld1q_f16(w + HALF_CHANNELS * (term) + 8);     \
    ERT_UNROLLED                                                          \
    for (int i = 0; i < pixels; i++) {                                    \
      s->low[i] = vfmaq_laneq_f16(s->low[i], w0, x[i], term);             \
      if (wide) s->high[i] = vfmaq_laneq_f16(s->high[i], w1, x[i], term); \
    }                                                                     \
  } while (0)

ERT_INLINE void add_eight(halves *s, const float16_t *from, const float16_t *w, const int pixels, const int wide) {
  float16x8_t x[HALF_PIXELS];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) x[i] = vld1q_f16(from + 8 * i);
  MULTIPLY(0);
  MULTIPLY(1);
  MULTIPLY(2);
  MULTIPLY(3);
  MULTIPLY(4);
  MULTIPLY(5);
  MULTIPLY(6);
  MULTIPLY(7);
}

ERT_INLINE void add_floats(float32x4_t *sum, float16x8_t s) {
  sum[0] = vaddq_f32(sum[0], vcvt_f32_f16(vget_low_f16(s)));
  sum[1] = vaddq_f32(sum[1], vcvt_high_f32_f16(s));
}

/* n terms, at least one and at most CHUNK. */
ERT_INLINE void add_chunk(sums *total, const float16_t *x, const float16_t *w, int32_t n, const int pixels,
                          const int wide) {
  halves s;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s.low[i] = s.high[i] = vdupq_n_f16(0);
  for (const float16_t *end = x + (ptrdiff_t)n * pixels; x < end; x += HALF_TERMS * pixels)
    add_eight(&s, x, w, pixels, wide), w += HALF_TERMS * HALF_CHANNELS;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    add_floats(total->of[i], s.low[i]);
    if (wide) add_floats(total->of[i] + 2, s.high[i]);
  }
}

/* The same of a whole tile, instruction by instruction: compilers need more of them for addresses, and cores that execute
 * in order wait less for loads of four vectors. Registers: 0-7 have eight terms of each pixel, 8-15 the weights of four
 * terms, 16-31 the sums. */
#define FMLA(sum, w, x, lane) "fmla v" #sum ".8h, v" #w ".8h, v" #x ".h[" #lane "]\n"
#define PIXEL(x, low, high, w0, w1, lane) FMLA(low, w0, x, lane) FMLA(high, w1, x, lane)
#define FIRST(...)              \
  PIXEL(0, 16, 17, __VA_ARGS__) \
  PIXEL(1, 18, 19, __VA_ARGS__) PIXEL(2, 20, 21, __VA_ARGS__) PIXEL(3, 22, 23, __VA_ARGS__)
#define REST(...)               \
  PIXEL(4, 24, 25, __VA_ARGS__) \
  PIXEL(5, 26, 27, __VA_ARGS__) PIXEL(6, 28, 29, __VA_ARGS__) PIXEL(7, 30, 31, __VA_ARGS__)
#define TERM(...) FIRST(__VA_ARGS__) REST(__VA_ARGS__)
#define LOAD(first, last, from) "ld1 {v" #first ".8h-v" #last ".8h}, [%[" #from "]], #64\n"
#define SIX_TERMS \
  TERM(8, 9, 0)   \
  TERM(10, 11, 1) LOAD(8, 11, w) TERM(12, 13, 2) TERM(14, 15, 3) LOAD(12, 15, w) TERM(8, 9, 4) TERM(10, 11, 5)
#define ADD_FLOATS(sum, at, a, b, c, d)                                                                                \
  "ldp q" #a ", q" #b ", [%[s], #" #at "]\nfcvtl v" #c ".4s, v" #sum ".4h\nfcvtl2 v" #d ".4s, v" #sum ".8h\nfadd v" #a \
  ".4s, v" #a ".4s, v" #c ".4s\nfadd v" #b ".4s, v" #b ".4s, v" #d ".4s\nstp q" #a ", q" #b ", [%[s], #" #at "]\n"
#define ADD_PIXELS(low0, high0, low1, high1, at0, at1, at2, at3) \
  ADD_FLOATS(low0, at0, 0, 1, 2, 3)                              \
  ADD_FLOATS(high0, at1, 4, 5, 6, 7) ADD_FLOATS(low1, at2, 8, 9, 10, 11) ADD_FLOATS(high1, at3, 12, 13, 14, 15)
#define ZERO(a, b, c, d) "movi v" #a ".4s, #0\nmovi v" #b ".4s, #0\nmovi v" #c ".4s, #0\nmovi v" #d ".4s, #0\n"

#if defined(__clang__) /* 4095 characters are the least that C99 asks for; compilers of this file take any number */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Woverlength-strings"
#endif

/* 8 * (turns + 1) terms. */
static void add_whole_chunk(sums *s, const float16_t *x, const float16_t *w, ptrdiff_t turns) {
  __asm__ volatile(
      ZERO(16, 17, 18, 19) ZERO(20, 21, 22, 23) ZERO(24, 25, 26, 27) ZERO(28, 29, 30, 31) LOAD(0, 3, x) LOAD(4, 7, x)
          LOAD(8, 11, w) LOAD(12, 15, w) "cbz %[turns], 2f\n1:\n" SIX_TERMS LOAD(8, 11, w) TERM(12, 13, 6)
              FIRST(14, 15, 7) LOAD(0, 3, x) REST(14, 15, 7) LOAD(4, 7, x)
                  LOAD(12, 15, w) "subs %[turns], %[turns], #1\nb.ne 1b\n2:\n" SIX_TERMS TERM(12, 13, 6) TERM(14, 15, 7)
                      ADD_PIXELS(16, 17, 18, 19, 0, 32, 64, 96) ADD_PIXELS(20, 21, 22, 23, 128, 160, 192, 224)
                          ADD_PIXELS(24, 25, 26, 27, 256, 288, 320, 352) ADD_PIXELS(28, 29, 30, 31, 384, 416, 448, 480)
      : [x] "+r"(x), [w] "+r"(w), [turns] "+r"(turns)
      : [s] "r"(s)
      : "memory", "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14",
        "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
        "v31");
}

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

ERT_INLINE void store(const ert_tile_args *t, const sums *s, const int pixels, const int vectors) {
  const float32x4_t least = vdupq_n_f32(t->low), most = vdupq_n_f32(t->high);
  void *const *const out = t->out;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) {
    float *to = out[i];
    ERT_UNROLLED
    for (int o = 0; o < vectors; o++) vst1q_f32(to + 4 * o, vmaxq_f32(vminq_f32(s->of[i][o], most), least));
  }
}

/* `vectors` of outputs: four, or two where there are no more than eight channels. */
ERT_INLINE void tile(const ert_tile_args *t, const int pixels, const int vectors) {
  const float16_t *x = t->in[0], *w = t->weights;
  const float *bias = t->scales;
  sums s;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) ERT_UNROLLED
  for (int o = 0; o < vectors; o++) s.of[i][o] = vld1q_f32(bias + 4 * o);
  for (int32_t k = 0; k < t->run; k += CHUNK) {
    const int32_t n = t->run - k < CHUNK ? t->run - k : CHUNK;
    if (pixels == HALF_PIXELS && vectors == 4) add_whole_chunk(&s, x, w, n / HALF_TERMS - 1);
    else add_chunk(&s, x, w, n, pixels, vectors == 4);
    x += CHUNK * pixels, w += CHUNK * HALF_CHANNELS;
  }
  store(t, &s, pixels, vectors);
}

#define TILE(n)                                                                \
  static void f32f16_neonfp16##n(const ert_tile_args *t) {                     \
    if (t->channels == HALF_CHANNELS) tile(t, n, 4);                           \
    else if (t->channels == HALF_CHANNELS / 2) tile(t, n, 2);                  \
    else ert_tile_some(t, f32f16_neonfp16##n, &ert_tiling_f32f16_neonfp16, n); \
  }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

ERT_INLINE void put_eight(float16_t *to, const float *from) {
  const float16x4_t low = vcvt_f16_f32(vld1q_f32(from));
  vst1q_f16(to, vcvt_high_f16_f32(low, vld1q_f32(from + 4)));
}

/* A run of a pixel: eight terms of it every `step` halves. */
static void pack_run(float16_t *to, const float *from, int32_t run, ptrdiff_t step) {
  int32_t k = 0;
  for (; k < run - 3 * HALF_TERMS; k += 4 * HALF_TERMS, from += 4 * HALF_TERMS, to += 4 * step) {
    put_eight(to, from);
    put_eight(to + step, from + HALF_TERMS);
    put_eight(to + 2 * step, from + 2 * HALF_TERMS);
    put_eight(to + 3 * step, from + 3 * HALF_TERMS);
  }
  for (; k < run; k += HALF_TERMS, from += HALF_TERMS, to += step) put_eight(to, from);
}

static void pack(void *to, const void *const *in, int32_t stride, int32_t pixels, int32_t runs, int32_t run) {
  float16_t *y = to;
  for (int32_t r = 0; r < runs; r++, in += stride, y += (ptrdiff_t)run * pixels)
    for (int32_t i = 0; i < pixels; i++)
      pack_run(y + (ptrdiff_t)HALF_TERMS * i, in[i], run, (ptrdiff_t)HALF_TERMS * pixels);
}

ERT_END_neonfp16

static ert_tile_fn *const by_pixels[] = {f32f16_neonfp161, f32f16_neonfp162, f32f16_neonfp163, f32f16_neonfp164,
                                         f32f16_neonfp165, f32f16_neonfp166, f32f16_neonfp167, f32f16_neonfp168};
const ert_tiling ert_tiling_f32f16_neonfp16 = {
    by_pixels, HALF_PIXELS, {HALF_CHANNELS, HALF_TERMS, 4, 16, ERT_SCALES_F32}, pack, 2, 0, 0};

#endif
