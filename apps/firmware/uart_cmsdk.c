/* SPDX-License-Identifier: Apache-2.0 */
/* APB UART of Arm's Cortex-M System Design Kit, polled. */
#include "board.h"

#define DATA REGISTER(CONSOLE_BASE + 0x00)
#define STATE REGISTER(CONSOLE_BASE + 0x04)
#define CTRL REGISTER(CONSOLE_BASE + 0x08)
#define BAUDDIV REGISTER(CONSOLE_BASE + 0x10)

enum { TX_FULL = 1, RX_FULL = 2, TX_ON = 1, RX_ON = 2 };

void uart_begin(void) {
  BAUDDIV = CONSOLE_HZ / CONSOLE_BAUD;
  CTRL = TX_ON | RX_ON;
}

uint8_t uart_get(void) {
  while ((STATE & RX_FULL) == 0) continue;
  return (uint8_t)DATA;
}

void uart_put(uint8_t byte) {
  while ((STATE & TX_FULL) != 0) continue;
  DATA = byte;
}
