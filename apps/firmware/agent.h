/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: answers requests on the serial link. One request at a time, one answer each; numbers are little-endian.
 * An answer has the request's kind | ANSWER and its sequence number; events may precede it, with the same number.
 *
 *   HELLO         -> u8 protocol, runtime major, minor, 0; u16 inputs, outputs, format major, minor; u32 CPUID,
 *                    model bytes, arena bytes, timer Hz, empty ticks, empty call ticks, chunk bytes
 *   LOAD   u32 scale, u8 paint -> i32 ERT code; u32 arena bytes needed, arena bytes there, ticks, steps, inputs, outputs
 *   WRITE  u8 input, u32 offset, bytes            ->
 *   RUN    u32 n (1 to 32)                        -> u32 ticks of each run
 *   PROFILE       -> event COST {u32 step, u32 sum, u32 calls} per step; then the u32 number of steps
 *   READ   u8 output, u32 offset, u16 bytes       -> bytes
 *   STEP   u32 step -> event BYTES {u32 offset in the call, bytes} ...; then the u32 sum of those bytes
 *   PUSH   u32 row, u32 offset, i32 watch, bytes -> u32 1 where the outputs are there, u32 sum, u32 bytes in events
 *   MARKS         -> u32 stack bytes used, stack bytes there, arena bytes used, arena bytes there
 *   START         -> ; variables hold their first contents, and what was pushed is forgotten
 *   RESET         -> ; then the board restarts and sends BOOT {u8 protocol}
 *
 * LOAD fills the arena with `paint`; MARKS finds the last byte that differs from it. A sum is over the calls of a kernel
 * (COST) or over the two measured spans of a row (PUSH), every span in ticks or, where `scale` is not
 * 0, ticks * scale / 2^32 to the nearest, so that a sum is as exact as one span.
 *
 * PUSH writes a part of the next row (or frame) of a streamed input in place; the part that ends the row pushes it.
 * Row 0 from offset 0 on begins an inference, or an empty window. A streamed model is pushed and not run: what is
 * watched from row 0 on is nothing (-1), the costs (-2, as PROFILE, whenever there are outputs) or the output of a step.
 *
 * ERROR {i32 code, u8 kind of the request} answers what could not be done. A frame that cannot be read is answered
 * with sequence number 0 and kind 0. FAULT {i32 code, u32 CFSR, u32 pc} is sent before a crashed board restarts. */
#ifndef AGENT_H
#define AGENT_H

#include <stdint.h>

enum { AGENT_PROTOCOL = 3 };

enum {
  AGENT_HELLO = 1,
  AGENT_LOAD,
  AGENT_WRITE,
  AGENT_RUN,
  AGENT_PROFILE,
  AGENT_READ,
  AGENT_STEP,
  AGENT_MARKS,
  AGENT_RESET,
  AGENT_PUSH,
  AGENT_START,
  AGENT_BOOT = 0x40,
  AGENT_COST,
  AGENT_BYTES,
  AGENT_ANSWER = 0x80,
  AGENT_FAULT = 0xfe,
  AGENT_ERROR = 0xff
};

enum { AGENT_WATCH_NOTHING = -1, AGENT_WATCH_COSTS = -2 };

/* Codes below -100 are the link's (link.h) and the agent's; the others are the runtime's. */
enum {
  AGENT_EKIND = -104,     /* no such request */
  AGENT_EARGUMENT = -105, /* payload of the wrong length or out of range */
  AGENT_EMODEL = -106,    /* no model in this image */
  AGENT_ELOADED = -107,   /* LOAD has not succeeded yet */
  AGENT_EFAULT = -108,    /* the processor took a fault */
  AGENT_ESTEPS = -109     /* the model has more steps than this image was built for */
};

__attribute__((noreturn)) void agent_main(void);
void agent_fault(uint32_t cfsr, uint32_t pc);

#endif
