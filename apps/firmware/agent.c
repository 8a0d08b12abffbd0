/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "board.h"
#include "ert.h"
#include "link.h"

enum { ARENA_PAINT = 0xa7, MAX_RUNS = 32 };

extern const uint8_t model_begin[], model_end[];

__attribute__((section(".arena"), aligned(ERT_ALIGN))) static uint8_t arena[ARENA_BYTES];

static ert_model model;
static ert_session session;
static int32_t loaded;
static uint8_t received[LINK_WIRE];
static uint8_t frame[LINK_RAW];
static int32_t frame_bytes;

typedef void work_fn(void *context);

static uint32_t model_bytes(void) { return (uint32_t)((uintptr_t)model_end - (uintptr_t)model_begin); }

static void begin(int32_t kind) {
  frame[0] = (uint8_t)kind;
  frame[1] = received[1];
  frame_bytes = LINK_HEAD;
}

static void put8(uint32_t x) { frame[frame_bytes++] = (uint8_t)x; }

static void put16(uint32_t x) {
  put8(x & 0xff);
  put8(x >> 8 & 0xff);
}

static void put32(uint32_t x) {
  put16(x & 0xffff);
  put16(x >> 16);
}

static void put_bytes(const uint8_t *bytes, int32_t n) {
  for (int32_t i = 0; i < n; i++) put8(bytes[i]);
}

static void send(void) {
  put16(link_crc(frame, frame_bytes));
  link_encode(frame, frame_bytes, uart_put);
}

static uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Ticks of work(context), the two reads of the timer included: measuring nothing gives what to subtract. */
__attribute__((noinline)) static uint32_t measure(work_fn *work, void *context) {
  const uint32_t start = timer_now();
  work(context);
  return timer_now() - start;
}

static void work_none(void *context) { (void)context; }

static void work_load(void *context) {
  int *err = context;
  *err = ert_load(&model, model_begin, model_bytes());
  if (*err == ERT_OK) *err = ert_begin(&session, &model, arena, sizeof arena);
}

static void work_run(void *context) {
  (void)context;
  ert_run(&session);
}

typedef struct {
  uint32_t start, ticks;
  int32_t quiet;
} stopwatch;

static void on_step(void *context, const ert_event *event) {
  stopwatch *w = context;
  const uint32_t now = timer_now();
  w->ticks = now - w->start;
  w->start = now;
  if (!event->done || w->quiet) return;
  begin(AGENT_TICKS);
  put32((uint32_t)event->step);
  put32(w->ticks);
  send();
}

/* Ticks of a step that does nothing. The pointer is volatile so that the call is made as the runtime makes it. */
static uint32_t empty_step(void) {
  ert_hook *volatile hook = on_step;
  stopwatch w = {0, 0, 1};
  ert_event event = {0, 0, 0, 0};
  hook(&w, &event);
  event.done = 1;
  hook(&w, &event);
  return w.ticks;
}

static int on_hello(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  put8(AGENT_PROTOCOL);
  put8(ERT_VERSION_MAJOR);
  put8(ERT_VERSION_MINOR);
  put8(0);
  put16((uint32_t)model.n_inputs);
  put16((uint32_t)model.n_outputs);
  put16(ERT_FORMAT_MAJOR);
  put16(ERT_FORMAT_MINOR);
  put32(REGISTER(0xe000ed00));
  put32(model_bytes());
  put32(sizeof arena);
  put32(TIMER_HZ);
  put32(measure(work_none, 0));
  put32(empty_step());
  put32(LINK_CHUNK);
  return 0;
}

static int on_load(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  if (model_bytes() == 0) return AGENT_EMODEL;
  for (uint32_t i = 0; i < sizeof arena; i++) arena[i] = ARENA_PAINT;
  int err = 0;
  model = (ert_model){0};
  const uint32_t ticks = measure(work_load, &err);
  loaded = err == ERT_OK;
  put32((uint32_t)err);
  put32(ert_arena_bytes(&model));
  put32(sizeof arena);
  put32(ticks);
  put32((uint32_t)model.n_steps);
  put32((uint32_t)model.n_inputs);
  put32((uint32_t)model.n_outputs);
  return 0;
}

/* Whether n bytes from `offset` lie in the tensor. */
static int inside(const ert_tensor *t, uint32_t offset, uint32_t n) {
  return offset <= t->bytes && n <= t->bytes - offset;
}

static int on_write(const uint8_t *p, int32_t n) {
  ert_tensor t;
  const int err = ert_input(&session, p[0], &t);
  if (err) return err;
  const uint32_t offset = get32(p + 1), bytes = (uint32_t)n - 5;
  if (!inside(&t, offset, bytes)) return AGENT_EARGUMENT;
  for (uint32_t i = 0; i < bytes; i++) ((uint8_t *)t.data)[offset + i] = p[5 + i];
  return 0;
}

static int on_run(const uint8_t *p, int32_t n) {
  (void)n;
  const uint32_t runs = get32(p);
  if (runs < 1 || runs > MAX_RUNS) return AGENT_EARGUMENT;
  for (uint32_t i = 0; i < runs; i++) put32(measure(work_run, 0));
  return 0;
}

static int on_profile(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  stopwatch w = {0, 0, 0};
  ert_run_hooked(&session, on_step, &w);
  begin(AGENT_PROFILE | AGENT_ANSWER);
  put32((uint32_t)model.n_steps);
  return 0;
}

static int on_read(const uint8_t *p, int32_t n) {
  (void)n;
  ert_tensor t;
  const int err = ert_output(&session, p[0], &t);
  if (err) return err;
  const uint32_t offset = get32(p + 1), bytes = (uint32_t)p[5] | (uint32_t)p[6] << 8;
  if (bytes > LINK_CHUNK || !inside(&t, offset, bytes)) return AGENT_EARGUMENT;
  put_bytes((const uint8_t *)t.data + offset, (int32_t)bytes);
  return 0;
}

typedef struct {
  int32_t step, bytes;
} wanted;

static void send_chunk(const uint8_t *bytes, int32_t offset, int32_t n) {
  begin(AGENT_BYTES);
  put32((uint32_t)offset);
  put_bytes(bytes + offset, n);
  send();
}

static void on_wanted(void *context, const ert_event *event) {
  wanted *w = context;
  if (!event->done || event->step != w->step) return;
  w->bytes = event->out_bytes;
  for (int32_t at = 0; at < w->bytes; at += LINK_CHUNK)
    send_chunk(event->out, at, w->bytes - at < LINK_CHUNK ? w->bytes - at : LINK_CHUNK);
}

static int on_step_output(const uint8_t *p, int32_t n) {
  (void)n;
  wanted w = {(int32_t)get32(p), 0};
  if (w.step < 0 || w.step >= model.n_steps) return AGENT_EARGUMENT;
  ert_run_hooked(&session, on_wanted, &w);
  begin(AGENT_STEP | AGENT_ANSWER);
  put32((uint32_t)w.bytes);
  return 0;
}

static int on_marks(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  uint32_t used = sizeof arena;
  while (used > 0 && arena[used - 1] == ARENA_PAINT) used--;
  put32(stack_used());
  put32(stack_bytes());
  put32(used);
  put32(sizeof arena);
  return 0;
}

static int on_reset(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  send();
  board_reset();
}

typedef struct {
  int16_t least, most; /* payload bytes */
  int16_t needs_model;
  int (*answer)(const uint8_t *payload, int32_t n);
} request;

static const request requests[] = {
    [AGENT_HELLO] = {0, 0, 0, on_hello},
    [AGENT_LOAD] = {0, 0, 0, on_load},
    [AGENT_WRITE] = {5, 5 + LINK_CHUNK, 1, on_write},
    [AGENT_RUN] = {4, 4, 1, on_run},
    [AGENT_PROFILE] = {0, 0, 1, on_profile},
    [AGENT_READ] = {7, 7, 1, on_read},
    [AGENT_STEP] = {4, 4, 1, on_step_output},
    [AGENT_MARKS] = {0, 0, 0, on_marks},
    [AGENT_RESET] = {0, 0, 0, on_reset},
};

/* Bytes of head and payload in `received`, or negative LINK_E. Empty frames are skipped: they end a broken one. */
static int32_t receive(void) {
  int32_t n = 0;
  for (uint8_t byte = uart_get(); byte != 0 || n == 0; byte = uart_get()) {
    if (byte == 0) continue;
    if (n < LINK_WIRE) received[n] = byte;
    n += n <= LINK_WIRE;
  }
  return n > LINK_WIRE ? LINK_ELONG : link_decode(received, n);
}

static int answer(int32_t n) {
  const int32_t kind = received[0], payload = n - LINK_HEAD;
  if (kind < 1 || kind >= (int32_t)(sizeof requests / sizeof requests[0])) return AGENT_EKIND;
  const request *r = &requests[kind];
  if (payload < r->least || payload > r->most) return AGENT_EARGUMENT;
  if (r->needs_model && !loaded) return AGENT_ELOADED;
  begin(kind | AGENT_ANSWER);
  return r->answer(received + LINK_HEAD, payload);
}

static void send_error(int32_t code) {
  begin(AGENT_ERROR);
  put32((uint32_t)code);
  put8(received[0]);
  send();
}

void agent_fault(uint32_t cfsr, uint32_t pc) {
  uart_put(0); /* ends a frame that was being sent */
  begin(AGENT_FAULT);
  put32((uint32_t)AGENT_EFAULT);
  put32(cfsr);
  put32(pc);
  send();
}

static void serve(void) {
  int32_t err = receive();
  if (err < 0) received[0] = received[1] = 0;
  else err = answer(err);
  if (err < 0) send_error(err);
  else send();
}

void agent_main(void) {
  uart_begin();
  timer_begin();
  begin(AGENT_BOOT);
  put8(AGENT_PROTOCOL);
  send();
  for (;;) serve();
}
