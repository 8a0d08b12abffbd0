/* SPDX-License-Identifier: Apache-2.0 */
/* The agent: answers requests on the serial link. One request at a time, one answer each; numbers are little-endian.
 * An answer has the request's kind | ANSWER and its sequence number; events may precede it, with the same number.
 *
 *   HELLO         -> u8 protocol, runtime major, minor, 0; u16 inputs, outputs, format major, minor; u32 CPUID,
 *                    model bytes, arena bytes, timer Hz, empty ticks, empty hook ticks, chunk bytes
 *   LOAD          -> i32 ERT code; u32 arena bytes needed, arena bytes there, ticks, steps, inputs, outputs
 *   WRITE  u8 input, u32 offset, bytes            ->
 *   RUN    u32 n (1 to 32)                        -> u32 ticks of each run
 *   PROFILE       -> event TICKS {u32 step, u32 ticks} per step; then the u32 number of steps
 *   READ   u8 output, u32 offset, u16 bytes       -> bytes
 *   STEP   u32 step -> event BYTES {u32 offset, bytes} ...; then the u32 bytes of the step's output
 *   MARKS         -> u32 stack bytes used, stack bytes there, arena bytes used, arena bytes there
 *   RESET         -> ; then the board restarts and sends BOOT {u8 protocol}
 *
 * ERROR {i32 code, u8 kind of the request} answers what could not be done. A frame that cannot be read is answered
 * with sequence number 0 and kind 0. FAULT {i32 code, u32 CFSR, u32 pc} is sent before a crashed board restarts. */
#ifndef AGENT_H
#define AGENT_H

#include <stdint.h>

enum { AGENT_PROTOCOL = 1 };

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
  AGENT_BOOT = 0x40,
  AGENT_TICKS,
  AGENT_BYTES,
  AGENT_ANSWER = 0x80,
  AGENT_FAULT = 0xfe,
  AGENT_ERROR = 0xff
};

/* Codes below -100 are the link's (link.h) and the agent's; the others are the runtime's. */
enum {
  AGENT_EKIND = -104,     /* no such request */
  AGENT_EARGUMENT = -105, /* payload of the wrong length or out of range */
  AGENT_EMODEL = -106,    /* no model in this image */
  AGENT_ELOADED = -107,   /* LOAD has not succeeded yet */
  AGENT_EFAULT = -108     /* the processor took a fault */
};

__attribute__((noreturn)) void agent_main(void);
void agent_fault(uint32_t cfsr, uint32_t pc);

#endif
