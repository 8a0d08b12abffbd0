/* SPDX-License-Identifier: Apache-2.0 */
#include "unary/unary.h"
#include "exp.h"
#include "requantize.h"

int ert_unary_f32_check(const ert_step *s) {
  const ert_unary_f32_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->kind, ERT_CLIP, ERT_TANH) && ert_view_ok(s->in, p->n, 4) &&
         ert_view_ok(s->out, p->n, 4);
}

static float clip(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

static float apply(const ert_unary_f32_params *p, float x) {
  switch (p->kind) {
    case ERT_CLIP:
      return clip(x, p->low, p->high);
    case ERT_LEAKY_RELU:
      return x > 0 ? x : p->low * x;
    case ERT_HARD_SWISH:
      return x * (clip(x + 3.0f, 0.0f, 6.0f) * (1.0f / 6.0f));
    case ERT_LOGISTIC:
      return ert_logistic(x);
    default:
      return ert_tanh(x);
  }
}

void ert_unary_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_unary_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++) {
    const float *in = ert_row(&c->in[0], y);
    float *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = apply(p, in[k]);
  }
}

int ert_unary_s16_check(const ert_step *s) {
  const ert_unary_s16_params *p = (const void *)s->params;
  const int clips = p->kind == ERT_CLIP;
  if (!clips && p->kind != ERT_LOGISTIC && p->kind != ERT_TANH) return 0;
  /* |x| * multiplier + 2^(shift - 1) stays within int32. */
  const int table_ok =
      ert_within(p->multiplier, 0, 32767) && ert_within(p->shift, 0, 31) && ert_blob_ok(s, p->table, 256, 2);
  return s->n_in == 1 && (clips ? ert_within(p->sign, -1, 1) : table_ok) && ert_view_ok(s->in, p->n, 2) &&
         ert_view_ok(s->out, p->n, 2);
}

static int32_t clip_s16(const ert_unary_s16_params *p, int32_t x) {
  const uint32_t y = x < 0 ? (uint32_t)p->sign * (uint32_t)ert_requantize(x, p->negative_multiplier, p->negative_shift)
                           : (uint32_t)ert_requantize(x, p->multiplier, p->shift);
  return ert_clamp((int32_t)y, p->low, p->high);
}

/* The table at `magnitude` / 2^bits in Q(16 + bits), `limit` from its last item on. */
static int32_t interpolated(const uint16_t *table, int32_t magnitude, int32_t bits, int32_t limit) {
  const int32_t i = magnitude >> bits, rest = magnitude - (i << bits);
  return i >= 255 ? limit : (table[i] << bits) + rest * (table[i + 1] - table[i]);
}

static int32_t sigmoid_s16(const ert_unary_s16_params *p, const uint16_t *table, int32_t x) {
  const int32_t z = (x * p->multiplier + (int32_t)((1u << p->shift) >> 1)) >> p->shift, magnitude = z < 0 ? -z : z;
  if (p->kind == ERT_LOGISTIC) {
    const int32_t u = interpolated(table, magnitude, 9, 0x7fff << 10);
    return ((z < 0 ? (1 << 25) - u - 1 : u) + (1 << 9)) >> 10;
  }
  const int32_t u = interpolated(table, magnitude, 8, 0xffff << 8);
  return ((z < 0 ? (1 << 23) - u - 1 : u - (1 << 23)) + (1 << 7)) >> 8;
}

void ert_unary_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_unary_s16_params *p = (const void *)c->params;
  const uint16_t *table = p->kind == ERT_CLIP ? NULL : ert_blob(c, p->table);
  for (int32_t y = y0; y < y1; y++) {
    const int16_t *in = ert_row(&c->in[0], y);
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t k = 0; k < p->n; k++) out[k] = (int16_t)(table ? sigmoid_s16(p, table, in[k]) : clip_s16(p, in[k]));
  }
}
