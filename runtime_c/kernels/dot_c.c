/* SPDX-License-Identifier: Apache-2.0 */
#include "dot.h"

#if ERT_THUMB1_ASM

#define UNUSED __attribute__((unused))

/* r0 and the rows r1, r4, r5, r6 point behind their ends, r2 counts from -n up: 13 instructions, 1.5 of loop. */
#define TAP                                          \
  "ldrsb r3, [r0, r2]\n"                             \
  "ldrsb r7, [r1, r2]\n muls r7, r3\n add r8, r7\n"  \
  "ldrsb r7, [r4, r2]\n muls r7, r3\n add r9, r7\n"  \
  "ldrsb r7, [r5, r2]\n muls r7, r3\n add r10, r7\n" \
  "ldrsb r7, [r6, r2]\n muls r7, r3\n add r11, r7\n" \
  "adds r2, #1\n"

__attribute__((naked)) void ert_dot4_s8(UNUSED const int8_t *x, UNUSED const int8_t *w, UNUSED int32_t n,
                                        UNUSED uint32_t *acc) {
  __asm__(
      ".syntax unified\n"
      "push {r3-r7, lr}\n"
      "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
      "push {r4-r7}\n"
      "adds r0, r0, r2\n adds r1, r1, r2\n adds r4, r1, r2\n adds r5, r4, r2\n adds r6, r5, r2\n"
      "movs r3, #0\n mov r8, r3\n mov r9, r3\n mov r10, r3\n mov r11, r3\n"
      "lsls r7, r2, #31\n rsbs r2, r2, #0\n beq 3f\n cmp r7, #0\n bne 2f\n"
      "1:\n" TAP "2:\n" TAP
      "bne 1b\n"
      "3:\n"
      "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
      "ldr r3, [sp, #16]\n stmia r3!, {r4-r7}\n"
      "pop {r4-r7}\n"
      "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
      "pop {r3-r7, pc}\n");
}

#endif

void ert_pixel_s8(const ert_scales *s, const int8_t *x, const int8_t *w, int32_t n, int32_t n_out, int8_t *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    uint32_t acc[4];
    ert_dot4_s8(x, w, n, acc);
    for (int32_t j = 0; j < 4; j++) out[o + j] = ert_finish_s8(s, o + j, acc[j]);
  }
  for (; o < n_out; o++, w += n) out[o] = ert_finish_s8(s, o, ert_dot_s8(x, w, n));
}

static float clamp_f32(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

void ert_pixel_f32(const float *x, const float *w, const float *bias, int32_t n, int32_t n_out, float min, float max,
                   float *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    const float *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
    float a0 = bias[o], a1 = bias[o + 1], a2 = bias[o + 2], a3 = bias[o + 3];
    for (int32_t k = 0; k < n; k++) {
      const float v = x[k];
      a0 += v * w[k], a1 += v * w1[k], a2 += v * w2[k], a3 += v * w3[k];
    }
    out[o] = clamp_f32(a0, min, max), out[o + 1] = clamp_f32(a1, min, max);
    out[o + 2] = clamp_f32(a2, min, max), out[o + 3] = clamp_f32(a3, min, max);
  }
  for (; o < n_out; o++, w += n) {
    float acc = bias[o];
    for (int32_t k = 0; k < n; k++) acc += x[k] * w[k];
    out[o] = clamp_f32(acc, min, max);
  }
}

enum { BLOCK = 256 }; /* products of int16 and int8 whose sum stays within int32 */

static int64_t dot_s16s8(const int16_t *restrict x, const int8_t *restrict w, int32_t n) {
  int64_t acc = 0;
  for (int32_t k = 0; k < n;) {
    const int32_t end = n - k < BLOCK ? n : k + BLOCK;
    int32_t part = 0;
    for (; k < end; k++) part += x[k] * w[k];
    acc += part;
  }
  return acc;
}

static void dot4_s16s8(const int16_t *restrict x, const int8_t *restrict w, int32_t n, int64_t *restrict acc) {
  const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
  for (int32_t j = 0; j < 4; j++) acc[j] = 0;
  for (int32_t k = 0; k < n;) {
    const int32_t end = n - k < BLOCK ? n : k + BLOCK;
    int32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (; k < end; k++) {
      const int32_t v = x[k];
      a0 += v * w[k], a1 += v * w1[k], a2 += v * w2[k], a3 += v * w3[k];
    }
    acc[0] += a0, acc[1] += a1, acc[2] += a2, acc[3] += a3;
  }
}

void ert_pixel_s16s8(const ert_scales_s16 *s, const int16_t *x, const int8_t *w, int32_t n, int32_t n_out,
                     int16_t *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    int64_t acc[4];
    dot4_s16s8(x, w, n, acc);
    for (int32_t j = 0; j < 4; j++) out[o + j] = ert_finish_s16(s, o + j, acc[j]);
  }
  for (; o < n_out; o++, w += n) out[o] = ert_finish_s16(s, o, dot_s16s8(x, w, n));
}

static float finish_f32(const ert_float_finish *f, int32_t o, float acc) {
  const float scaled = f->scale ? f->scale[o * f->step] * acc : acc;
  return clamp_f32(f->bias[o] + scaled, f->min, f->max);
}

void ert_pixel_f32s8(const ert_float_finish *f, const float *x, const int8_t *w, int32_t n, int32_t n_out, float *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    const int8_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
    float a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (int32_t k = 0; k < n; k++) {
      const float v = x[k];
      a0 += v * (float)w[k], a1 += v * (float)w1[k], a2 += v * (float)w2[k], a3 += v * (float)w3[k];
    }
    out[o] = finish_f32(f, o, a0), out[o + 1] = finish_f32(f, o + 1, a1);
    out[o + 2] = finish_f32(f, o + 2, a2), out[o + 3] = finish_f32(f, o + 3, a3);
  }
  for (; o < n_out; o++, w += n) {
    float acc = 0;
    for (int32_t k = 0; k < n; k++) acc += x[k] * (float)w[k];
    out[o] = finish_f32(f, o, acc);
  }
}

void ert_pixel_f32f16(const ert_float_finish *f, const float *x, const uint16_t *w, int32_t n, int32_t n_out,
                      float *out) {
  int32_t o = 0;
  for (; o + 4 <= n_out; o += 4, w += 4 * n) {
    const uint16_t *w1 = w + n, *w2 = w1 + n, *w3 = w2 + n;
    float a0 = 0, a1 = 0, a2 = 0, a3 = 0;
    for (int32_t k = 0; k < n; k++) {
      const float v = x[k];
      a0 += v * ert_half(w[k]), a1 += v * ert_half(w1[k]), a2 += v * ert_half(w2[k]), a3 += v * ert_half(w3[k]);
    }
    out[o] = finish_f32(f, o, a0), out[o + 1] = finish_f32(f, o + 1, a1);
    out[o + 2] = finish_f32(f, o + 2, a2), out[o + 3] = finish_f32(f, o + 3, a3);
  }
  for (; o < n_out; o++, w += n) {
    float acc = 0;
    for (int32_t k = 0; k < n; k++) acc += x[k] * ert_half(w[k]);
    out[o] = finish_f32(f, o, acc);
  }
}
