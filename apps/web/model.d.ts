import { type Bytes } from './files.js';
import { type Flavour, type LoadOptions } from './runtime.js';
import { type Items, type Tensor, type Values } from './tensor.js';
export interface StepTime {
    name: string;
    op: string;
    microseconds: number;
}
/** A loaded model with its arena, in a memory of its own. */
export declare class Model {
    private runtime;
    private team;
    readonly metadata: Readonly<Record<string, any>>;
    readonly inputs: readonly Tensor[];
    readonly outputs: readonly Tensor[];
    readonly steps: number;
    /** Its input arrives row by row (`push`), as an image of fixed height or as a window that slides for ever. */
    readonly streamed: boolean;
    readonly sliding: boolean;
    readonly arenaBytes: number;
    /** Of a portable model that was packed for the engine's vectors: bytes of its layers in their order; else 0. */
    readonly packedBytes: number;
    private constructor();
    /** A model from the address of a .edge file (in node also its path) or from its bytes. */
    static load(source: string | URL | Bytes, options?: LoadOptions): Promise<Model>;
    /** The flavour of the module that runs it; of a module that the caller named, what the caller said. */
    get flavour(): Flavour;
    /** How many threads compute it: 1 where it was not converted for several, or they are not to be had here. */
    get threads(): number;
    /** Names of the classes, where the file has them. */
    get labels(): readonly string[];
    /** One inference. Inputs in order or by name; none: those that lie in `inputs[i].data`. Returns the outputs' items,
     * as copies unless `copy` is false. */
    run(inputs?: readonly Values[] | Record<string, Values>, { copy }?: {
        copy?: boolean | undefined;
    }): Items[];
    /** Takes the next rows of a streamed input; true when the outputs are new. */
    push(rows: Values): boolean;
    /** Microseconds of every step, the mean of `runs` inferences; the hook's own cost is in them. */
    stepTimes(runs?: number, inputs?: readonly Values[] | Record<string, Values>): StepTime[];
    /** One inference that tells, after each call of a kernel, the step and the bytes it wrote: all rows of a plain step,
     * else its next row. The bytes are a view, valid only then. */
    watch(seen: (step: number, bytes: Uint8Array) => void, inputs?: readonly Values[] | Record<string, Values>): void;
    /** As just loaded: what runs leave to the next one, and rows that were pushed, are forgotten. */
    reset(): void;
    /** Lets go of the memory; the model cannot run any more, and its views go with it. */
    dispose(): void;
    private live;
    private hooked;
    private infer;
    private pushed;
    private ordered;
}
