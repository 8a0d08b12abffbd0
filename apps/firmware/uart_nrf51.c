/* SPDX-License-Identifier: Apache-2.0 */
/* UART of the nRF51, polled. The pins are those that the boot state or the emulator gives it. */
#include "board.h"

#define START_RX REGISTER(CONSOLE_BASE + 0x000)
#define START_TX REGISTER(CONSOLE_BASE + 0x008)
#define RX_READY REGISTER(CONSOLE_BASE + 0x108)
#define TX_READY REGISTER(CONSOLE_BASE + 0x11c)
#define ENABLE REGISTER(CONSOLE_BASE + 0x500)
#define RXD REGISTER(CONSOLE_BASE + 0x518)
#define TXD REGISTER(CONSOLE_BASE + 0x51c)
#define BAUDRATE REGISTER(CONSOLE_BASE + 0x524)

enum { ENABLED = 4, BAUD_115200 = 0x01d7e000 };

void uart_begin(void) {
  BAUDRATE = BAUD_115200;
  ENABLE = ENABLED;
  START_RX = 1;
  START_TX = 1;
}

uint8_t uart_get(void) {
  while (RX_READY == 0) continue;
  RX_READY = 0; /* before the read: the next byte of the FIFO sets it again */
  return (uint8_t)RXD;
}

void uart_put(uint8_t byte) {
  TX_READY = 0;
  TXD = byte;
  while (TX_READY == 0) continue;
}
