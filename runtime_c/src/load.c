/* SPDX-License-Identifier: Apache-2.0 */
#include "step.h"

typedef struct {
  uint32_t id, offset, bytes;
} section;

/* Short factors first: some cores have no product of 64 bits. */
int32_t ert_product(int32_t a, int32_t b) {
  if ((uint32_t)(a | b) <= INT16_MAX) return a * b;
  const int64_t p = (int64_t)a * b;
  return p > INT32_MAX ? INT32_MAX : (int32_t)p;
}

static uint32_t word_at(const uint8_t *bytes, uint32_t offset) {
  return *(const uint32_t *)(const void *)(bytes + offset);
}

static int check_header(const uint8_t *b, size_t n) {
  if (n < ERT_HEADER_BYTES) return ERT_ETRUNCATED;
  if (((uintptr_t)b & (ERT_ALIGN - 1)) != 0) return ERT_EALIGN;
  if (word_at(b, 0) != 0x45474445u) return ERT_EMAGIC; /* "EDGE" */
  if ((word_at(b, 4) & 0xffff) != ERT_FORMAT_MAJOR || word_at(b, 4) >> 16 > ERT_FORMAT_MINOR) return ERT_EVERSION;
  if (word_at(b, 8) < ERT_HEADER_BYTES || word_at(b, 8) > n || word_at(b, 8) > INT32_MAX) return ERT_ETRUNCATED;
  if ((word_at(b, 16) & ~(uint32_t)ERT_FEATURES) != 0) return ERT_EFEATURE;
  return word_at(b, 24) >= ERT_TABLE_BIT ? ERT_ELAYOUT : ERT_OK;
}

/* The section of that id, zero bytes long where there is none; negative for a table that points outside. */
static int find_section(const ert_model *m, uint32_t id, section *found) {
  const uint32_t n = word_at(m->bytes, 28);
  *found = (section){id, 0, 0};
  if (n > (m->file_bytes - ERT_HEADER_BYTES) / ERT_SECTION_BYTES) return ERT_ELAYOUT;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t at = ERT_HEADER_BYTES + i * ERT_SECTION_BYTES;
    if (word_at(m->bytes, at) != id) continue;
    *found = (section){id, word_at(m->bytes, at + 4), word_at(m->bytes, at + 8)};
    const int inside = found->offset <= m->file_bytes && found->bytes <= m->file_bytes - found->offset;
    return inside && (found->offset & 3) == 0 ? ERT_OK : ERT_ELAYOUT;
  }
  return ERT_OK;
}

/* rows * row_bytes * batch bytes from `offset` lie in [0, limit). */
static int lies_in(uint32_t offset, int32_t rows, int32_t row_bytes, int32_t batch, uint32_t limit) {
  if (rows < 1 || row_bytes < 1 || batch < 1) return 0;
  const int32_t bytes = ert_product(ert_product(rows, row_bytes), batch); /* limits are below INT32_MAX */
  return (uint32_t)bytes <= limit && offset <= limit - (uint32_t)bytes;
}

/* A row table: every row lies in the arena. */
static int check_table(const ert_model *m, const ert_step *s, const int32_t *view) {
  const int32_t offset = view[0] & ~ERT_TABLE_BIT, rows = view[1], row_bytes = view[2];
  if (offset < 0 || rows < 1 || row_bytes < 1 || s->batch != 1 || !ert_blob_ok(s, offset, rows, 2)) return ERT_ELAYOUT;
  if ((uint32_t)row_bytes > m->arena_bytes) return ERT_ELAYOUT;
  const uint16_t *table = (const void *)(m->weights + offset);
  const uint32_t last = (m->arena_bytes - (uint32_t)row_bytes) / ERT_ALIGN;
  for (const uint16_t *end = table + rows; table < end; table++)
    if (*table > last) return ERT_ELAYOUT;
  return ERT_OK;
}

static int check_view(const ert_model *m, const ert_step *s, const int32_t *view, int is_input) {
  const int32_t where = view[0] & ERT_BOUND_BITS, offset = view[0] & ~ERT_BOUND_BITS;
  if (offset < 0 || view[3] < 0 || view[3] >= view[2]) return ERT_ELAYOUT;
  if (where == ERT_TABLE_BIT) return check_table(m, s, view);
  if (where != 0 && !is_input) return ERT_ELAYOUT;
  const uint32_t limit = where == 0 ? m->arena_bytes : where == ERT_BOUND_BITS ? m->bound_bytes : m->weights_bytes;
  const int32_t batch = where == ERT_CONSTANT_BIT ? 1 : s->batch;
  return lies_in((uint32_t)offset, view[1], view[2], batch, limit) ? ERT_OK : ERT_ELAYOUT;
}

/* Kernels that keep offsets in scratch rely on them: no output may lie on it. (What else overlaps gives wrong numbers,
 * not undefined behaviour: copies are memmove, and no pointer to an output is restrict.) Both lie in the arena, which
 * is shorter than ERT_TABLE_BIT: no sum overflows. */
static int lies_on(int32_t at, int32_t bytes, const ert_step *s, int32_t scratch_bytes) {
  return at < s->scratch_offset + scratch_bytes && s->scratch_offset < at + bytes;
}

static int check_scratch(const ert_model *m, const ert_step *s, int32_t bytes) {
  if (s->scratch_offset < 0 || (s->scratch_offset & (ERT_ALIGN - 1)) != 0 || bytes < 0) return ERT_ELAYOUT;
  if (bytes == 0) return ERT_OK;
  if ((uint32_t)s->scratch_offset + (uint32_t)bytes > m->arena_bytes) return ERT_ELAYOUT;
  const int32_t rows = s->out[1], row_bytes = s->out[2];
  if ((s->out[0] & ERT_TABLE_BIT) == 0)
    return lies_on(s->out[0], rows * row_bytes * s->batch, s, bytes) ? ERT_ELAYOUT : ERT_OK;
  const uint16_t *table = (const void *)(m->weights + (s->out[0] & ~ERT_TABLE_BIT));
  for (const uint16_t *end = table + rows; table < end; table++)
    if (lies_on(ERT_ALIGN * *table, row_bytes, s, bytes)) return ERT_ELAYOUT;
  return ERT_OK;
}

static int check_step(const ert_model *m, const int32_t *words, uint32_t isas) {
  if (ert_step_packed(words)) return ERT_ELAYOUT; /* that is said of steps in memory, by ert_pack */
  const ert_step s = ert_step_at(m, words);
  const ert_kernel *k = ert_find_kernel(s.number);
  if (k == NULL) return ERT_EKERNEL;
  if (k->run == NULL || !(isas >> k->isa & 1)) return ERT_EISA;
  if (s.n_in < 1 || s.n_in > ERT_MAX_INPUTS || s.n_params != k->n_params || s.rows < 1) return ERT_EPARAM;
  int err = check_view(m, &s, s.out, 0);
  for (int32_t i = 0; i < s.n_in && !err; i++) err = check_view(m, &s, s.in + ERT_VIEW_WORDS * i, 1);
  if (err) return err;
  if (!k->check(&s)) return ERT_EPARAM;
  return check_scratch(m, &s, k->scratch(s.params));
}

static int load_steps(ert_model *m) {
  section found;
  int err = find_section(m, ERT_SECTION_STEPS, &found);
  if (err) return err;
  m->steps = (const int32_t *)(const void *)(m->bytes + found.offset);
  m->steps_bytes = found.bytes;
  const uint32_t n_words = found.bytes / 4, isas = ert_isas();
  uint32_t at = 0;
  for (; at < n_words && !err; m->n_steps++) {
    const uint32_t n = (uint32_t)ert_step_words(m->steps[at]);
    if (n > n_words - at) return ERT_ELAYOUT;
    err = check_step(m, m->steps + at, isas);
    at += n;
  }
  return err;
}

/* The program, the step table and the counters of a stage of rows lie where they may; `words` is its first step. */
static int check_rows(const ert_model *m, const ert_stage *g, const int32_t *words) {
  const ert_step blobs = {.weights_bytes = m->weights_bytes};
  const uint32_t end = (uint32_t)g->counters + 2u * (uint32_t)(g->count + (g->kind == ERT_STAGE_ROWS));
  if (g->count >= ERT_AWAIT_ROW || !ert_blob_ok(&blobs, g->program, g->program_bytes, 1) ||
      !ert_blob_ok(&blobs, g->steps, g->kind == ERT_STAGE_FRAMES ? 2 * g->count : g->count, 2))
    return ERT_ELAYOUT;
  if (g->counters < 0 || (g->counters & 1) != 0 || end > m->arena_bytes) return ERT_ELAYOUT;
  const uint16_t *at = (const void *)(m->weights + g->steps);
  for (int32_t i = 0; i < g->count; i++, words += ert_step_words(words[0])) {
    const ert_step s = ert_step_at(m, words);
    if (m->steps + at[i] != words || s.batch != 1 || s.rows > UINT16_MAX) return ERT_ELAYOUT;
  }
  return ERT_OK;
}

/* Stages name every step once, in order. */
static int load_stages(ert_model *m) {
  section found;
  int err = find_section(m, ERT_SECTION_STAGES, &found);
  if (err) return err;
  m->stages = (const int32_t *)(const void *)(m->bytes + found.offset);
  m->n_stages = (int32_t)(found.bytes / (4 * ERT_STAGE_WORDS));
  const int32_t *words = m->steps;
  int32_t next = 0;
  for (int32_t i = 0; i < m->n_stages && !err; i++) {
    const ert_stage *g = (const void *)(m->stages + i * ERT_STAGE_WORDS);
    if (!ert_within(g->kind, ERT_STAGE_PLAIN, ERT_STAGE_FRAMES)) return ERT_EFEATURE;
    if (g->kind == ERT_STAGE_FRAMES && (i > 0 || m->streamed != ERT_FRAMES)) return ERT_ELAYOUT;
    if (g->first != next || !ert_within(g->count, 1, m->n_steps - next)) return ERT_ELAYOUT;
    if (g->kind != ERT_STAGE_PLAIN) err = check_rows(m, g, words);
    next += g->count;
    for (int32_t k = 0; k < g->count; k++) words += ert_step_words(words[0]);
  }
  if (!err && m->streamed && (m->n_stages < 1 || m->stages[0] != m->streamed)) err = ERT_ELAYOUT;
  return err ? err : next == m->n_steps ? ERT_OK : ERT_ELAYOUT;
}

static int item_bytes(int32_t dtype) {
  static const uint8_t sizes[] = {4, 2, 1, 1, 2, 4, 8, 1};
  return ert_within(dtype, ERT_F32, ERT_BOOL) ? sizes[dtype] : 0;
}

/* A streamed input has no place of its own: its first word names the table of its rows, dims[1] of them. */
static int check_streamed(const ert_model *m, const int32_t *t, int32_t item) {
  const int32_t row_bytes = ert_product(ert_product(item, t[8]), t[9]);
  const int32_t view[ERT_VIEW_WORDS] = {t[0] | ERT_TABLE_BIT, t[7], row_bytes};
  const ert_step s = {.batch = 1, .weights_bytes = m->weights_bytes};
  return t[2] == 4 && t[6] == 1 && ert_within(t[0], 0, ERT_TABLE_BIT - 1) ? check_table(m, &s, view) : ERT_ELAYOUT;
}

/* A sliding input lies in a ring of rows. */
static int check_frames(const ert_model *m, const int32_t *t, int32_t item) {
  const int32_t ring = t[5] >> 8, row_bytes = ert_product(ert_product(item, t[8]), t[9]);
  if ((t[5] & 0xff) != ERT_FRAMES || t[2] != 4 || t[6] != 1 || t[7] > ERT_WRAP || t[0] < 0) return ERT_ELAYOUT;
  return lies_in((uint32_t)t[0], ring, row_bytes, 1, m->arena_bytes) ? ERT_OK : ERT_ELAYOUT;
}

/* Tensor record: offset, dtype, rank, scale, zero point, how it arrives, dims[6]. Its bytes; 0 for no such tensor. */
static int32_t tensor_bytes(const int32_t *t) {
  int32_t n = item_bytes(t[1]);
  if (!ert_within(t[2], 0, ERT_MAX_RANK)) return 0;
  for (int32_t i = 0; i < t[2]; i++) n = t[6 + i] < 1 ? 0 : ert_product(n, t[6 + i]);
  return n;
}

static int check_tensor(const ert_model *m, const int32_t *t, int is_input) {
  const int32_t item = item_bytes(t[1]), n = tensor_bytes(t);
  if (n == 0 || (t[5] != ERT_RESIDENT && !is_input)) return ERT_ELAYOUT;
  if (t[5] == ERT_ROWS) return check_streamed(m, t, item);
  if (t[5] == ERT_BOUND) return n < INT32_MAX ? ERT_OK : ERT_ELAYOUT;
  if (t[5] != ERT_RESIDENT) return check_frames(m, t, item);
  if (t[0] < 0 || (t[0] & (item - 1)) != 0) return ERT_ELAYOUT;
  return (uint32_t)t[0] + (uint32_t)n <= m->arena_bytes ? ERT_OK : ERT_ELAYOUT;
}

static int load_tensors(ert_model *m) {
  section found;
  int err = find_section(m, ERT_SECTION_TENSORS, &found);
  if (err) return err;
  const uint32_t counts = word_at(m->bytes, 20);
  m->n_inputs = (int32_t)(counts & 0xffff);
  m->n_outputs = (int32_t)(counts >> 16);
  m->tensors = (const int32_t *)(const void *)(m->bytes + found.offset);
  const int32_t n = m->n_inputs + m->n_outputs;
  if ((uint32_t)n * ERT_TENSOR_WORDS * 4 > found.bytes) return ERT_ELAYOUT;
  for (int32_t i = 0; i < n && !err; i++) err = check_tensor(m, m->tensors + i * ERT_TENSOR_WORDS, i < m->n_inputs);
  for (int32_t i = 0; i < m->n_inputs && !err; i++) m->streamed |= m->tensors[i * ERT_TENSOR_WORDS + 5] & 0xff;
  if (m->streamed && m->n_inputs != 1) return ERT_ELAYOUT;
  if (!err && m->streamed == ERT_BOUND) {
    m->streamed = ERT_RESIDENT;
    m->bound_bytes = (uint32_t)tensor_bytes(m->tensors);
  }
  return err;
}

static int check_variable(const ert_model *m, const int32_t *v) {
  const ert_step blobs = {.weights_bytes = m->weights_bytes};
  if (v[0] < 0 || !lies_in((uint32_t)v[0], 1, v[1], 1, m->arena_bytes)) return ERT_ELAYOUT;
  return v[2] == ERT_NO_BLOB || ert_blob_ok(&blobs, v[2], v[1], 1) ? ERT_OK : ERT_ELAYOUT;
}

static int load_variables(ert_model *m) {
  section found;
  int err = find_section(m, ERT_SECTION_VARIABLES, &found);
  if (err) return err;
  m->variables = (const int32_t *)(const void *)(m->bytes + found.offset);
  m->n_variables = (int32_t)(found.bytes / (4 * ERT_VARIABLE_WORDS));
  for (int32_t i = 0; i < m->n_variables && !err; i++) err = check_variable(m, m->variables + i * ERT_VARIABLE_WORDS);
  return err;
}

int ert_load(ert_model *m, const void *bytes, size_t n_bytes) {
  section weights;
  int err = check_header(bytes, n_bytes);
  if (err) return err;
  *m = (ert_model){.bytes = bytes};
  m->file_bytes = word_at(m->bytes, 8);
  m->arena_bytes = word_at(m->bytes, 24);
  err = find_section(m, ERT_SECTION_WEIGHTS, &weights);
  if (!err && (weights.offset & (ERT_ALIGN - 1)) != 0) err = ERT_ELAYOUT;
  if (err) return err;
  m->weights = m->bytes + weights.offset;
  m->weights_bytes = weights.bytes;
  err = load_tensors(m);
  if (!err) err = load_variables(m);
  if (!err) err = load_steps(m);
  return err ? err : load_stages(m);
}
