/* SPDX-License-Identifier: Apache-2.0 */
#include "resize/resize.h"
#include "moves.h"
#include "requantize.h"

static int resize_ok(const ert_step *s, int32_t size, int32_t words) {
  const ert_resize_params *p = (const void *)s->params;
  return s->n_in == 1 && ert_within(p->in_h, 1, ERT_MAX_EXTENT) && ert_within(p->in_w, 1, ERT_MAX_EXTENT) &&
         ert_within(p->out_w, 1, ERT_MAX_EXTENT) && ert_within(p->pixel, 1, ERT_MAX_CHANNELS) &&
         s->rows <= ERT_MAX_EXTENT && ert_view_ok(s->in, ert_product(p->in_w, p->pixel), size) &&
         ert_view_ok(s->out, ert_product(p->out_w, p->pixel), size) && ert_blob_ok(s, p->rows, s->rows * words, 4) &&
         ert_blob_ok(s, p->columns, p->out_w * words, 4);
}

int ert_resize_b1_check(const ert_step *s) { return resize_ok(s, 1, 1); }
int ert_resize_s8_check(const ert_step *s) { return resize_ok(s, 1, 1); }
int ert_resize_f32_check(const ert_step *s) { return resize_ok(s, 4, 2); }

/* Positions come from the file unchecked: an index outside the image is brought to its edge. */
static int32_t inside(int32_t index, int32_t extent) { return ert_clamp(index, 0, extent - 1); }

void ert_resize_b1_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_resize_params *p = (const void *)c->params;
  const int32_t *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  for (int32_t y = y0; y < y1; y++) {
    const uint8_t *row = ert_row(&c->in[0], inside(rows[y], p->in_h));
    uint8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->out_w; x++, out += p->pixel)
      ert_move_few(out, row + inside(columns[x], p->in_w) * p->pixel, p->pixel);
  }
}

/* One output pixel: a and b are its left neighbours in both rows, the right ones lie `step` items on. */
static void blend_s8(const int8_t *a, const int8_t *b, int32_t u, int32_t v, int32_t n, int32_t step, int8_t *out) {
  for (int32_t k = 0; k < n; k++) {
    const int32_t upper = a[k] * (1024 - v) + a[k + step] * v, lower = b[k] * (1024 - v) + b[k + step] * v;
    const int32_t sum = upper * (1024 - u) + lower * u;
    out[k] = (int8_t)(sum > 0 ? (sum + (1 << 19)) >> 20 : -(((1 << 19) - sum) >> 20));
  }
}

void ert_resize_s8_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_resize_params *p = (const void *)c->params;
  const int32_t *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  for (int32_t y = y0; y < y1; y++) {
    const int32_t u = rows[y] & 1023, iy = inside(rows[y] >> 10, p->in_h);
    const int8_t *a = ert_row(&c->in[0], iy), *b = u ? ert_row(&c->in[0], inside(iy + 1, p->in_h)) : a;
    int8_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->out_w; x++, out += p->pixel) {
      const int32_t v = columns[x] & 1023, ix = inside(columns[x] >> 10, p->in_w);
      const int32_t at = ix * p->pixel, step = v && ix + 1 < p->in_w ? p->pixel : 0;
      blend_s8(a + at, b + at, u, v, p->pixel, step, out);
    }
  }
}

static void blend_f32(const float *a, const float *b, float u, float v, int32_t n, int32_t step, float *out) {
  const float ul = (1.0f - u) * (1.0f - v), ur = (1.0f - u) * v, ll = u * (1.0f - v), lr = u * v;
  for (int32_t k = 0; k < n; k++) out[k] = a[k] * ul + a[k + step] * ur + b[k] * ll + b[k + step] * lr;
}

void ert_resize_f32_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_resize_params *p = (const void *)c->params;
  const ert_resize_position *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  for (int32_t y = y0; y < y1; y++) {
    const float u = rows[y].fraction;
    const int32_t iy = inside(rows[y].index, p->in_h);
    const float *a = ert_row(&c->in[0], iy), *b = u > 0.0f ? ert_row(&c->in[0], inside(iy + 1, p->in_h)) : a;
    float *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->out_w; x++, out += p->pixel) {
      const int32_t ix = inside(columns[x].index, p->in_w);
      const float v = columns[x].fraction;
      const int32_t at = ix * p->pixel, step = v > 0.0f && ix + 1 < p->in_w ? p->pixel : 0;
      blend_f32(a + at, b + at, u, v, p->pixel, step, out);
    }
  }
}

int ert_resize_s16_check(const ert_step *s) { return resize_ok(s, 2, 1); }

static void blend_s16(const int16_t *a, const int16_t *b, int32_t u, int32_t v, int32_t n, int32_t step, int16_t *out) {
  for (int32_t k = 0; k < n; k++) {
    const int32_t upper = a[k] * (1024 - v) + a[k + step] * v, lower = b[k] * (1024 - v) + b[k + step] * v;
    const int64_t sum = (int64_t)upper * (1024 - u) + (int64_t)lower * u;
    out[k] = (int16_t)(sum > 0 ? (sum + (1 << 19)) >> 20 : -(((1 << 19) - sum) >> 20));
  }
}

void ert_resize_s16_x1__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_resize_params *p = (const void *)c->params;
  const int32_t *rows = ert_blob(c, p->rows), *columns = ert_blob(c, p->columns);
  for (int32_t y = y0; y < y1; y++) {
    const int32_t u = rows[y] & 1023, iy = inside(rows[y] >> 10, p->in_h);
    const int16_t *a = ert_row(&c->in[0], iy), *b = u ? ert_row(&c->in[0], inside(iy + 1, p->in_h)) : a;
    int16_t *out = ert_out_row(&c->out, y);
    for (int32_t x = 0; x < p->out_w; x++, out += p->pixel) {
      const int32_t v = columns[x] & 1023, ix = inside(columns[x] >> 10, p->in_w);
      const int32_t at = ix * p->pixel, step = v && ix + 1 < p->in_w ? p->pixel : 0;
      blend_s16(a + at, b + at, u, v, p->pixel, step, out);
    }
  }
}
