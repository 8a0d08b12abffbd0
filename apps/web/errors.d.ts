/** What is refused, and why. */
export declare const EMEMORY = -100, ESTATE = -101, EFETCH = -102, EENGINE = -103, EINPUT = -104;
/** A refusal: one sentence, the name of its code (`EMAGIC`, `EMEMORY`, ...) and its number. */
export declare class EdgeError extends Error {
    readonly number: number;
    readonly code: string;
    constructor(number: number, message: string);
}
