/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "board.h"
#include "ert.h"
#include "link.h"

enum { MAX_RUNS = 32, SLIDING = 2 /* ert_model.streamed */ };

extern const uint8_t model_begin[], model_end[];

__attribute__((section(".arena"), aligned(ERT_ALIGN))) static uint8_t arena[ARENA_BYTES];

/* Where a camera would write: the input of a model that reads it in place. */
static uint8_t bound_input[BOUND_BYTES] __attribute__((aligned(ERT_ALIGN)));

static ert_model model;
static ert_session session;
static int32_t loaded;
static uint32_t scale;
static uint8_t paint;
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
  if (*err == ERT_OK && model.bound_bytes) *err = ert_bind_input(&session, 0, bound_input);
}

static void work_run(void *context) {
  (void)context;
  ert_run(&session);
}

/* Ticks of one span in the unit of sums. */
static uint32_t scaled(uint32_t ticks) {
  return scale ? (uint32_t)(((uint64_t)ticks * scale + 0x80000000u) >> 32) : ticks;
}

typedef struct {
  uint32_t sum, calls;
} step_cost;

static step_cost costs[MODEL_STEPS];

typedef struct {
  step_cost *costs;
  uint32_t start, ticks;
} stopwatch;

/* Around each call of a kernel. What the hook itself does lies outside of the two reads of the timer. */
static void on_call(void *context, const ert_event *event) {
  stopwatch *w = context;
  w->ticks = timer_now() - w->start;
  if (event->done) {
    w->costs[event->step].sum += scaled(w->ticks);
    w->costs[event->step].calls++;
  }
  w->start = timer_now();
}

static stopwatch begin_costs(void) {
  for (int32_t i = 0; i < model.n_steps; i++) costs[i] = (step_cost){0, 0};
  return (stopwatch){costs, 0, 0};
}

static void send_costs(void) {
  for (int32_t i = 0; i < model.n_steps; i++) {
    begin(AGENT_COST);
    put32((uint32_t)i);
    put32(costs[i].sum);
    put32(costs[i].calls);
    send();
  }
}

/* Ticks of a call that does nothing. The pointer is volatile so that the hook is called as the runtime calls it. */
static uint32_t empty_call(void) {
  ert_hook *volatile hook = on_call;
  step_cost cost = {0, 0};
  stopwatch w = {&cost, 0, 0};
  ert_event event = {0, 0, 0, 0};
  hook(&w, &event);
  event.done = 1;
  hook(&w, &event);
  return w.ticks;
}

typedef struct {
  int32_t step;
  uint32_t sent;
} wanted;

/* What is being pushed. */
static struct {
  stopwatch watch;
  wanted want;
  uint32_t sum;
  ert_hook *hook;
  void *context;
  uint8_t *place;
  uint32_t row, arrived; /* the next row; its bytes that lie at `place` */
  int ended;
} pushed;

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
  put32(empty_call());
  put32(LINK_CHUNK);
  return 0;
}

static int on_load(const uint8_t *p, int32_t n) {
  (void)n;
  if (model_bytes() == 0) return AGENT_EMODEL;
  scale = get32(p);
  paint = p[4];
  for (uint32_t i = 0; i < sizeof arena; i++) arena[i] = paint;
  int err = 0;
  model = (ert_model){0};
  pushed.row = pushed.arrived = 0;
  const uint32_t ticks = measure(work_load, &err);
  loaded = err == ERT_OK && model.n_steps <= MODEL_STEPS;
  if (err == ERT_OK && !loaded) return AGENT_ESTEPS;
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
  if (model.streamed) return ERT_EROWS;
  const uint32_t offset = get32(p + 1), bytes = (uint32_t)n - 5;
  if (!inside(&t, offset, bytes)) return AGENT_EARGUMENT;
  for (uint32_t i = 0; i < bytes; i++) ((uint8_t *)t.data)[offset + i] = p[5 + i];
  return 0;
}

static int on_run(const uint8_t *p, int32_t n) {
  (void)n;
  const uint32_t runs = get32(p);
  if (runs < 1 || runs > MAX_RUNS) return AGENT_EARGUMENT;
  if (model.streamed) return ERT_EROWS;
  for (uint32_t i = 0; i < runs; i++) put32(measure(work_run, 0));
  return 0;
}

static int on_profile(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  stopwatch w = begin_costs();
  const int err = ert_run_hooked(&session, on_call, &w);
  if (err) return err;
  send_costs();
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

static void send_chunk(const uint8_t *bytes, int32_t offset, int32_t n) {
  begin(AGENT_BYTES);
  put32((uint32_t)offset);
  put_bytes(bytes + offset, n);
  send();
}

static void on_wanted(void *context, const ert_event *event) {
  wanted *w = context;
  if (!event->done || event->step != w->step) return;
  for (int32_t at = 0; at < event->out_bytes; at += LINK_CHUNK)
    send_chunk(event->out, at, event->out_bytes - at < LINK_CHUNK ? event->out_bytes - at : LINK_CHUNK);
  w->sent += (uint32_t)event->out_bytes;
}

static int on_step_output(const uint8_t *p, int32_t n) {
  (void)n;
  wanted w = {(int32_t)get32(p), 0};
  if (w.step < 0 || w.step >= model.n_steps) return AGENT_EARGUMENT;
  const int err = ert_run_hooked(&session, on_wanted, &w);
  if (err) return err;
  begin(AGENT_STEP | AGENT_ANSWER);
  put32(w.sent);
  return 0;
}

static void work_place(void *context) {
  (void)context;
  pushed.place = ert_next_row_hooked(&session, pushed.hook, pushed.context);
}

static void work_push(void *context) {
  (void)context;
  pushed.ended = model.streamed == SLIDING ? ert_push_frames_hooked(&session, NULL, 1, pushed.hook, pushed.context)
                                           : ert_push_rows_hooked(&session, NULL, 1, pushed.hook, pushed.context);
}

static void begin_pushes(int32_t watch) {
  if (model.streamed == SLIDING) ert_reset(&session);
  else session.at = session.rows = 0; /* variables go on from the input before it */
  pushed.watch = begin_costs();
  pushed.want = (wanted){watch, 0};
  pushed.sum = pushed.row = pushed.arrived = 0;
  pushed.hook = watch == AGENT_WATCH_NOTHING ? NULL : watch == AGENT_WATCH_COSTS ? on_call : on_wanted;
  pushed.context = watch == AGENT_WATCH_COSTS ? (void *)&pushed.watch : (void *)&pushed.want;
}

static void push_part(uint32_t offset, const uint8_t *bytes, uint32_t n, uint32_t row_bytes) {
  pushed.ended = 0;
  pushed.want.sent = 0;
  if (offset == 0) pushed.sum = scaled(measure(work_place, 0));
  for (uint32_t i = 0; i < n; i++) pushed.place[offset + i] = bytes[i];
  pushed.arrived = offset + n;
  if (pushed.arrived < row_bytes) return;
  pushed.arrived = 0;
  pushed.row++;
  pushed.sum += scaled(measure(work_push, 0));
  if (pushed.ended && pushed.hook == on_call) send_costs();
}

static int on_push(const uint8_t *p, int32_t n) {
  ert_tensor t;
  const uint32_t row = get32(p), offset = get32(p + 4), bytes = (uint32_t)n - 12;
  if (!STREAMED || !model.streamed) return ERT_EROWS;
  ert_input(&session, 0, &t);
  t.bytes /= (uint32_t)t.dims[1];
  if (row == 0 && offset == 0) begin_pushes((int32_t)get32(p + 8));
  if (row != pushed.row || offset != pushed.arrived || !inside(&t, offset, bytes)) return AGENT_EARGUMENT;
  push_part(offset, p + 12, bytes, t.bytes);
  begin(AGENT_PUSH | AGENT_ANSWER);
  put32((uint32_t)pushed.ended);
  put32(pushed.sum);
  put32(pushed.want.sent);
  return 0;
}

static int on_start(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  ert_reset(&session);
  pushed.row = pushed.arrived = 0;
  return 0;
}

static int on_marks(const uint8_t *p, int32_t n) {
  (void)p, (void)n;
  uint32_t used = sizeof arena;
  while (used > 0 && arena[used - 1] == paint) used--;
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
    [AGENT_LOAD] = {5, 5, 0, on_load},
    [AGENT_WRITE] = {5, 5 + LINK_CHUNK, 1, on_write},
    [AGENT_RUN] = {4, 4, 1, on_run},
    [AGENT_PROFILE] = {0, 0, 1, on_profile},
    [AGENT_READ] = {7, 7, 1, on_read},
    [AGENT_STEP] = {4, 4, 1, on_step_output},
    [AGENT_MARKS] = {0, 0, 0, on_marks},
    [AGENT_RESET] = {0, 0, 0, on_reset},
    [AGENT_PUSH] = {12, 12 + LINK_CHUNK, 1, on_push},
    [AGENT_START] = {0, 0, 1, on_start},
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
