/* SPDX-License-Identifier: Apache-2.0 */
/* TIMER0 of the nRF51 at 32 bits and 16 MHz; CC[0] captures the count. */
#include "board.h"

#define START REGISTER(TIMER_BASE + 0x000)
#define CLEAR REGISTER(TIMER_BASE + 0x00c)
#define CAPTURE0 REGISTER(TIMER_BASE + 0x040)
#define MODE REGISTER(TIMER_BASE + 0x504)
#define BITMODE REGISTER(TIMER_BASE + 0x508)
#define PRESCALER REGISTER(TIMER_BASE + 0x510)
#define CC0 REGISTER(TIMER_BASE + 0x540)

enum { BITS_32 = 3 };

void timer_begin(void) {
  MODE = 0;
  BITMODE = BITS_32;
  PRESCALER = 0;
  CLEAR = 1;
  START = 1;
}

uint32_t timer_now(void) {
  CAPTURE0 = 1;
  return CC0;
}
