/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded model's portable steps with the vector kernels of this processor: ert_pack. Nothing here is linked into a
 * program that does not call it; builds without vector sets have nothing to pack.
 *
 * The memory begins with a copy of the steps, each as long as in the file, so that offsets into them hold. Behind it lie
 * parameters and blobs of the layers, all counted from its beginning (ERT_PACKED_BIT). */
#include "pack.h"
#include "step.h"

#if ERT_HAS_VECTORS
#include "conv2d/conv2d.h"
#include "depthwise_conv2d/depthwise_conv2d.h"
#include "fully_connected/fully_connected.h"

enum { PACK_ALIGN = 64, OP_CONV2D = 1, OP_DEPTHWISE = 2, OP_FULLY_CONNECTED = 3, OP_NORMALIZE = 0x43, OP_SUM = 0x10 };

typedef struct {
  int32_t number;
  const char *op, *types, *layout;
} row;

/* In the order of preference. Those of sets that this build has not got keep their numbers alone. */
#undef ERT_KERNEL
#undef ERT_PACKED
#define ERT_KERNEL(number, op, types, tile, isa, bytes) {number, ERT_BUILT_##isa(#op), ERT_BUILT_##isa(#types), ""},
#define ERT_PACKED(number, op, types, layout, tile, isa, bytes) \
  {number, ERT_BUILT_##isa(#op), ERT_BUILT_##isa(#types), ERT_BUILT_##isa(#layout)},
#ifdef ERT_USED
#define ROWS ERT_USED
#else
#define ROWS "ops.inc"
#endif
static const row rows[] = {
#include ROWS
};
#undef ERT_KERNEL
#undef ERT_PACKED
#undef ROWS

enum { N_ROWS = sizeof rows / sizeof rows[0] };

typedef struct {
  const ert_model *m;
  uint8_t *memory; /* NULL where bytes are only counted */
  uint64_t at, room;
  uint32_t arena_bytes;
  uint32_t isas;
  int32_t gained; /* steps that another kernel computes */
} packing;

/* What replaces a step's kernel. */
typedef struct {
  const ert_kernel *kernel;
  int32_t params[ERT_PACK_WORDS];
  int packed; /* whether params are other than the plain ones */
} choice;

static int same(const char *a, const char *b) {
  for (; *a && *a == *b; a++, b++) continue;
  return *a == *b;
}

/* The portable row of that number, NULL for other numbers. */
static const row *portable_row(int32_t number) {
  for (const row *r = rows; r < rows + N_ROWS; r++)
    if (r->number == number && r->op) return ert_find_kernel(number)->isa == ERT_ISA_c && !r->layout[0] ? r : NULL;
  return NULL;
}

static uint64_t aligned_up(uint64_t n) { return (n + PACK_ALIGN - 1) / PACK_ALIGN * PACK_ALIGN; }

/* Weights and scales of the layer behind the words that every layout has; `behind`: weights, an ert_rescale or bias, min and
 * max. */
static void find_blobs(ert_layer *layer, const ert_model *m, const int32_t *behind) {
  layer->weights = m->weights + behind[0];
  layer->bias = (const void *)(m->weights + behind[1]);
  layer->limits = behind + 2;
  if (layer->item != 1) return;
  const ert_rescale *r = (const void *)(behind + 1);
  layer->multiplier = (const void *)(m->weights + r->multiplier);
  layer->shift = (const void *)(m->weights + r->shift);
  layer->step = r->step, layer->limits = &r->zero_point;
}

static void find_window(ert_layer *layer, int op) {
  const ert_conv2d_geometry *g = (const void *)layer->params;
  layer->kernel_h = g->kernel_h, layer->kernel_w = g->kernel_w, layer->channels = g->out_c;
  layer->n = op == OP_DEPTHWISE ? g->kernel_h * g->kernel_w : ert_conv2d_window(g);
  layer->head = (int32_t)(sizeof *g / 4) + (layer->item == 1);
}

/* What is known of a step whose check has passed; 0 where it is no layer that is packed. */
static int find_layer(ert_layer *layer, const ert_model *m, const ert_step *s, const row *r) {
  const int op = r->number >> 8;
  const int is_float = same(r->types, "f32");
  if (!ert_within(op, OP_CONV2D, OP_FULLY_CONNECTED) || !(is_float || same(r->types, "s8s8"))) return 0;
  *layer = (ert_layer){.params = s->params, .item = is_float ? 4 : 1, .kernel_h = 1, .kernel_w = 1, .head = 2};
  if (op == OP_FULLY_CONNECTED) layer->n = s->params[0], layer->channels = s->params[1];
  else find_window(layer, op);
  layer->next = op == OP_DEPTHWISE ? 1 : layer->n;
  layer->nearby = op == OP_DEPTHWISE ? layer->channels : 1;
  find_blobs(layer, m, s->params + layer->head);
  return 1;
}

/* The parameters of a packed layer whose blobs lie at these offsets, which the check of its row sees. */
static int32_t layer_words(const ert_layer *layer, uint64_t weights, uint64_t scales, int32_t *words) {
  const int32_t n_limits = layer->item == 1 ? 3 : 2, head = layer->head;
  for (int32_t i = 0; i < head; i++) words[i] = layer->params[i];
  words[head] = (int32_t)weights, words[head + 1] = (int32_t)scales;
  for (int32_t i = 0; i < n_limits; i++) words[head + 2 + i] = layer->limits[i];
  return head + 2 + n_limits;
}

/* Bytes from the beginning of a packed step's place to those of its weights, scales and end. */
typedef struct {
  uint64_t weights, scales, end;
} places;

static places places_of(const ert_layer *layer, const ert_pack_layout *l, uint64_t at, int32_t n_params) {
  places p;
  p.weights = aligned_up(at + 4 * (uint64_t)(uint32_t)n_params);
  p.scales = aligned_up(p.weights + ert_pack_weights_bytes(layer, l));
  p.end = aligned_up(p.scales + ert_pack_scales_bytes(layer, l));
  return p;
}

static int scratch_fits(const packing *p, int32_t bytes) {
  return bytes >= 0 && (uint64_t)p->arena_bytes + PACK_ALIGN + (uint32_t)bytes < (uint32_t)ERT_TABLE_BIT;
}

/* Whether the row's own check lets it run with these parameters, in place of the step's; blobs lie below `end`. */
static int accepted(const packing *p, const ert_kernel *k, const ert_step *s, const int32_t *params, uint64_t end) {
  ert_step other = *s;
  if (end > INT32_MAX) return 0;
  other.params = params, other.number = k->number, other.n_params = k->n_params, other.weights_bytes = (uint32_t)end;
  return k->check(&other) && scratch_fits(p, k->scratch(params));
}

static int pack_layer(packing *p, const ert_step *s, const row *plain, const row *r, choice *c) {
  ert_layer layer;
  ert_pack_layout l;
  if (!ert_pack_layout_of(r->layout, &l) || !find_layer(&layer, p->m, s, plain)) return 0;
  const places at = places_of(&layer, &l, p->at, c->kernel->n_params);
  if (layer_words(&layer, at.weights, at.scales, c->params) != c->kernel->n_params) return 0;
  if (!accepted(p, c->kernel, s, c->params, at.end) || !ert_pack_fits(&layer, &l)) return 0;
  if (p->memory && at.end <= p->room) {
    ERT_MEMMOVE(p->memory + p->at, c->params, 4 * c->kernel->n_params);
    ert_pack_weights(&layer, &l, p->memory + at.weights);
    ert_pack_scales(&layer, &l, (void *)(p->memory + at.scales));
  }
  p->at = at.end;
  return 1;
}

static int pack_sum(packing *p, const ert_step *s, const row *r, choice *c) {
  if (r->number >> 8 != OP_SUM || !same(r->layout, "dense") || !ert_pack_dense_sum(s->params, c->params)) return 0;
  const uint64_t end = aligned_up(p->at + 4 * (uint64_t)c->kernel->n_params);
  if (!accepted(p, c->kernel, s, c->params, end)) return 0;
  if (p->memory && end <= p->room) ERT_MEMMOVE(p->memory + p->at, c->params, 4 * c->kernel->n_params);
  p->at = end;
  return 1;
}

/* Whether an input lies neither apart from the output nor row by row in its place: portable plans let an output grow over
 * rows that no later row needs, which only kernels that go row by row can follow. */
static int grows_over_input(const ert_step *s) {
  if ((s->out[0] & ERT_BOUND_BITS) != 0) return 0; /* rows in a table: computed one at a time */
  const int64_t from = s->out[0], end = from + (int64_t)s->batch * s->out[1] * s->out[2];
  for (int32_t i = 0; i < s->n_in; i++) {
    const int32_t *in = s->in + ERT_VIEW_WORDS * i;
    const int in_place = in[0] == s->out[0] && in[1] == s->out[1] && in[2] == s->out[2];
    if ((in[0] & ERT_BOUND_BITS) != 0 || in_place) continue;
    if (in[0] < end && from < in[0] + (int64_t)s->batch * in[1] * in[2]) return 1;
  }
  return 0;
}

/* Norms of few items side by side are no work for vectors (ops/normalize.py). */
static int is_vector_work(const row *r, const ert_step *s) {
  return r->number >> 8 != OP_NORMALIZE || s->params[2] >= 8;
}

/* Layers and sums go row by row where they must; other rows may compute several at once. */
static int take(packing *p, const ert_step *s, const row *plain, const row *r, choice *c) {
  c->packed = r->layout[0] != '\0';
  if (c->packed) return pack_layer(p, s, plain, r, c) || pack_sum(p, s, r, c);
  if (grows_over_input(s) || !is_vector_work(r, s)) return 0;
  return c->kernel->n_params == s->n_params && accepted(p, c->kernel, s, s->params, p->m->weights_bytes);
}

/* The first row for the step's op and types that this processor's vectors compute. */
static int choose(packing *p, const ert_step *s, choice *c) {
  const row *plain = portable_row(s->number);
  if (plain == NULL) return 0;
  for (const row *r = rows; r < rows + N_ROWS; r++) {
    if (!r->op || !same(r->op, plain->op) || !same(r->types, plain->types)) continue;
    c->kernel = ert_find_kernel(r->number);
    if (c->kernel == NULL || c->kernel->isa < ERT_ISA_avx2 || c->kernel->run == NULL ||
        !(p->isas >> c->kernel->isa & 1))
      continue;
    if (c->kernel->n_params <= ERT_PACK_WORDS && take(p, s, plain, r, c)) return 1;
  }
  return 0;
}

/* Where the scratch of the new kernel lies: where the old one's did, or, where it takes more, behind the arena. */
static int32_t place_scratch(packing *p, const ert_step *s, int32_t bytes) {
  const int32_t planned = ert_find_kernel(s->number)->scratch(s->params);
  if (bytes <= planned) return s->scratch_offset;
  const uint32_t begin = (uint32_t)aligned_up(p->m->arena_bytes), end = begin + (uint32_t)bytes;
  if (end > p->arena_bytes) p->arena_bytes = end;
  return (int32_t)begin;
}

/* `to`: the step's words in memory, NULL where bytes are only counted. */
static void pack_step(packing *p, const int32_t *words, int32_t *to) {
  const ert_step s = ert_step_at(p->m, words);
  const uint64_t at = p->at;
  choice c;
  if (!choose(p, &s, &c)) return;
  const int32_t scratch = place_scratch(p, &s, c.kernel->scratch(c.packed ? c.params : s.params));
  p->gained++;
  if (to == NULL || p->at > p->room) return;
  to[0] = (int32_t)(((uint32_t)words[0] & 0xffff0000u) | c.kernel->number);
  to[3] = scratch | (c.packed ? ERT_PACKED_BIT : 0);
  if (c.packed) to[s.params - words] = (int32_t)(at / 4);
}

static packing begin(const ert_model *m, uint8_t *memory, size_t room, uint32_t isas) {
  return (packing){m, memory, aligned_up(m->steps_bytes), room, m->arena_bytes, isas, 0};
}

static void pack_steps(packing *p) {
  const ert_model *m = p->m;
  const int32_t *words = m->steps;
  int32_t *to = (void *)p->memory;
  for (int32_t i = 0, n; i < m->n_steps; i++, words += n) {
    n = ert_step_words(words[0]);
    pack_step(p, words, to);
    if (to) to += n;
  }
}

/* Steps that were packed lie elsewhere. */
static int is_packed(const ert_model *m) {
  const uintptr_t at = (uintptr_t)m->steps, file = (uintptr_t)m->bytes;
  return at < file || at - file >= m->file_bytes;
}

/* A program with any other kernel was written for a processor: its portable ones were chosen. */
static int is_portable(const ert_model *m) {
  const int32_t *words = m->steps;
  for (int32_t i = 0; i < m->n_steps; i++, words += ert_step_words(words[0]))
    if (ert_find_kernel(words[0] & 0xffff)->isa != ERT_ISA_c) return 0;
  return 1;
}

static int is_packable(const ert_model *m) { return m->n_steps > 0 && !is_packed(m) && is_portable(m); }

static size_t count_bytes(const ert_model *m, uint32_t isas) {
  if (!is_packable(m)) return 0;
  packing p = begin(m, NULL, 0, isas);
  pack_steps(&p);
  return p.gained && p.at <= SIZE_MAX ? (size_t)p.at : 0;
}

static int pack(ert_model *m, void *memory, size_t bytes, uint32_t isas) {
  if (!is_packable(m)) return ERT_OK;
  packing p = begin(m, memory, bytes, isas);
  if (((uintptr_t)memory & (ERT_ALIGN - 1)) != 0) return ERT_EALIGN;
  if (p.at > bytes) return ERT_EARENA;
  ERT_MEMMOVE(memory, m->steps, m->steps_bytes);
  pack_steps(&p);
  if (p.gained == 0) return ERT_OK;
  if (p.at > bytes) return ERT_EARENA;
  m->arena_bytes = p.arena_bytes;
  m->steps = memory;
  return ERT_OK;
}

size_t ert_packed_bytes(const ert_model *m) { return count_bytes(m, ert_isas()); }

int ert_pack(ert_model *m, void *memory, size_t bytes) { return pack(m, memory, bytes, ert_isas()); }

#ifdef ERT_INTROSPECT
/* The same for a processor that has fewer sets than this one. */
size_t ert_packed_bytes_for(const ert_model *m, uint32_t isas);
int ert_pack_for(ert_model *m, void *memory, size_t bytes, uint32_t isas);

size_t ert_packed_bytes_for(const ert_model *m, uint32_t isas) { return count_bytes(m, isas & ert_isas()); }

int ert_pack_for(ert_model *m, void *memory, size_t bytes, uint32_t isas) {
  return pack(m, memory, bytes, isas & ert_isas());
}
#endif

#else

size_t ert_packed_bytes(const ert_model *m) { return (void)m, (size_t)0; }

int ert_pack(ert_model *m, void *memory, size_t bytes) { return (void)m, (void)memory, (void)bytes, ERT_OK; }

#endif
