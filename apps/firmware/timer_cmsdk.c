/* SPDX-License-Identifier: Apache-2.0 */
/* APB timer of Arm's Cortex-M System Design Kit: 32 bits, counts down. */
#include "board.h"

#define CTRL REGISTER(TIMER_BASE + 0x0)
#define VALUE REGISTER(TIMER_BASE + 0x4)
#define RELOAD REGISTER(TIMER_BASE + 0x8)

void timer_begin(void) {
  RELOAD = 0xffffffffu;
  VALUE = 0xffffffffu;
  CTRL = 1;
}

uint32_t timer_now(void) { return ~VALUE; }
