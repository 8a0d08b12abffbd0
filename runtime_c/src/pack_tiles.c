/* SPDX-License-Identifier: Apache-2.0 */
/* Weights and scales in the layouts of tiles.h and columns.h, as ops/tiles.py writes them when it converts. */
#include "pack.h"

#if ERT_HAS_VECTORS
#include "binary/binary.h"

static const char *read_number(const char *at, int32_t *n) {
  for (*n = 0; *at >= '0' && *at <= '9' && *n < 1000; at++) *n = 10 * *n + (*at - '0');
  return at;
}

int ert_pack_layout_of(const char *name, ert_pack_layout *l) {
  const char *at = name;
  *l = (ert_pack_layout){.kind = *at++, .kr = 1};
  if (l->kind != 'n' && l->kind != 'd') return 0;
  at = read_number(at, &l->nr);
  if (*at == 'k') at = read_number(at + 1, &l->kr);
  if (*at != '\0') l->last = *at++;
  const int known = l->last == '\0' || l->last == 'u' || l->last == 'p' || l->last == 's' || l->last == 'd';
  return *at == '\0' && known && l->nr > 0 && l->kr > 0;
}

/* Whether kernels of the layout add 128 to every input. */
static int is_unsigned(const ert_pack_layout *l) {
  return l->last == 'u' || (l->kind == 'd' && l->kr > 1 && l->last == '\0');
}

typedef struct {
  int64_t sum, magnitude;
  int32_t least;
} totals;

/* Of the int8 weights of channel o. */
static totals totals_of(const ert_layer *layer, int32_t o) {
  totals t = {0, 0, 0};
  const int8_t *w = (const int8_t *)layer->weights + (ptrdiff_t)o * layer->next;
  for (int32_t i = 0; i < layer->n; i++, w += layer->nearby) {
    t.sum += *w, t.magnitude += *w < 0 ? -*w : *w;
    if (*w < t.least) t.least = *w;
  }
  return t;
}

/* Kernels of vectors round as they shift to the right, and keep the sum with half a unit in 32 bits. */
static int channel_fits(const ert_layer *layer, const ert_pack_layout *l, int32_t o) {
  const int32_t multiplier = layer->multiplier[o * layer->step], right = -layer->shift[o * layer->step];
  const totals t = totals_of(layer, o);
  if (multiplier < 0 || (l->last == 'p' && t.least == -128)) return 0;
  if (multiplier == 0) return 1;
  if (!ert_within(right, 1, 31)) return 0;
  const int64_t bias = layer->bias[o], most = (bias < 0 ? -bias : bias) + 128 * t.magnitude;
  if (l->last == 'd' && right > 13 && most >= 1 << 21) return 0;
  return most + ((int64_t)1 << (right - 1)) <= INT32_MAX;
}

int ert_pack_fits(const ert_layer *layer, const ert_pack_layout *l) {
  const int32_t *limits = layer->limits;
  if (layer->item != 1) return 1;
  for (int32_t i = 0; i < 3; i++)
    if (!ert_within(limits[i], INT8_MIN, INT8_MAX)) return 0;
  if (limits[1] > limits[2]) return 0;
  for (int32_t o = 0; o < layer->channels; o++)
    if (!channel_fits(layer, l, o)) return 0;
  return 1;
}

static int32_t panels_of(const ert_layer *layer, const ert_pack_layout *l) {
  return layer->channels / l->nr + (layer->channels % l->nr != 0);
}

/* Weights of a channel with those that fill up: of columns, rows of the kernel are filled up. */
static uint64_t filled(const ert_layer *layer, const ert_pack_layout *l) {
  const int32_t items = l->kind == 'd' ? layer->kernel_h : layer->n;
  const uint64_t up = ((uint64_t)(uint32_t)items + (uint32_t)l->kr - 1) / (uint32_t)l->kr * (uint32_t)l->kr;
  return l->kind == 'd' ? up * (uint32_t)layer->kernel_w : up;
}

uint64_t ert_pack_weights_bytes(const ert_layer *layer, const ert_pack_layout *l) {
  return filled(layer, l) * (uint32_t)l->nr * (uint32_t)panels_of(layer, l) * (uint32_t)layer->item;
}

/* Of a channel. */
static uint32_t scale_bytes(const ert_layer *layer, const ert_pack_layout *l) {
  if (layer->item != 1) return ERT_SCALES_F32;
  return l->last == 'd' ? ERT_SCALES_DOUBLES : ERT_SCALES_S8;
}

uint64_t ert_pack_scales_bytes(const ert_layer *layer, const ert_pack_layout *l) {
  return (uint64_t)(uint32_t)panels_of(layer, l) * (uint32_t)l->nr * scale_bytes(layer, l);
}

/* `kr` weights of channel o from the i-th on, zeros behind the last one. */
static uint8_t *put_terms(const ert_layer *layer, int32_t o, int32_t i, int32_t kr, uint8_t *to) {
  const int32_t left = layer->n - i, n = o >= layer->channels ? 0 : left < kr ? left : kr;
  const uint8_t *from = (const uint8_t *)layer->weights + ((ptrdiff_t)o * layer->n + i) * layer->item;
  if (n > 0 && n * layer->item == 4) ERT_MEMMOVE(to, from, 4);
  else if (n > 0) ERT_MEMMOVE(to, from, n * layer->item);
  if (n < kr) ERT_MEMSET(to + n * layer->item, 0, (kr - n) * layer->item);
  return to + kr * layer->item;
}

/* weights[panel][k / kr][nr][kr]: runs follow each other, so a window of several taps is one sequence. */
static void put_tiles(const ert_layer *layer, const ert_pack_layout *l, uint8_t *to) {
  const int32_t panels = panels_of(layer, l);
  for (int32_t o = 0; o < panels * l->nr; o += l->nr)
    for (int32_t i = 0; i < layer->n; i += l->kr)
      for (int32_t c = 0; c < l->nr; c++) to = put_terms(layer, o + c, i, l->kr, to);
}

/* The channel of a panel of columns that is its i-th. */
static int32_t interleaved(int32_t i, int32_t nr) { return 16 * (i / 4 % (nr / 16)) + 4 * (i / (nr / 4)) + i % 4; }

/* Weight `tap` of channel o of a depthwise layer, 0 where there is none. */
static uint8_t *put_tap(const ert_layer *layer, int32_t o, int32_t ky, int32_t kx, uint8_t *to) {
  const ptrdiff_t at = (ptrdiff_t)(ky * layer->kernel_w + kx) * layer->channels + o;
  if (o >= layer->channels || ky >= layer->kernel_h) ERT_MEMSET(to, 0, layer->item);
  else ERT_MEMMOVE(to, (const uint8_t *)layer->weights + at * layer->item, layer->item);
  return to + layer->item;
}

/* weights[panel][kernel_w][kernel_h / kr][nr][kr] */
static void put_columns(const ert_layer *layer, const ert_pack_layout *l, uint8_t *to) {
  const int32_t panels = panels_of(layer, l);
  for (int32_t o = 0; o < panels * l->nr; o += l->nr)
    for (int32_t kx = 0; kx < layer->kernel_w; kx++)
      for (int32_t ky = 0; ky < layer->kernel_h; ky += l->kr)
        for (int32_t i = 0; i < l->nr; i++)
          for (int32_t k = 0; k < l->kr; k++) to = put_tap(layer, o + interleaved(i, l->nr), ky + k, kx, to);
}

/* weights[panel][tap][nr] */
static void put_taps(const ert_layer *layer, const ert_pack_layout *l, uint8_t *to) {
  const int32_t panels = panels_of(layer, l);
  for (int32_t o = 0; o < panels * l->nr; o += l->nr)
    for (int32_t ky = 0; ky < layer->kernel_h; ky++)
      for (int32_t kx = 0; kx < layer->kernel_w; kx++)
        for (int32_t i = 0; i < l->nr; i++) to = put_tap(layer, o + i, ky, kx, to);
}

void ert_pack_weights(const ert_layer *layer, const ert_pack_layout *l, void *to) {
  if (l->kind == 'n') put_tiles(layer, l, to);
  else if (l->kr > 1) put_columns(layer, l, to);
  else put_taps(layer, l, to);
}

/* Bias, multiplier and right shift of channel o, nr words apart; any shift of 0 is 0. */
static void put_scales(const ert_layer *layer, const ert_pack_layout *l, int32_t o, int32_t *to) {
  const int32_t multiplier = layer->multiplier[o * layer->step];
  const uint32_t change = is_unsigned(l) ? 128u * (uint32_t)totals_of(layer, o).sum : 0;
  to[0] = (int32_t)((uint32_t)layer->bias[o] - change);
  to[l->nr] = multiplier;
  to[2 * l->nr] = multiplier ? -layer->shift[o * layer->step] : 1;
}

/* 2^-n for 0 <= n < 1023. */
static double unit_of(int32_t n) {
  const uint64_t bits = (uint64_t)(uint32_t)(1023 - n) << 52;
  double unit;
  ERT_MEMMOVE(&unit, &bits, sizeof unit);
  return unit;
}

/* Of channel o: bias, bias of unsigned inputs, multiplier, half and unit; `doubles` are those of the panel. */
static void put_doubles(const ert_layer *layer, int32_t nr, int32_t o, int32_t *to, uint8_t *doubles) {
  const int32_t multiplier = layer->multiplier[o * layer->step];
  const double unit = multiplier ? unit_of(-layer->shift[o * layer->step]) : 0.0;
  const double all[] = {multiplier * unit * unit_of(31), unit * unit_of(1) + unit * unit_of(32), unit};
  to[0] = layer->bias[o];
  to[nr] = (int32_t)((uint32_t)layer->bias[o] - 128u * (uint32_t)totals_of(layer, o).sum);
  for (int32_t i = 0; i < 3; i++) ERT_MEMMOVE(doubles + 8 * nr * i, &all[i], 8);
}

/* Layouts that end in d. */
static void put_panels_of_doubles(const ert_layer *layer, int32_t nr, int32_t *to) {
  for (int32_t o = 0; o < layer->channels; o += nr, to += nr * ERT_SCALES_DOUBLES / 4) {
    ERT_MEMSET(to, 0, nr * ERT_SCALES_DOUBLES);
    for (int32_t i = 0; i < nr && o + i < layer->channels; i++)
      put_doubles(layer, nr, o + i, to + i, (uint8_t *)(to + 2 * nr) + 8 * i);
  }
}

void ert_pack_scales(const ert_layer *layer, const ert_pack_layout *l, int32_t *to) {
  if (layer->item == 1 && l->last == 'd') {
    put_panels_of_doubles(layer, l->nr, to);
    return;
  }
  const int32_t panels = panels_of(layer, l), words = layer->item == 1 ? 3 * l->nr : l->nr;
  for (int32_t o = 0; o < panels * l->nr; o += l->nr, to += words) {
    ERT_MEMSET(to, 0, 4 * words);
    for (int32_t i = 0; i < l->nr; i++) {
      const int32_t from = o + (l->kind == 'd' && l->kr > 1 ? interleaved(i, l->nr) : i);
      if (layer->item == 1) to[i + 2 * l->nr] = 1;
      if (from >= layer->channels) continue;
      if (layer->item == 1) put_scales(layer, l, from, to + i);
      else to[i] = layer->bias[from];
    }
  }
}

/* The sum of plain parameters is doubled in the same way; offsets hold half units and zero points. */
int ert_pack_dense_sum(const int32_t *params, int32_t *dense) {
  enum { MOST_SHIFT = 22, ONE = 1 << 20 }; /* a zero point so far up is still below 2^30 */
  const ert_add_s8s8_params *p = (const void *)params;
  const int same = p->b_gain == 4 * ONE && p->b_scale.multiplier == 1 << 30 && p->b_scale.shift == 1;
  if (p->a_factor != ONE || p->b_factor != 2 || (!same && p->b_gain != 2 * ONE)) return 0;
  if (!ert_within(p->scale.shift, 1, MOST_SHIFT) || !ert_within(p->b_scale.shift, 1, 30)) return 0;
  if (p->scale.multiplier < 0 || p->b_scale.multiplier < 0) return 0;
  const int32_t bytes[] = {p->a_zero_point, p->b_zero_point, p->zero_point, p->min, p->max};
  for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++)
    if (!ert_within(bytes[i], INT8_MIN, INT8_MAX)) return 0;
  ert_add_s8s8_dense_params *d = (void *)dense;
  *d = (ert_add_s8s8_dense_params){p->shape,
                                   -p->b_zero_point * 2 * ONE,
                                   same ? INT32_MAX : p->b_scale.multiplier,
                                   1 << (p->b_scale.shift - 1),
                                   p->b_scale.shift,
                                   -p->a_zero_point * ONE,
                                   p->scale.multiplier,
                                   (2 * p->zero_point + 1) * (1 << (p->scale.shift - 1)),
                                   p->scale.shift,
                                   p->min,
                                   p->max};
  return p->min <= p->max;
}

#endif
