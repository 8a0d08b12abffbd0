/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime as a WebAssembly module: one instance holds one model in one memory that grows.
 *
 *   at = edge_room(n_bytes)        0: out of memory
 *   put the bytes of a .edge file at `at`
 *   edge_pack(0)                   leaves portable files as they are; else loading packs them for vectors
 *   edge_load(at, n_bytes)         0 or a negative code: those of ert.h, and two more below
 *   edge_tensor(i)                 inputs, then outputs; address of a `tensor`
 *   edge_run(0)
 *
 * A streamed input has no memory: each row goes where edge_next_row says, then edge_push(0) takes it. With `hooked` the
 * module calls edge.event before and after each call of a kernel. */
#include "ert_web.h"

#if defined(__wasm_relaxed_simd__)
#include <wasm_simd128.h>
#endif

enum { PAGE_SHIFT = 16, PACK_ALIGN = 64 };

typedef struct {
  int32_t n_inputs, n_outputs, n_steps, streamed;
  uint32_t arena_bytes, packed_bytes;
} about;

typedef struct {
  uint32_t data, bytes;
  int32_t rank, dtype, zero_point;
  float scale;
  int32_t dims[ERT_MAX_RANK];
} tensor;

extern uint8_t __heap_base; /* the linker's: the first byte after stack and data */

static struct {
  uint64_t next, limit; /* of the memory: the first free byte, and where the caller wants it to end */
  ert_model model;
  ert_session session;
  int loaded, as_is;
  uint32_t packed_bytes;
  about about;
  tensor tensor;
} own = {.limit = (uint64_t)1 << 32};

__attribute__((import_module("edge"), import_name("event"))) void edge_event(int32_t step, int32_t done,
                                                                             const void *out, int32_t out_bytes);

EXPORT(edge_limit) void edge_limit(uint32_t bytes) { own.limit = bytes; }

EXPORT(edge_room) uint32_t edge_room(uint32_t bytes) {
  const uint64_t free = own.next ? own.next : (uint64_t)(uintptr_t)&__heap_base;
  const uint64_t begin = (free + ERT_ALIGN - 1) & ~(uint64_t)(ERT_ALIGN - 1), end = begin + bytes;
  const uint64_t have = (uint64_t)__builtin_wasm_memory_size(0) << PAGE_SHIFT;
  if (end > own.limit) return 0;
  const size_t more = end > have ? (size_t)((end - have + (1u << PAGE_SHIFT) - 1) >> PAGE_SHIFT) : 0;
  if (more && __builtin_wasm_memory_grow(0, more) == (size_t)-1) return 0;
  own.next = end;
  return (uint32_t)begin;
}

/* A bound input gets a place of its own. */
static int bind(void) {
  if (!own.model.bound_bytes) return ERT_OK;
  const uint32_t at = edge_room(own.model.bound_bytes);
  return at ? ert_bind_input(&own.session, 0, (const void *)(uintptr_t)at) : EDGE_EMEMORY;
}

EXPORT(edge_pack) void edge_pack(int32_t on) { own.as_is = !on; }

/* Brings the layers of a portable file in the order of this module's vectors. Where memory is short, it runs without. */
static void pack(void) {
  own.packed_bytes = 0;
#ifndef EDGE_AS_IS
  const uint64_t bytes = own.as_is ? 0 : ert_packed_bytes(&own.model), next = own.next;
  const uint32_t at = bytes && bytes < UINT32_MAX - PACK_ALIGN ? edge_room((uint32_t)bytes + PACK_ALIGN) : 0;
  const uintptr_t begin = (at + PACK_ALIGN - 1) & ~(uintptr_t)(PACK_ALIGN - 1);
  if (at && ert_pack(&own.model, (void *)begin, (size_t)bytes) == ERT_OK) own.packed_bytes = (uint32_t)bytes;
  else own.next = next;
#endif
}

EXPORT(edge_load) int32_t edge_load(uint32_t at, uint32_t bytes) {
  own.loaded = 0;
  const int code = ert_load(&own.model, (const void *)(uintptr_t)at, bytes);
  if (code) return code;
  pack();
  const uint32_t arena_bytes = ert_arena_bytes(&own.model), arena = edge_room(arena_bytes);
  if (!arena) return EDGE_EMEMORY;
  const int begun = ert_begin(&own.session, &own.model, (void *)(uintptr_t)arena, arena_bytes);
  const int bound = begun ? begun : bind();
  own.loaded = bound == ERT_OK;
  return bound;
}

ert_session *edge_session(void) { return own.loaded ? &own.session : NULL; }

EXPORT(edge_check) int32_t edge_check(uint32_t at, uint32_t bytes) {
  return ert_check((const void *)(uintptr_t)at, bytes);
}

EXPORT(edge_about) const about *edge_about(void) {
  const ert_model *m = &own.model;
  own.about = (about){m->n_inputs, m->n_outputs, m->n_steps, m->streamed, m->arena_bytes, own.packed_bytes};
  return own.loaded ? &own.about : NULL;
}

EXPORT(edge_tensor) const tensor *edge_tensor(int32_t index) {
  if (!own.loaded) return NULL;
  ert_tensor t;
  const int32_t n = own.model.n_inputs;
  if (index < n ? ert_input(&own.session, index, &t) : ert_output(&own.session, index - n, &t)) return NULL;
  own.tensor = (tensor){(uint32_t)(uintptr_t)t.data, t.bytes, t.rank, (int32_t)t.dtype, t.zero_point, t.scale, {0}};
  for (int32_t i = 0; i < t.rank; i++) own.tensor.dims[i] = t.dims[i];
  return &own.tensor;
}

static void tell(void *context, const ert_event *e) {
  (void)context;
  edge_event(e->step, e->done, e->out, e->out_bytes);
}

EXPORT(edge_run) int32_t edge_run(int32_t hooked) {
  return own.loaded ? ert_run_hooked(&own.session, hooked ? tell : NULL, NULL) : EDGE_ESTATE;
}

EXPORT(edge_next_row) uint32_t edge_next_row(int32_t hooked) {
  return own.loaded ? (uint32_t)(uintptr_t)ert_next_row_hooked(&own.session, hooked ? tell : NULL, NULL) : 0;
}

EXPORT(edge_push) int32_t edge_push(int32_t hooked) {
  if (!own.loaded) return EDGE_ESTATE;
  ert_hook *hook = hooked ? tell : NULL;
  const int sliding = own.model.streamed == 2;
  return sliding ? ert_push_frames_hooked(&own.session, NULL, 1, hook, NULL)
                 : ert_push_rows_hooked(&own.session, NULL, 1, hook, NULL);
}

EXPORT(edge_reset) int32_t edge_reset(void) {
  if (!own.loaded) return EDGE_ESTATE;
  ert_reset(&own.session);
  return ERT_OK;
}

EXPORT(edge_message) const char *edge_message(int32_t code) {
  if (code == EDGE_EMEMORY) return "the memory cannot grow by what the model needs";
  if (code == EDGE_ESTATE) return "no model is loaded";
  return ert_message(code);
}

#if defined(__wasm_relaxed_simd__)
/* Pairs of a signed item and one of 0..127: the largest sums of both signs, then others. */
static const int8_t corners[][2] = {{-128, 127}, {127, 127}, {-128, 0}, {-1, 127}, {0, 127},
                                    {1, 1},      {-127, 64}, {77, 100}, {-77, 99}};
enum { N_CORNERS = sizeof corners / sizeof corners[0], PROBE_ROUNDS = 512 };

/* Items of round `r`: every corner next to every other one. */
static const int8_t *corner(int32_t r, int32_t i) {
  return corners[(i & 1 ? r / N_CORNERS + (i >> 1) : r) % N_CORNERS];
}

static int round_is_exact(int32_t r, int32_t base) {
  volatile int8_t a[16], b[16];
  volatile int32_t sums[4];
  for (int32_t i = 0; i < 16; i++) {
    a[i] = corner(r, i)[0];
    b[i] = corner(r, i)[1];
  }
  const v128_t va = wasm_v128_load((const void *)a), vb = wasm_v128_load((const void *)b);
  wasm_v128_store((void *)sums, wasm_i32x4_relaxed_dot_i8x16_i7x16_add(va, vb, wasm_i32x4_splat(base)));
  int exact = 1;
  for (int32_t k = 0; k < 4; k++) {
    int32_t sum = base;
    for (int32_t i = 4 * k; i < 4 * k + 4; i++) sum += a[i] * b[i];
    exact &= sum == sums[k];
  }
  return exact;
}

/* 1 where the engine's dot product of bytes is exact whenever the second factors lie in 0..127: kernels rely on it. */
EXPORT(edge_probe) int32_t edge_probe(void) {
  int exact = 1;
  for (int32_t r = 0; r < PROBE_ROUNDS; r++) exact &= round_is_exact(r, r * 1000003);
  return exact;
}
#else
EXPORT(edge_probe) int32_t edge_probe(void) { return 1; }
#endif
