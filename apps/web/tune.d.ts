import { type Bytes } from './files.js';
import { Model } from './model.js';
import type { LoadOptions } from './runtime.js';
/** A file, and how it is to be loaded where that matters: its flavour, its threads. */
export interface Candidate extends LoadOptions {
    source: string | URL | Bytes;
}
/** Where the choice is kept: localStorage, or what a worker has in its place. */
export interface Store {
    getItem(key: string): string | null | Promise<string | null>;
    setItem(key: string, value: string): unknown;
}
export interface TuneOptions {
    /** Milliseconds that measuring all candidates may take, besides loading them; default 500. */
    budget?: number;
    /** false: takes the first candidate that loads, measures and remembers nothing. */
    measure?: boolean;
    /** null: every load measures anew. Default: localStorage, where there is one. */
    store?: Store | null;
}
export interface Tuned {
    model: Model;
    /** Which candidate it is. */
    chosen: number;
    /** Milliseconds of an inference, NaN for a candidate that does not load; null where nothing was measured. */
    times: number[] | null;
}
/** Loads the fastest of the candidates: on the first visit all of them are loaded and measured, later ones load the
 * winner alone, until its file, the engine or the number of threads changes. Those that do not load here are left out. */
export declare function loadFastest(candidates: readonly Candidate[], options?: TuneOptions): Promise<Tuned>;
