// SPDX-License-Identifier: Apache-2.0
/** What is refused, and why. */

/** Names of the runtime's codes (ert.h), by -code, and of the codes of this binding. */
const CODES: Record<number, string> = {
  1: 'ETRUNCATED', 2: 'EMAGIC', 3: 'EVERSION', 4: 'EFEATURE', 5: 'EALIGN', 6: 'ELAYOUT', 7: 'EKERNEL', 8: 'EISA',
  9: 'EPARAM', 10: 'EARENA', 11: 'ECHECKSUM', 12: 'EINDEX', 13: 'EROWS', 14: 'EBOUND',
  100: 'EMEMORY', 101: 'ESTATE', 102: 'EFETCH', 103: 'EENGINE', 104: 'EINPUT',
};
export const EMEMORY = -100, ESTATE = -101, EFETCH = -102, EENGINE = -103, EINPUT = -104;

/** A refusal: one sentence, the name of its code (`EMAGIC`, `EMEMORY`, ...) and its number. */
export class EdgeError extends Error {
  readonly code: string;

  constructor(readonly number: number, message: string) {
    super(message);
    this.name = 'EdgeError';
    this.code = CODES[-number] ?? `E${-number}`;
  }
}
