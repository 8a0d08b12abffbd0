/* SPDX-License-Identifier: Apache-2.0 */
/* In place of the agent: runs the programs that are linked into one image and says of each whether its output is the
 * expected one. The image is a row of records, each 16-byte aligned: a head, the file, its input, its output. */
#include "agent.h"
#include "board.h"
#include "ert.h"
#include "link.h"

enum { SPARE = 64, PAINT = 0xa7, WRONG_OUTPUT = 1, WROTE_PAST_THE_ARENA, SHORT_ARENA };

extern const uint8_t model_begin[], model_end[];

typedef struct {
  uint32_t file_bytes, input_bytes, output_bytes, none;
} head;

__attribute__((section(".arena"), aligned(ERT_ALIGN))) static uint8_t arena[ARENA_BYTES];

static uint32_t aligned(uint32_t n) { return (n + ERT_ALIGN - 1) & ~(uint32_t)(ERT_ALIGN - 1); }

static void send(uint32_t kind, uint32_t a, uint32_t b, uint32_t c) {
  const uint32_t words[3] = {a, b, c};
  uint8_t frame[LINK_HEAD + sizeof words + LINK_CRC] = {(uint8_t)kind, 0};
  for (uint32_t i = 0; i < sizeof words; i++) frame[LINK_HEAD + i] = (uint8_t)(words[i / 4] >> 8 * (i % 4));
  const uint32_t crc = link_crc(frame, LINK_HEAD + sizeof words);
  frame[sizeof frame - 2] = (uint8_t)crc;
  frame[sizeof frame - 1] = (uint8_t)(crc >> 8);
  link_encode(frame, sizeof frame, uart_put);
}

void agent_fault(uint32_t cfsr, uint32_t pc) { send(AGENT_FAULT, (uint32_t)AGENT_EFAULT, cfsr, pc); }

static int differs(const uint8_t *a, const uint8_t *b, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    if (a[i] != b[i]) return 1;
  return 0;
}

/* The inputs lie one after another. */
static int infer(ert_session *s, const uint8_t *input) {
  ert_tensor t;
  ert_input(s, 0, &t);
  if (s->model->streamed) return ert_push_rows(s, input, t.dims[1]) == 1 ? ERT_OK : ERT_EROWS;
  if (s->model->bound_bytes) {
    const int err = ert_bind_input(s, 0, input); /* in flash */
    return err ? err : ert_run(s);
  }
  for (int k = 0; ert_input(s, k, &t) == ERT_OK; k++)
    for (uint32_t i = 0; i < t.bytes; i++) ((uint8_t *)t.data)[i] = *input++;
  return ert_run(s);
}

/* 0, a negative ERT code, or what is wrong. */
static int run(const uint8_t *file, const head *h) {
  static ert_model m; /* beside the stack, as the agent's are */
  static ert_session s;
  ert_tensor out;
  const uint8_t *input = file + aligned(h->file_bytes), *expected = input + aligned(h->input_bytes);
  int err = ert_load(&m, file, h->file_bytes);
  if (err) return err;
  if (ert_arena_bytes(&m) + SPARE > sizeof arena) return SHORT_ARENA;
  for (uint32_t i = 0; i < sizeof arena; i++) arena[i] = PAINT;
  err = ert_begin(&s, &m, arena, ert_arena_bytes(&m));
  if (err == ERT_OK) err = infer(&s, input);
  if (err == ERT_OK) err = ert_output(&s, 0, &out);
  if (err) return err;
  for (uint32_t i = ert_arena_bytes(&m); i < sizeof arena; i++)
    if (arena[i] != PAINT) return WROTE_PAST_THE_ARENA;
  return out.bytes != h->output_bytes || differs(out.data, expected, out.bytes) ? WRONG_OUTPUT : 0;
}

void agent_main(void) {
  uart_begin();
  send(AGENT_BOOT, AGENT_PROTOCOL, 0, 0);
  uint32_t index = 0;
  for (const uint8_t *at = model_begin; at < model_end; index++) {
    const head *h = (const void *)at;
    send(AGENT_BYTES, index, (uint32_t)run(at + sizeof *h, h), 0);
    at += sizeof *h + aligned(h->file_bytes) + aligned(h->input_bytes) + aligned(h->output_bytes);
  }
  for (;;) continue;
}
