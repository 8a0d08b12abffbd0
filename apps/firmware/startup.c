/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up code of every Cortex-M. Interrupts stay off: the agent polls, and counts are not disturbed. */
#include "agent.h"
#include "board.h"

extern uint32_t stack_limit[], stack_top[], data_load[], data_begin[], data_end[], bss_begin[], bss_end[];

enum { STACK_PAINT = 0x57ac57ac };

#define SCB_VTOR REGISTER(0xe000ed08)
#define SCB_AIRCR REGISTER(0xe000ed0c)
#define SCB_CCR REGISTER(0xe000ed14)
#define SCB_CFSR REGISTER(0xe000ed28)
#define SCB_CPACR REGISTER(0xe000ed88)

__attribute__((noreturn, used)) void firmware_start(void);
__attribute__((noreturn, used)) void firmware_fault(const uint32_t *frame);

/* The stack pointer may be what is wrong: the handler goes on with a fresh stack. */
__attribute__((naked)) static void fault(void) {
  __asm__ volatile(
      "mrs r0, msp\n"
      "ldr r1, =stack_top\n"
      "msr msp, r1\n"
      "ldr r1, =firmware_fault\n"
      "bx r1\n"
      ".ltorg\n");
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {(uintptr_t)stack_top,
                                                                                 (uintptr_t)firmware_reset,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault,
                                                                                 0,
                                                                                 0,
                                                                                 0,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault,
                                                                                 0,
                                                                                 (uintptr_t)fault,
                                                                                 (uintptr_t)fault};

/* Before any C that the compiler may want registers or a stack limit for. */
__attribute__((naked)) void firmware_reset(void) {
  __asm__ volatile(
      "cpsid i\n"
      "ldr r0, =stack_top\n"
      "msr msp, r0\n"
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
      "ldr r0, =stack_limit\n"
      "msr msplim, r0\n"
#endif
      "ldr r0, =firmware_start\n"
      "bx r0\n"
      ".ltorg\n");
}

static void enable_core(void) {
#if __ARM_ARCH >= 7
  SCB_VTOR = (uint32_t)(uintptr_t)vectors;
  SCB_CPACR |= 0xfu << 20; /* FPU and MVE; without effect where there is none */
#if defined(__ARM_FEATURE_MVE)
  SCB_CCR |= 1u << 19; /* low-overhead loops */
#endif
  __asm__ volatile("dsb\nisb" ::: "memory");
#endif
}

void firmware_start(void) {
  enable_core();
  const uint32_t *from = data_load;
  for (uint32_t *to = data_begin; to < data_end;) *to++ = *from++;
  for (uint32_t *to = bss_begin; to < bss_end;) *to++ = 0;
  const uint32_t *here = __builtin_frame_address(0);
  for (volatile uint32_t *at = stack_limit; at < here - 32; at++) *at = STACK_PAINT;
  agent_main();
}

uint32_t stack_bytes(void) { return (uint32_t)((uintptr_t)stack_top - (uintptr_t)stack_limit); }

uint32_t stack_used(void) {
  const uint32_t *at = stack_limit;
  while (at < stack_top && *at == STACK_PAINT) at++;
  return (uint32_t)((uintptr_t)stack_top - (uintptr_t)at);
}

void firmware_fault(const uint32_t *frame) {
  const int readable = frame >= stack_limit && frame + 8 <= stack_top;
#if __ARM_ARCH >= 7
  agent_fault(SCB_CFSR, readable ? frame[6] : 0);
#else
  agent_fault(0, readable ? frame[6] : 0);
#endif
  board_reset();
}

void board_reset(void) {
  __asm__ volatile("dsb" ::: "memory");
  SCB_AIRCR = 0x05fa0004u;
  for (;;) continue;
}
