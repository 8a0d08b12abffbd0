/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent needs from a board: a UART and a free-running 32-bit counter. The build passes
 * CONSOLE_BASE, CONSOLE_HZ, TIMER_BASE and TIMER_HZ from board.toml and compiles uart_<kind>.c and timer_<kind>.c. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))
#define CONSOLE_BAUD 115200u

void uart_begin(void);
uint8_t uart_get(void);
void uart_put(uint8_t byte);

/* The counter counts up, modulo 2^32, and is never stopped. */
void timer_begin(void);
uint32_t timer_now(void);

/* From startup.c: never returns. */
__attribute__((noreturn)) void firmware_reset(void);
__attribute__((noreturn)) void board_reset(void);

/* Bytes of the stack that were used since the start. */
uint32_t stack_used(void);
uint32_t stack_bytes(void);

#endif
