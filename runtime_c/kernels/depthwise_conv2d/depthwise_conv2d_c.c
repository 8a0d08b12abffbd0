/* SPDX-License-Identifier: Apache-2.0 */
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "half.h"

/* `size` and `weight_size`: bytes of an item and of a weight. */
static int geometry_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t weights, int32_t size,
                       int32_t weight_size) {
  return ert_conv2d_geometry_ok(s, g, size) && g->out_c % g->in_c == 0 &&
         ert_blob_ok(s, weights, ert_product(ert_product(g->kernel_h, g->kernel_w), g->out_c), weight_size);
}

int ert_depthwise_conv2d_s8s8_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s8_params *p = (const void *)s->params;
  return ert_within(p->in_zero_point, -128, 127) && geometry_ok(s, &p->g, p->weights, 1, 1) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_depthwise_conv2d_s8s8_fours_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s8_fours_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  if (!ert_within(p->in_zero_point, -128, 127) || !ert_conv2d_geometry_ok(s, g, 1)) return 0;
  const int32_t taps = ert_product(g->kernel_h, g->kernel_w);
  return g->in_c == g->out_c && g->in_c >= 4 && taps <= ERT_MAX_CHANNELS &&
         ert_blob_ok(s, p->weights, ert_product((g->out_c + 3) / 4, 4 * (taps / 2) + 18), 4) &&
         ert_within(p->min, -128, 127) && ert_within(p->max, -128, 127);
}

int ert_depthwise_conv2d_s8s8_planes_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s8_planes_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  return ert_within(p->in_zero_point, -128, 127) && ert_conv2d_geometry_ok(s, g, 1) && g->in_c == g->out_c &&
         g->in_c >= 2 && g->kernel_h == 3 && g->kernel_w == 3 && g->stride_h == 1 && g->stride_w == 1 &&
         g->dilation_h == 1 && g->dilation_w == 1 && g->pad_left <= g->out_w + 2 && g->out_w >= 2 &&
         ert_blob_ok(s, p->weights, ert_product(g->out_c, ERT_PLANE_WORDS), 4) && ert_within(p->min, -128, 127) &&
         ert_within(p->max, -128, 127);
}

int ert_depthwise_conv2d_s8s4_fours_check(const ert_step *s) { return ert_depthwise_conv2d_s8s8_fours_check(s); }
int ert_depthwise_conv2d_s8s4_planes_check(const ert_step *s) { return ert_depthwise_conv2d_s8s8_planes_check(s); }
int ert_depthwise_conv2d_s8s8_by_channel_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s8_by_channel_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  return ert_conv2d_geometry_ok(s, g, 1) && g->kernel_h == 3 && g->kernel_w == 3 && g->dilation_h == 1 &&
         g->dilation_w == 1 && g->stride_w <= 2 && g->out_c == g->in_c && ert_within(p->zero_point, -128, 127) &&
         ert_blob_ok(s, p->channels, ert_product(5, g->out_c), 4);
}

int ert_depthwise_conv2d_s8s8_sixteens_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s8_sixteens_params *p = (const void *)s->params;
  return ert_conv2d_geometry_ok(s, &p->g, 1) && ert_sixteens_ok(s, &p->g, p->weights, p->scales, 16);
}

int ert_depthwise_conv2d_s16s8_lanes_check(const ert_step *s) {
  const ert_depthwise_conv2d_s16s8_lanes_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 2, 1) && p->g.in_c == p->g.out_c &&
         ert_four_lanes_ok(s, p->scales.scales, p->g.out_c);
}

int ert_depthwise_conv2d_s16s8_fours_check(const ert_step *s) {
  const ert_depthwise_conv2d_s16s8_fours_params *p = (const void *)s->params;
  const ert_conv2d_geometry *g = &p->g;
  const int32_t taps = ert_product(g->kernel_h, g->kernel_w);
  return ert_conv2d_geometry_ok(s, g, 2) && g->in_c == g->out_c && g->in_c >= 4 && taps <= ERT_MAX_CHANNELS &&
         ert_within(p->wide, 0, 1) && ert_blob_ok(s, p->weights, ert_product((g->out_c + 3) / 4, 2 * taps + 9), 4);
}

int ert_depthwise_conv2d_s8s4_sixteens_check(const ert_step *s) { return ert_depthwise_conv2d_s8s8_sixteens_check(s); }

int ert_depthwise_conv2d_f32_check(const ert_step *s) {
  const ert_depthwise_conv2d_f32_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 4, 4) && ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

/* The taps of one output pixel: those inside the image first, from the front, as the offset of their pixel from
 * the input's base and of their weights, `tap_bytes` for each; those in the padding from the back. */
typedef struct {
  int32_t in, weights;
} tap;

static inline int32_t list_taps(const ert_call *c, const ert_conv2d_geometry *g, int32_t tap_bytes, int32_t y,
                                int32_t x, tap *taps) {
  int32_t n_inside = 0, n_outside = 0, weights = 0;
  const int32_t last = g->kernel_h * g->kernel_w - 1;
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    const int in_rows = iy >= 0 && iy < g->in_h;
    const int32_t row = in_rows ? (int32_t)((const uint8_t *)ert_row(&c->in[0], iy) - c->in[0].base) : 0;
    for (int32_t kx = 0; kx < g->kernel_w; kx++, weights += tap_bytes) {
      const int32_t ix = ix0 + kx * g->dilation_w;
      if (in_rows && ix >= 0 && ix < g->in_w) taps[n_inside++] = (tap){row + ix * g->in_c, weights};
      else taps[last - n_outside++] = (tap){0, weights};
    }
  }
  return n_inside;
}

typedef struct {
  ert_scales scales;
  const int8_t *x, *w;
  const tap *taps;
  int32_t n_inside, n_taps, multiplier, pad;
} pixel;

#if ERT_THUMB1_ASM

#define UNUSED __attribute__((unused))

/* acc: products of the taps up to `end` for four channels, from x and w on. A product is an index, two loads, a
 * multiplication and a sum; the rest of a tap are 8 instructions. */
__attribute__((naked, noinline)) static void sum_taps(UNUSED const tap *t, UNUSED const tap *end,
                                                      UNUSED const int8_t *x, UNUSED const int8_t *w,
                                                      UNUSED uint32_t *acc) {
  __asm__(
      ".syntax unified\n"
      "push {r4-r7, lr}\n"
      "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
      "push {r4-r7}\n"
      "mov r12, r1\n"
      "movs r4, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
      "cmp r0, r12\n beq 2f\n"
      "1: ldmia r0!, {r4, r5}\n adds r4, r4, r2\n adds r5, r5, r3\n"
      "movs r1, #0\n ldrsb r6, [r4, r1]\n ldrsb r7, [r5, r1]\n muls r6, r7\n add r8, r6\n"
      "adds r1, #1\n ldrsb r6, [r4, r1]\n ldrsb r7, [r5, r1]\n muls r6, r7\n add r9, r6\n"
      "adds r1, #1\n ldrsb r6, [r4, r1]\n ldrsb r7, [r5, r1]\n muls r6, r7\n add r10, r6\n"
      "adds r1, #1\n ldrsb r6, [r4, r1]\n ldrsb r7, [r5, r1]\n muls r6, r7\n add r11, r6\n"
      "cmp r0, r12\n bne 1b\n"
      "2: mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
      "ldr r0, [sp, #36]\n stmia r0!, {r4-r7}\n"
      "pop {r4-r7}\n"
      "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
      "pop {r4-r7, pc}\n");
}

#else

static inline void sum_taps(const tap *t, const tap *end, const int8_t *from, const int8_t *weights, uint32_t *acc) {
  uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0;
  for (; t < end; t++) {
    const int8_t *x = from + t->in, *w = weights + t->weights;
    a0 += (uint32_t)(x[0] * w[0]), a1 += (uint32_t)(x[1] * w[1]);
    a2 += (uint32_t)(x[2] * w[2]), a3 += (uint32_t)(x[3] * w[3]);
  }
  acc[0] = a0, acc[1] = a1, acc[2] = a2, acc[3] = a3;
}

#endif

static void four_channels(const pixel *q, int32_t o, int8_t *out) {
  uint32_t acc[4];
  const tap *t = q->taps + q->n_inside;
  sum_taps(q->taps, t, q->x + o, q->w + o, acc);
  for (const tap *end = q->taps + q->n_taps; t < end; t++) {
    const int8_t *w = q->w + t->weights + o;
    acc[0] += (uint32_t)(q->pad * w[0]), acc[1] += (uint32_t)(q->pad * w[1]);
    acc[2] += (uint32_t)(q->pad * w[2]), acc[3] += (uint32_t)(q->pad * w[3]);
  }
  for (int32_t j = 0; j < 4; j++) out[o + j] = ert_finish_s8(&q->scales, o + j, acc[j]);
}

static void one_channel(const pixel *q, int32_t o, int8_t *out) {
  uint32_t acc = 0;
  const int32_t i = q->multiplier == 1 ? o : o / q->multiplier;
  for (int32_t t = 0; t < q->n_inside; t++) acc += (uint32_t)(q->x[q->taps[t].in + i] * q->w[q->taps[t].weights + o]);
  for (int32_t t = q->n_inside; t < q->n_taps; t++) acc += (uint32_t)(q->pad * q->w[q->taps[t].weights + o]);
  out[o] = ert_finish_s8(&q->scales, o, acc);
}

void ert_depthwise_conv2d_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s8s8_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  pixel q = {ert_scales_of(c, &p->rescale),
             (const int8_t *)c->in[0].base,
             ert_blob(c, p->weights),
             c->scratch,
             0,
             g->kernel_h * g->kernel_w,
             g->out_c / g->in_c,
             p->in_zero_point};
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
      int32_t o = 0;
      q.n_inside = list_taps(c, g, g->out_c, y, x, c->scratch);
      if (q.multiplier == 1)
        for (; o + 4 <= g->out_c; o += 4) four_channels(&q, o, out);
      for (; o < g->out_c; o++) one_channel(&q, o, out);
    }
  }
}

static void add_tap(const ert_conv2d_geometry *g, const float *x, const float *w, float *out) {
  const int32_t multiplier = g->out_c / g->in_c;
  if (multiplier == 1) {
    for (int32_t o = 0; o < g->out_c; o++) out[o] += x[o] * w[o];
    return;
  }
  for (int32_t i = 0, o = 0; i < g->in_c; i++)
    for (int32_t m = 0; m < multiplier; m++, o++) out[o] += x[i] * w[o];
}

static void pixel_f32(const ert_call *c, const ert_depthwise_conv2d_f32_params *p, int32_t y, int32_t x, float *out) {
  const ert_conv2d_geometry *g = &p->g;
  const float *w = ert_blob(c, p->weights);
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  ERT_MEMMOVE(out, ert_blob(c, p->bias), 4 * g->out_c);
  for (int32_t ky = 0; ky < g->kernel_h; ky++) {
    const int32_t iy = iy0 + ky * g->dilation_h;
    for (int32_t kx = 0; kx < g->kernel_w; kx++, w += g->out_c) {
      const int32_t ix = ix0 + kx * g->dilation_w;
      if (iy < 0 || iy >= g->in_h || ix < 0 || ix >= g->in_w) continue;
      add_tap(g, (const float *)ert_row(&c->in[0], iy) + ix * g->in_c, w, out);
    }
  }
  for (int32_t o = 0; o < g->out_c; o++) out[o] = out[o] < p->min ? p->min : out[o] > p->max ? p->max : out[o];
}

void ert_depthwise_conv2d_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) pixel_f32(c, p, y, x, out);
  }
}

int ert_depthwise_conv2d_s16s8_check(const ert_step *s) {
  const ert_depthwise_conv2d_s16s8_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 2, 1) && ert_rescale_s16_ok(s, &p->rescale, p->g.out_c);
}

int ert_depthwise_conv2d_f32s8_check(const ert_step *s) {
  const ert_depthwise_conv2d_f32s8_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 4, 1) && ert_blob_ok(s, p->bias, p->g.out_c, 4) &&
         ert_within(p->step, 0, 1) && ert_blob_ok(s, p->scale, p->step ? p->g.out_c : 1, 4);
}

int ert_depthwise_conv2d_f32f16_check(const ert_step *s) {
  const ert_depthwise_conv2d_f32f16_params *p = (const void *)s->params;
  return geometry_ok(s, &p->g, p->weights, 4, 2) && ert_blob_ok(s, p->bias, p->g.out_c, 4);
}

/* The taps of one window along an axis that lie inside the image: [first, end). */
typedef struct {
  int32_t first, end;
} tap_span;

/* Taps k with 0 <= start + k * dilation < extent. */
static tap_span inside_span(int32_t start, int32_t dilation, int32_t kernel, int32_t extent) {
  const int32_t first = start < 0 ? (dilation - 1 - start) / dilation : 0;
  const int32_t end = extent > start ? (extent - start + dilation - 1) / dilation : 0;
  return (tap_span){first, end < kernel ? end : kernel};
}

/* Adds the products of an input pixel and the weights of its tap to the sums of all output channels. */
typedef void add_fn(const ert_conv2d_geometry *g, const void *x, const void *w, void *acc);

/* Calls `add` for each tap of output pixel (y, x) inside the image; items have `size` bytes, the weights of
 * a tap `tap_bytes`. */
static void add_taps(const ert_call *c, const ert_conv2d_geometry *g, const void *weights, int32_t y, int32_t x,
                     int32_t size, int32_t tap_bytes, add_fn *add, void *acc) {
  const int32_t iy0 = y * g->stride_h - g->pad_top, ix0 = x * g->stride_w - g->pad_left;
  const tap_span rows = inside_span(iy0, g->dilation_h, g->kernel_h, g->in_h);
  const tap_span columns = inside_span(ix0, g->dilation_w, g->kernel_w, g->in_w);
  for (int32_t ky = rows.first; ky < rows.end; ky++) {
    const uint8_t *row = ert_row(&c->in[0], iy0 + ky * g->dilation_h);
    const uint8_t *w = (const uint8_t *)weights + ky * g->kernel_w * tap_bytes;
    for (int32_t kx = columns.first; kx < columns.end; kx++)
      add(g, row + (ix0 + kx * g->dilation_w) * g->in_c * size, w + kx * tap_bytes, acc);
  }
}

static void add_s16s8(const ert_conv2d_geometry *g, const void *vx, const void *vw, void *vacc) {
  const int16_t *x = vx;
  const int8_t *w = vw;
  int64_t *acc = vacc;
  const int32_t multiplier = g->out_c / g->in_c;
  for (int32_t i = 0; i < g->in_c; i++)
    for (int32_t m = 0; m < multiplier; m++) *acc++ += x[i] * *w++;
}

static void add_f32s8(const ert_conv2d_geometry *g, const void *vx, const void *vw, void *vacc) {
  const float *x = vx;
  const int8_t *w = vw;
  float *acc = vacc;
  const int32_t multiplier = g->out_c / g->in_c;
  for (int32_t i = 0; i < g->in_c; i++)
    for (int32_t m = 0; m < multiplier; m++) *acc++ += x[i] * (float)*w++;
}

static void add_f32f16(const ert_conv2d_geometry *g, const void *vx, const void *vw, void *vacc) {
  const float *x = vx;
  const uint16_t *w = vw;
  float *acc = vacc;
  const int32_t multiplier = g->out_c / g->in_c;
  for (int32_t i = 0; i < g->in_c; i++)
    for (int32_t m = 0; m < multiplier; m++) *acc++ += x[i] * ert_half(*w++);
}

void ert_depthwise_conv2d_s16s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s16s8_params *p = (const void *)c->params;
  const ert_scales_s16 scales = ert_scales_s16_of(c, &p->rescale);
  int64_t *acc = c->scratch;
  for (int32_t y = y0; y < y1; y++) {
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      ERT_MEMSET(acc, 0, 8 * p->g.out_c);
      add_taps(c, &p->g, ert_blob(c, p->weights), y, x, 2, p->g.out_c, add_s16s8, acc);
      for (int32_t o = 0; o < p->g.out_c; o++) out[o] = ert_finish_s16(&scales, o, acc[o]);
    }
  }
}

static float clamped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

void ert_depthwise_conv2d_f32s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_f32s8_params *p = (const void *)c->params;
  const float *bias = ert_blob(c, p->bias), *scale = ert_blob(c, p->scale);
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      ERT_MEMSET(out, 0, 4 * p->g.out_c);
      add_taps(c, &p->g, ert_blob(c, p->weights), y, x, 4, p->g.out_c, add_f32s8, out);
      for (int32_t o = 0; o < p->g.out_c; o++) out[o] = clamped(bias[o] + scale[o * p->step] * out[o], p->min, p->max);
    }
  }
}

void ert_depthwise_conv2d_f32f16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_f32f16_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      ERT_MEMMOVE(out, ert_blob(c, p->bias), 4 * p->g.out_c);
      add_taps(c, &p->g, ert_blob(c, p->weights), y, x, 4, 2 * p->g.out_c, add_f32f16, out);
      for (int32_t o = 0; o < p->g.out_c; o++) out[o] = clamped(out[o], p->min, p->max);
    }
  }
}

static int geometry_s4_ok(const ert_step *s, const ert_conv2d_geometry *g, int32_t weights, int32_t size) {
  return ert_conv2d_geometry_ok(s, g, size) && g->out_c % g->in_c == 0 &&
         ert_nibbles_ok(s, weights, g->out_c, ert_product(g->kernel_h, g->kernel_w));
}

int ert_depthwise_conv2d_s8s4_check(const ert_step *s) {
  const ert_depthwise_conv2d_s8s4_params *p = (const void *)s->params;
  return ert_within(p->in_zero_point, -128, 127) && geometry_s4_ok(s, &p->g, p->weights, 1) &&
         ert_rescale_ok(s, &p->rescale, p->g.out_c);
}

int ert_depthwise_conv2d_f32s4_check(const ert_step *s) {
  const ert_depthwise_conv2d_f32s4_params *p = (const void *)s->params;
  return geometry_s4_ok(s, &p->g, p->weights, 4) && ert_blob_ok(s, p->bias, p->g.out_c, 4) &&
         ert_within(p->step, 0, 1) && ert_blob_ok(s, p->scale, p->step ? p->g.out_c : 1, 4);
}

/* Channels o and o + 1, the two of a byte; at the end of an odd number only o counts. */
static void two_channels(const pixel *q, int32_t n_out, int32_t o, int8_t *out) {
  const uint8_t *weights = (const uint8_t *)q->w + o / 2;
  const int32_t last = o + 1 < n_out ? o + 1 : o;
  const int8_t *x = q->x + o / q->multiplier, *x1 = q->x + last / q->multiplier;
  uint32_t a0 = 0, a1 = 0;
  for (int32_t t = 0; t < q->n_inside; t++) {
    const tap at = q->taps[t];
    a0 += (uint32_t)(x[at.in] * ert_low4(weights[at.weights]));
    a1 += (uint32_t)(x1[at.in] * ert_high4(weights[at.weights]));
  }
  for (int32_t t = q->n_inside; t < q->n_taps; t++) {
    a0 += (uint32_t)(q->pad * ert_low4(weights[q->taps[t].weights]));
    a1 += (uint32_t)(q->pad * ert_high4(weights[q->taps[t].weights]));
  }
  out[o] = ert_finish_s8(&q->scales, o, a0);
  if (last > o) out[last] = ert_finish_s8(&q->scales, last, a1);
}

void ert_depthwise_conv2d_s8s4_1x2__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_s8s4_params *p = (const void *)c->params;
  const ert_conv2d_geometry *g = &p->g;
  pixel q = {ert_scales_of(c, &p->rescale),
             (const int8_t *)c->in[0].base,
             ert_blob(c, p->weights),
             c->scratch,
             0,
             g->kernel_h * g->kernel_w,
             g->out_c / g->in_c,
             p->in_zero_point};
  for (int32_t y = y0; y < y1; y++) {
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < g->out_w; x++, out += g->out_c) {
      q.n_inside = list_taps(c, g, ert_nibble_bytes(g->out_c), y, x, c->scratch);
      for (int32_t o = 0; o < g->out_c; o += 2) two_channels(&q, g->out_c, o, out);
    }
  }
}

static void add_f32s4(const ert_conv2d_geometry *g, const void *vx, const void *vw, void *vacc) {
  const float *x = vx;
  const uint8_t *w = vw;
  float *acc = vacc;
  const int32_t multiplier = g->out_c / g->in_c;
  for (int32_t i = 0, o = 0; i < g->in_c; i++)
    for (int32_t m = 0; m < multiplier; m++, o++)
      acc[o] += x[i] * (float)(o & 1 ? ert_high4(w[o / 2]) : ert_low4(w[o / 2]));
}

void ert_depthwise_conv2d_f32s4_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_depthwise_conv2d_f32s4_params *p = (const void *)c->params;
  const float *bias = ert_blob(c, p->bias), *scale = ert_blob(c, p->scale);
  for (int32_t y = y0; y < y1; y++) {
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->g.out_w; x++, out += p->g.out_c) {
      ERT_MEMSET(out, 0, 4 * p->g.out_c);
      add_taps(c, &p->g, ert_blob(c, p->weights), y, x, 4, ert_nibble_bytes(p->g.out_c), add_f32s4, out);
      for (int32_t o = 0; o < p->g.out_c; o++) out[o] = clamped(bias[o] + scale[o * p->step] * out[o], p->min, p->max);
    }
  }
}
