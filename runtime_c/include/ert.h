/* SPDX-License-Identifier: Apache-2.0 */
/* edgesdk runtime: executes a .edge file where it lies. No allocation, no globals, no recursion.
 *
 *   ert_model m; ert_session s;
 *   int err = ert_load(&m, bytes, n_bytes);
 *   err = ert_begin(&s, &m, arena, arena_bytes);      arena: ert_arena_bytes(&m) bytes, 16-byte aligned
 *   ert_tensor in, out;
 *   err = ert_input(&s, 0, &in);    fill in.data
 *   err = ert_run(&s);
 *   err = ert_output(&s, 0, &out);  read out.data, valid until the next ert_run
 *
 * Every function returns 0 or a negative ERT_E code. Input memory may be overwritten by ert_run. */
#ifndef ERT_H
#define ERT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ERT_VERSION_MAJOR 0
#define ERT_VERSION_MINOR 1
#define ERT_FORMAT_MAJOR 1
#define ERT_FORMAT_MINOR 0
#define ERT_ALIGN 16
#define ERT_MAX_RANK 6
#define ERT_MAX_INPUTS 4

enum {
  ERT_OK = 0,
  ERT_ETRUNCATED = -1, /* fewer bytes than the header says */
  ERT_EMAGIC = -2,     /* not a .edge file */
  ERT_EVERSION = -3,   /* written for another major or a newer minor version */
  ERT_EFEATURE = -4,   /* needs a feature that this runtime has not got */
  ERT_EALIGN = -5,     /* the file or the arena is not 16-byte aligned */
  ERT_ELAYOUT = -6,    /* an offset or a size points outside */
  ERT_EKERNEL = -7,    /* needs a kernel that is not in this build */
  ERT_EISA = -8,       /* packed for an instruction set that this build has not got */
  ERT_EPARAM = -9,     /* the parameters of a step contradict its views */
  ERT_EARENA = -10,    /* arena smaller than ert_arena_bytes(), or other memory than was asked for */
  ERT_ECHECKSUM = -11, /* the bytes were damaged */
  ERT_EINDEX = -12,    /* no input or output of that number */
  ERT_EROWS = -13,     /* ert_run on a streamed input, or ert_push_rows: no streamed input, or more rows than it has */
  ERT_EBOUND = -14     /* ert_run before ert_bind_input, or ert_bind_input of an input that lies in the arena */
};

typedef enum {
  ERT_F32 = 0,
  ERT_F16 = 1,
  ERT_S8 = 2,
  ERT_U8 = 3,
  ERT_S16 = 4,
  ERT_S32 = 5,
  ERT_S64 = 6,
  ERT_BOOL = 7
} ert_dtype;

/* A loaded model: pointers into the file, which must stay where it is. */
typedef struct {
  const uint8_t *bytes;
  const int32_t *steps;
  const int32_t *stages;
  const int32_t *tensors; /* inputs, then outputs */
  const int32_t *variables;
  const uint8_t *weights;
  int32_t n_steps, n_stages, n_inputs, n_outputs, n_variables;
  int32_t streamed; /* 1 where the input arrives row by row, 2 where it slides frame by frame, else 0 */
  uint32_t file_bytes, weights_bytes, arena_bytes, steps_bytes;
  uint32_t bound_bytes; /* of the input that is read where the app has it; 0 where there is none */
} ert_model;

typedef struct ert_threads ert_threads;

typedef struct {
  const ert_model *model;
  uint8_t *arena;
  int32_t at;   /* next byte of the first stage's program, while rows arrive */
  int32_t rows; /* rows or frames of input that arrived */
  const uint8_t *bound;
  const ert_threads *threads; /* NULL: one */
} ert_session;

/* An input or output: real value = scale * (q - zero_point); scale is 0 where not quantised. A streamed input has
 * no data: it is pushed. Nor has a bound one before ert_bind_input. */
typedef struct {
  void *data;
  uint32_t bytes;
  const int32_t *dims;
  int32_t rank;
  ert_dtype dtype;
  float scale;
  int32_t zero_point;
} ert_tensor;

/* What a hook sees: once before each call of a kernel (done 0), once after it (done 1). `out` is what that call
 * writes: the whole output of a plain step, one row in a stage of rows, rows in order. */
typedef struct {
  int32_t step;
  int32_t done;
  const void *out;
  int32_t out_bytes;
} ert_event;

typedef void ert_hook(void *context, const ert_event *event);

/* Checks every offset, size and enum once; time grows with the number of steps, not with the weights. */
int ert_load(ert_model *m, const void *bytes, size_t n_bytes);

/* Checks the CRC-32 over all bytes: for when a model is stored, not at every start. */
int ert_check(const void *bytes, size_t n_bytes);

/* A portable model (convert --portable) runs with this processor's vector instructions once it is packed: between ert_load
 * and ert_begin, into memory that stays as long as the model is used, as the file does.
 *
 *   void *memory = NULL;
 *   size_t bytes = ert_packed_bytes(&m);              0: nothing to gain here
 *   if (bytes) ert_pack(&m, memory, bytes);           memory: 16-byte aligned, best at the start of a cache line
 *
 * Layers get weights in the order of the vector kernels, other steps the kernels alone; steps that no vector kernel
 * computes stay as they are, and so do numbers: integers exactly. ert_arena_bytes() may be more afterwards. Time and bytes
 * grow with the weights. */
size_t ert_packed_bytes(const ert_model *m);

/* ERT_EARENA for less memory than that, ERT_EALIGN: the model is as it was. */
int ert_pack(ert_model *m, void *memory, size_t bytes);

static inline uint32_t ert_arena_bytes(const ert_model *m) { return m->arena_bytes; }

/* A session in this arena. Variables (state that a run leaves to the next one) get their first contents, in time
 * proportional to their bytes; the rest of the arena is left as it is. */
int ert_begin(ert_session *s, const ert_model *m, void *arena, size_t arena_bytes);

/* The session as ert_begin made it: variables hold their first contents, and what was pushed is forgotten. */
void ert_reset(ert_session *s);

int ert_input(const ert_session *s, int index, ert_tensor *t);
int ert_output(const ert_session *s, int index, ert_tensor *t);
int ert_run(ert_session *s);
int ert_run_hooked(ert_session *s, ert_hook *hook, void *context);

/* Gives the next n_rows rows of a streamed input, each dims[2] * dims[3] items, and computes what they allow.
 * 1 when the last row arrived and the outputs are valid, 0 when more rows are needed. After 1 or an error the next
 * row is the first of a new input. `rows` may be NULL for one row that lies already where ert_next_row said. */
int ert_push_rows(ert_session *s, const void *rows, int32_t n_rows);
int ert_push_rows_hooked(ert_session *s, const void *rows, int32_t n_rows, ert_hook *hook, void *context);

/* Gives the next n_frames frames (rows of dims[2] * dims[3] items) of a sliding input and computes only what they add.
 * 1 when the outputs are new: those of the window that ends with the last frame, dims[1] frames long; 0 when they are
 * not (yet). ert_begin starts again with an empty window. `frames` may be NULL as `rows` may. */
int ert_push_frames(ert_session *s, const void *frames, int32_t n_frames);
int ert_push_frames_hooked(ert_session *s, const void *frames, int32_t n_frames, ert_hook *hook, void *context);

/* Where in the arena the next row or frame belongs, so that a camera or a link writes it there; valid until the next
 * push. Computes what needs no row: before the first one the outputs of the input before it are lost. NULL where the
 * input is neither streamed nor sliding. */
void *ert_next_row(ert_session *s);
void *ert_next_row_hooked(ert_session *s, ert_hook *hook, void *context);

/* Where the app has input `index` of a model that was written to read it in place (a frame buffer, flash): `data`,
 * aligned to its items, is read by ert_run and never written. Stays bound until the next ert_begin. */
int ert_bind_input(ert_session *s, int index, const void *data);

/* Threads: a model that was written for them says which steps may compute their rows in any order, and in what parts.
 *
 * The app brings the threads (port/ert_pool.h has some): `parallel` calls part(context, i, worker) once for every i in
 * [0, n), in any order and at the same time, and returns when all have returned. `worker` is a number below the count
 * of threads that no two of them have at once. What is computed does not depend on how the parts are shared out. */
typedef void ert_part(void *context, int32_t i, int32_t worker);
typedef void ert_parallel(void *pool, ert_part *part, void *context, int32_t n);

struct ert_stage;

/* Kept by the app as long as the session uses it. */
struct ert_threads {
  ert_parallel *parallel;
  void *pool;
  uint8_t *scratch;
  uint32_t scratch_bytes; /* of each thread but the first */
  int (*split)(const ert_session *s, const struct ert_stage *stage, int32_t step, const int32_t *words);
};

/* Memory that n threads need beside the arena. */
size_t ert_threads_bytes(const ert_model *m, int32_t n);

/* Shares steps out among n threads from now on, until the next ert_begin. A model that was not written for them runs on
 * one as before. `scratch`: ert_threads_bytes(m, n) bytes, 16-byte aligned. */
int ert_use_threads(ert_session *s, ert_threads *t, int32_t n, ert_parallel *parallel, void *pool, void *scratch,
                    size_t scratch_bytes);

/* One sentence for an ERT_E code. */
const char *ert_message(int code);

#ifdef __cplusplus
}
#endif
#endif
