/* SPDX-License-Identifier: Apache-2.0 */
/* Depthwise int8, windows of up to 4 x 3: 16 channels of a column of the image are brought together row by row, four
 * bytes for each channel, and multiplied by the weights of all pixels that the column belongs to: twelve dot products a
 * pixel, eight instructions that interleave. Weights stay in registers along a row. */
#include "columns.h"
#include "tiles_arm.h"

#if ERT_HAS_neondot && ERT_HAS_neon

ERT_BEGIN_neondot

enum { DOT_COLUMN = 16, DOT_FOURS = 4, DOT_WIDTH = 3, DOT_HEIGHT = 4 };

typedef struct {
  int32x4_t of[DOT_FOURS]; /* channels 0-3, 4-7, ... */
} sums;

typedef struct {
  int8x16_t of[DOT_FOURS];
} fours;

/* What the pixels of a row have in common. Rows that a window does not have are those of the first one: their weights
 * are 0. */
typedef struct {
  fours w[DOT_WIDTH];
  sums multiplier, left;               /* left: right shifts below zero */
  const void *const *rows[DOT_HEIGHT]; /* the next column of each */
  ptrdiff_t offset, step;
  const int32_t *bias;
  int32_t channels; /* fewer than DOT_COLUMN in the last panel of some layers */
  int16x8_t zero_point;
  int8x16_t min, max;
} panel;

ERT_INLINE int8x16_t load(const int8_t *p, int32_t n, const int whole) {
  if (whole) return vld1q_s8(p);
  if (n == 8) return vcombine_s8(vld1_s8(p), vdup_n_s8(0));
  int8_t all[DOT_COLUMN] = {0};
  for (int32_t o = 0; o < n; o++) all[o] = p[o];
  return vld1q_s8(all);
}

/* The rows of the next column, one byte of each behind each other for every channel. */
ERT_INLINE fours column(panel *p, const int whole) {
  int8x16_t row[DOT_HEIGHT];
  ERT_UNROLLED
  for (int y = 0; y < DOT_HEIGHT; y++) row[y] = load((const int8_t *)*p->rows[y]++ + p->offset, p->channels, whole);
  const int8x16x2_t even = vzipq_s8(row[0], row[2]), odd = vzipq_s8(row[1], row[3]);
  fours c;
  ERT_UNROLLED
  for (int i = 0; i < 2; i++) {
    const int8x16x2_t both = vzipq_s8(even.val[i], odd.val[i]);
    c.of[2 * i] = both.val[0], c.of[2 * i + 1] = both.val[1];
  }
  return c;
}

ERT_INLINE void add(sums *s, const fours *w, const fours *c) {
  ERT_UNROLLED
  for (int o = 0; o < DOT_FOURS; o++) s->of[o] = vdotq_s32(s->of[o], w->of[o], c->of[o]);
}

ERT_INLINE sums begin(const panel *p, const fours *c) {
  sums s;
  ERT_UNROLLED
  for (int o = 0; o < DOT_FOURS; o++) s.of[o] = vld1q_s32(p->bias + 4 * o);
  add(&s, &p->w[0], c);
  return s;
}

ERT_INLINE void store(const panel *p, const sums *s, uint8_t *out, const int whole) {
  int16x4_t y[DOT_FOURS];
  ERT_UNROLLED
  for (int o = 0; o < DOT_FOURS; o++) y[o] = vqmovn_s32(ert_neon_rescale(s->of[o], p->multiplier.of[o], p->left.of[o]));
  const int8x8_t low = vqmovn_s16(vqaddq_s16(vcombine_s16(y[0], y[1]), p->zero_point));
  const int8x8_t high = vqmovn_s16(vqaddq_s16(vcombine_s16(y[2], y[3]), p->zero_point));
  const int8x16_t all = vmaxq_s8(vminq_s8(vcombine_s8(low, high), p->max), p->min);
  if (whole) {
    vst1q_s8((int8_t *)out, all);
    return;
  }
  int8_t some[DOT_COLUMN];
  vst1q_s8(some, all);
  ERT_MEMMOVE(out, some, p->channels);
}

/* Neighbouring windows overlap by all columns but one: each column adds to three sums, which take turns. */
ERT_INLINE void row_by_one(panel *p, uint8_t *out, int32_t pixels, const int whole) {
  fours c = column(p, whole);
  sums s[DOT_WIDTH];
  s[0] = begin(p, &c);
  c = column(p, whole);
  add(&s[0], &p->w[1], &c);
  s[1] = begin(p, &c);
  for (;;) {
    ERT_UNROLLED
    for (int i = 0; i < DOT_WIDTH; i++) {
      c = column(p, whole);
      add(&s[i], &p->w[2], &c);
      store(p, &s[i], out, whole);
      if (--pixels == 0) return;
      out += p->step;
      add(&s[(i + 1) % DOT_WIDTH], &p->w[1], &c);
      s[(i + 2) % DOT_WIDTH] = begin(p, &c);
    }
  }
}

/* Neighbouring windows share one column. */
ERT_INLINE void row_by_two(panel *p, uint8_t *out, int32_t pixels, const int whole) {
  fours c = column(p, whole);
  for (;; out += p->step) {
    sums s = begin(p, &c);
    c = column(p, whole);
    add(&s, &p->w[1], &c);
    c = column(p, whole);
    add(&s, &p->w[2], &c);
    store(p, &s, out, whole);
    if (--pixels == 0) return;
  }
}

ERT_INLINE void row(const ert_columns_args *t, const int whole) {
  const int8_t *w = t->weights;
  const int32_t *scales = t->scales;
  panel p = {.offset = t->offset, .step = t->step, .bias = scales, .channels = t->channels};
  p.zero_point = vdupq_n_s16((int16_t)t->zero_point);
  p.min = vdupq_n_s8((int8_t)t->min), p.max = vdupq_n_s8((int8_t)t->max);
  ERT_UNROLLED
  for (int o = 0; o < DOT_FOURS; o++) {
    p.multiplier.of[o] = vld1q_s32(scales + DOT_COLUMN + 4 * o);
    p.left.of[o] = vnegq_s32(vld1q_s32(scales + 2 * DOT_COLUMN + 4 * o));
    ERT_UNROLLED
    for (int x = 0; x < DOT_WIDTH; x++) p.w[x].of[o] = vld1q_s8(w + 16 * (DOT_FOURS * x + o));
  }
  ERT_UNROLLED
  for (int y = 0; y < DOT_HEIGHT; y++) p.rows[y] = t->in + (y < t->kernel_h ? y : 0) * t->columns;
  if (t->stride == 1) row_by_one(&p, t->out, t->pixels, whole);
  else row_by_two(&p, t->out, t->pixels, whole);
}

static void run(const ert_columns_args *t) {
  if (t->channels == DOT_COLUMN) row(t, 1);
  else row(t, 0);
}

ERT_END_neondot

const ert_columns_kernel ert_columns_s8_neondot = {run, DOT_COLUMN, DOT_HEIGHT, 1};

#endif
