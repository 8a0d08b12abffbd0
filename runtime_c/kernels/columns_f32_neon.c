/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise floats: tiles of 4 to 7 neighbouring pixels x 8 channels. A column of the image is loaded once for all pixels
 * that it belongs to; the weights of a row of the window stay in registers. */
#include "columns.h"
#include "tiles_arm.h"

#if ERT_HAS_neon

enum { COLUMNS_CHANNELS = 8, COLUMNS_FEWEST = 4, COLUMNS_WIDTH = 5 };
#if defined(__aarch64__)
enum { COLUMNS_PIXELS = 7 };
#define ADD(sum, w, x) vfmaq_f32(sum, w, x)
#else
enum { COLUMNS_PIXELS = 4 }; /* half as many registers */
#define ADD(sum, w, x) vmlaq_f32(sum, w, x)
#endif

typedef struct {
  float32x4_t low, high; /* channels 0-3 and 4-7 */
} eight;

ERT_INLINE eight load(const float *p) { return (eight){vld1q_f32(p), vld1q_f32(p + 4)}; }

ERT_INLINE const float *at(const ert_columns_args *t, const void *column) {
  return (const float *)(const void *)((const uint8_t *)column + t->offset);
}

ERT_INLINE float32x4_t clamp(const ert_columns_args *t, float32x4_t x) {
  return vmaxq_f32(vminq_f32(x, vdupq_n_f32(t->high)), vdupq_n_f32(t->low));
}

/* Pixels x and on, windows of `width` columns without dilation. */
ERT_INLINE void tile(const ert_columns_args *t, int32_t x, const int pixels, const int width, const int stride) {
  const float *w = t->weights;
  const void *const *in = t->in + (ptrdiff_t)x * stride;
  eight s[COLUMNS_PIXELS], v[COLUMNS_WIDTH];
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++) s[i] = load(t->scales);
  for (int32_t ky = 0; ky < t->kernel_h; ky++, in += t->columns, w += width * COLUMNS_CHANNELS) {
    ERT_UNROLLED
    for (int k = 0; k < width; k++) v[k] = load(w + k * COLUMNS_CHANNELS);
    ERT_UNROLLED
    for (int c = 0; c < (pixels - 1) * stride + width; c++) {
      const eight column = load(at(t, in[c]));
      ERT_UNROLLED
      for (int i = 0; i < pixels; i++) {
        const int k = c - i * stride;
        if (k >= 0 && k < width) {
          s[i].low = ADD(s[i].low, v[k].low, column.low);
          s[i].high = ADD(s[i].high, v[k].high, column.high);
        }
      }
    }
  }
  uint8_t *out = t->out + (ptrdiff_t)x * t->step;
  ERT_UNROLLED
  for (int i = 0; i < pixels; i++, out += t->step) {
    vst1q_f32((float *)(void *)out, clamp(t, s[i].low));
    vst1q_f32((float *)(void *)out + 4, clamp(t, s[i].high));
  }
}

ERT_INLINE void tiles(const ert_columns_args *t, const int width, const int stride) {
  for (int32_t x = 0, n, left = (t->pixels + COLUMNS_PIXELS - 1) / COLUMNS_PIXELS; left > 0; x += n, left--) {
    n = (t->pixels - x + left - 1) / left;
    if (n == 4) tile(t, x, 4, width, stride);
#if defined(__aarch64__)
    else if (n == 5) tile(t, x, 5, width, stride);
    else if (n == 6) tile(t, x, 6, width, stride);
    else tile(t, x, 7, width, stride);
#else
    else
      for (int32_t i = 0; i < n; i++) tile(t, x + i, 1, width, stride);
#endif
  }
}

static void threes(const ert_columns_args *t) { tiles(t, 3, 1); }
static void threes_apart(const ert_columns_args *t) { tiles(t, 3, 2); }
static void fives(const ert_columns_args *t) { tiles(t, 5, 1); }
static void fives_apart(const ert_columns_args *t) { tiles(t, 5, 2); }

/* Channels o to o + n of one pixel of any windows, 1 <= n <= 4. */
static void some(const ert_columns_args *t, int32_t x, int32_t o, int32_t n) {
  const float *w = t->weights, *bias = t->scales;
  float32x4_t sum = vld1q_f32(bias + o);
  float all[4] = {0};
  for (int32_t ky = 0; ky < t->kernel_h; ky++) {
    const void *const *in = t->in + (ptrdiff_t)ky * t->columns + (ptrdiff_t)x * t->stride;
    for (int32_t kx = 0; kx < t->kernel_w; kx++, w += COLUMNS_CHANNELS, in += t->dilation) {
      const float *column = at(t, *in) + o;
      for (int32_t k = 0; n < 4 && k < n; k++) all[k] = column[k];
      sum = ADD(sum, vld1q_f32(w + o), n == 4 ? vld1q_f32(column) : vld1q_f32(all));
    }
  }
  vst1q_f32(all, clamp(t, sum));
  ERT_MEMMOVE(t->out + (ptrdiff_t)x * t->step + 4 * o, all, 4 * n);
}

static void pixels(const ert_columns_args *t) {
  for (int32_t x = 0; x < t->pixels; x++)
    for (int32_t o = 0; o < t->channels; o += 4) some(t, x, o, t->channels - o < 4 ? t->channels - o : 4);
}

static void run(const ert_columns_args *t) {
  const int three = t->kernel_w == 3, whole = t->channels == COLUMNS_CHANNELS && t->pixels >= COLUMNS_FEWEST;
  if (!whole || t->dilation != 1 || t->stride > 2 || (!three && t->kernel_w != 5)) pixels(t);
  else if (t->stride == 1) (three ? threes : fives)(t);
  else (three ? threes_apart : fives_apart)(t);
}

const ert_columns_kernel ert_columns_f32_neon = {run, COLUMNS_CHANNELS, 1, 4};

#endif
