/* SPDX-License-Identifier: Apache-2.0 */
#include "fully_connected/fully_connected.h"
#include "dot.h"

/* `size`: bytes of an item. */
static int views_ok(const ert_step *s, int32_t in_c, int32_t out_c, int32_t size) {
  return s->n_in == 1 && in_c >= 1 && out_c >= 1 && ert_view_ok(s->in, in_c, size) && ert_view_ok(s->out, out_c, size);
}

static int shape_ok(const ert_step *s, int32_t in_c, int32_t out_c, int32_t weights, int32_t size,
                    int32_t weight_size) {
  return views_ok(s, in_c, out_c, size) && ert_blob_ok(s, weights, ert_product(in_c, out_c), weight_size);
}

int ert_fully_connected_s8s8_pairs_check(const ert_step *s) {
  const ert_fully_connected_s8s8_pairs_params *p = (const void *)s->params;
  return views_ok(s, p->in_c, p->out_c, 1) && ert_blob_ok(s, p->weights, ert_pairs_words(p->in_c, p->out_c), 4) &&
         ert_rescale_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_s8s8_lanes_check(const ert_step *s) {
  const ert_fully_connected_s8s8_lanes_params *p = (const void *)s->params;
  return views_ok(s, p->in_c, p->out_c, 1) &&
         ert_lanes_ok(s, p->scales.scales, p->weights, ert_lanes_s8_bytes(p->in_c), p->out_c);
}

int ert_fully_connected_s16s8_lanes_check(const ert_step *s) {
  const ert_fully_connected_s16s8_lanes_params *p = (const void *)s->params;
  return views_ok(s, p->in_c, p->out_c, 2) && ert_lanes_ok(s, p->scales.scales, p->weights, p->in_c, p->out_c);
}

int ert_fully_connected_s16s8_twos_check(const ert_step *s) {
  const ert_fully_connected_s16s8_twos_params *p = (const void *)s->params;
  return views_ok(s, p->in_c, p->out_c, 2) && ert_twos_ok(s, p->weights, &p->scales, p->in_c, p->out_c);
}

int ert_fully_connected_s8s4_lanes_check(const ert_step *s) {
  const ert_fully_connected_s8s4_lanes_params *p = (const void *)s->params;
  return views_ok(s, p->in_c, p->out_c, 1) && p->in_c < INT32_MAX &&
         ert_lanes_ok(s, p->scales.scales, p->weights, ert_lanes_s4_bytes(1, p->in_c), p->out_c);
}

int ert_fully_connected_s8s8_check(const ert_step *s) {
  const ert_fully_connected_s8s8_params *p = (const void *)s->params;
  return shape_ok(s, p->in_c, p->out_c, p->weights, 1, 1) && ert_rescale_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_s8s4_quads_check(const ert_step *s) {
  const ert_fully_connected_s8s4_quads_params *p = (const void *)s->params;
  const int32_t words = ert_pairs_words(p->in_c, p->out_c);
  return views_ok(s, p->in_c, p->out_c, 1) && words < INT32_MAX && ert_blob_ok(s, p->weights, words / 2, 4) &&
         ert_rescale_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_s8s8_panels_check(const ert_step *s) {
  const ert_fully_connected_s8s8_panels_params *p = (const void *)s->params;
  return views_ok(s, p->in_c, p->out_c, 1) && ert_panels_ok(s, &p->filter, p->in_c, p->out_c);
}

int ert_fully_connected_f32_check(const ert_step *s) {
  const ert_fully_connected_f32_params *p = (const void *)s->params;
  return shape_ok(s, p->in_c, p->out_c, p->weights, 4, 4) && ert_blob_ok(s, p->bias, p->out_c, 4);
}

void ert_fully_connected_s8s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s8_params *p = (const void *)c->params;
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_s8(&scales, ert_row(&c->in[0], y), ert_blob(c, p->weights), p->in_c, p->out_c, ert_out_row(&c->out, y));
}

void ert_fully_connected_f32_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32_params *p = (const void *)c->params;
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_f32(ert_row(&c->in[0], y), ert_blob(c, p->weights), ert_blob(c, p->bias), p->in_c, p->out_c, p->min,
                  p->max, ert_out_row(&c->out, y));
}

int ert_fully_connected_s16s8_check(const ert_step *s) {
  const ert_fully_connected_s16s8_params *p = (const void *)s->params;
  return shape_ok(s, p->in_c, p->out_c, p->weights, 2, 1) && ert_rescale_s16_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_f32s8_check(const ert_step *s) {
  const ert_fully_connected_f32s8_params *p = (const void *)s->params;
  return shape_ok(s, p->in_c, p->out_c, p->weights, 4, 1) && ert_blob_ok(s, p->bias, p->out_c, 4) &&
         ert_within(p->step, 0, 1) && ert_blob_ok(s, p->scale, p->step ? p->out_c : 1, 4);
}

int ert_fully_connected_f32f16_check(const ert_step *s) {
  const ert_fully_connected_f32f16_params *p = (const void *)s->params;
  return shape_ok(s, p->in_c, p->out_c, p->weights, 4, 2) && ert_blob_ok(s, p->bias, p->out_c, 4);
}

void ert_fully_connected_s16s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s16s8_params *p = (const void *)c->params;
  const ert_scales_s16 scales = ert_scales_s16_of(c, &p->rescale);
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_s16s8(&scales, ert_row(&c->in[0], y), ert_blob(c, p->weights), p->in_c, p->out_c,
                    ert_out_row(&c->out, y));
}

void ert_fully_connected_f32s8_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32s8_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_f32s8(&finish, ert_row(&c->in[0], y), ert_blob(c, p->weights), p->in_c, p->out_c,
                    ert_out_row(&c->out, y));
}

void ert_fully_connected_f32f16_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32f16_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), NULL, 0, p->min, p->max};
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_f32f16(&finish, ert_row(&c->in[0], y), ert_blob(c, p->weights), p->in_c, p->out_c,
                     ert_out_row(&c->out, y));
}

/* As shape_ok, for int4 weights. */
static int shape_s4_ok(const ert_step *s, int32_t in_c, int32_t out_c, const ert_weights_s4 *w, int32_t size) {
  return s->n_in == 1 && in_c >= 1 && out_c >= 1 && ert_view_ok(s->in, in_c, size) &&
         ert_view_ok(s->out, out_c, size) && ert_weights_s4_ok(s, w, in_c, out_c);
}

int ert_fully_connected_s8s4_check(const ert_step *s) {
  const ert_fully_connected_s8s4_params *p = (const void *)s->params;
  return shape_s4_ok(s, p->in_c, p->out_c, &p->filter, 1) && ert_rescale_ok(s, &p->rescale, p->out_c);
}

int ert_fully_connected_f32s4_check(const ert_step *s) {
  const ert_fully_connected_f32s4_params *p = (const void *)s->params;
  return shape_s4_ok(s, p->in_c, p->out_c, &p->filter, 4) && ert_blob_ok(s, p->bias, p->out_c, 4) &&
         ert_within(p->step, 0, 1) && ert_blob_ok(s, p->scale, p->step ? p->out_c : 1, 4);
}

void ert_fully_connected_s8s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_s8s4_params *p = (const void *)c->params;
  const ert_rows_s4 w = ert_rows_s4_of(c, &p->filter, p->in_c);
  const ert_scales scales = ert_scales_of(c, &p->rescale);
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_s8s4(&scales, ert_row(&c->in[0], y), &w, p->out_c, ert_out_row(&c->out, y));
}

void ert_fully_connected_f32s4_1x4__c(const ert_call *c, int32_t y0, int32_t y1) {
  const ert_fully_connected_f32s4_params *p = (const void *)c->params;
  const ert_float_finish finish = {ert_blob(c, p->bias), ert_blob(c, p->scale), p->step, p->min, p->max};
  const ert_rows_s4 w = ert_rows_s4_of(c, &p->filter, p->in_c);
  for (int32_t y = y0; y < y1; y++)
    ert_pixel_f32s4(&finish, ert_row(&c->in[0], y), &w, p->out_c, ert_out_row(&c->out, y));
}
