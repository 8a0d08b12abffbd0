/* SPDX-License-Identifier: Apache-2.0 */
/* int16 layers whose sums may leave 32 bits: sums of parts that cannot are added up in 64. */
#include "tiles.h"

/* Some whole runs at a time, or some of a run. */
static void add_parts(void *const *totals, const ert_tile_args *t, ert_tile_fn *add) {
  const int32_t most = t->terms / t->run > 1 ? t->terms / t->run : 1;
  ert_tile_args part = *t;
  part.scales = NULL, part.out = totals;
  for (int32_t r = 0; r < t->runs; r += part.runs) {
    part.in = t->in + (ptrdiff_t)r * t->stride;
    part.runs = t->runs - r < most ? t->runs - r : most;
    for (part.first = 0; part.first < t->run; part.first += part.run) {
      part.run = t->run - part.first < t->terms ? t->run - part.first : t->terms;
      part.before = r * t->run + part.first;
      add(&part);
    }
  }
}

static int16_t rescaled(const ert_tile_args *t, const ert_tile_scale *s, int64_t total) {
  const int64_t sum = total + s->bias;
  const int32_t x = t->zero_point ? ert_requantize_wide(sum, s->multiplier, s->shift)
                                  : ert_requantize((int32_t)sum, s->multiplier, s->shift);
  return (int16_t)ert_clamp(x, t->min, t->max);
}

void ert_tile_in_parts(const ert_tile_args *t, const ert_tiling *k, int32_t pixels) {
  const int32_t nr = k->layout.nr;
  int64_t totals[ERT_TILE_SUMS];
  void *rows[ERT_TILE_PIXELS];
  ERT_MEMSET(totals, 0, 8 * pixels * nr);
  for (int32_t i = 0; i < pixels; i++) rows[i] = totals + i * nr;
  add_parts(rows, t, k->by_pixels[pixels - 1]);
  for (int32_t i = 0; i < pixels; i++) {
    int16_t *out = t->out[i];
    for (int32_t o = 0; o < t->channels; o++)
      out[o] = rescaled(t, (const ert_tile_scale *)t->scales + o, totals[i * nr + o]);
  }
}
