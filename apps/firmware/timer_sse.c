/* SPDX-License-Identifier: Apache-2.0 */
/* System counter of Arm's SSE-300, control frame. The low word of its 64 bits is enough. */
#include "board.h"

#define CNTCR REGISTER(TIMER_BASE + 0x0)
#define CNTCV_LOW REGISTER(TIMER_BASE + 0x8)

void timer_begin(void) { CNTCR = 1; }

uint32_t timer_now(void) { return CNTCV_LOW; }
