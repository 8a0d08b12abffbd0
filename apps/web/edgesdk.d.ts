/**
 * Runs .edge files in browsers, web workers and node, without dependencies.
 *
 *   const model = await Model.load('model.edge');
 *   const [scores] = model.run([pixels]);
 *
 * The runtime is one of three WebAssembly modules beside this file: ert_relaxed.wasm, ert_simd128.wasm and
 * ert_plain.wasm, the fastest that the engine computes exactly.
 */
/** The sets of instructions that a module was built with, slowest first. */
export type Flavour = 'plain' | 'simd128' | 'relaxed';
export declare const FLAVOURS: readonly Flavour[];
/** A refusal: one sentence, the name of its code (`EMAGIC`, `EMEMORY`, ...) and its number. */
export declare class EdgeError extends Error {
    readonly number: number;
    readonly code: string;
    constructor(number: number, message: string);
}
export type DType = 'float32' | 'float16' | 'int8' | 'uint8' | 'int16' | 'int32' | 'int64' | 'bool';
export type Items = Float32Array | Uint16Array | Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array;
/** The tensor's own items, or numbers: real ones, which a quantised tensor rounds to its grid. */
export type Values = Items | Float64Array | ArrayLike<number>;
export type Bytes = ArrayBuffer | ArrayBufferView;
export type Source = string | URL | Bytes;
/** A file for each flavour that there is one for: those of `--board wasm_relaxed` run on engines with relaxed SIMD only. */
export type Sources = Partial<Record<Flavour, Source>>;
export interface LoadOptions {
    /** Folder of the three modules, or one of them: its address, its bytes, or compiled. Default: beside this file. */
    wasm?: string | URL | Bytes | WebAssembly.Module;
    /** Takes this flavour, or refuses. */
    flavour?: Flavour;
    /** Most bytes of memory for model and arena together. */
    maxBytes?: number;
    /** Checks the model's checksum, which reads every byte of it. */
    check?: boolean;
}
export interface StepTime {
    name: string;
    op: string;
    microseconds: number;
}
/** The flavours that the engine takes, slowest first. Whether it computes `relaxed` exactly shows when that runs. */
export declare function flavours(): Flavour[];
/** An input or output of a model: real value = scale * (item - zeroPoint); scale is 0 where it is not quantised. */
export declare class Tensor {
    private readonly memory;
    private readonly at;
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: DType;
    readonly scale: number;
    readonly zeroPoint: number;
    readonly elements: number;
    constructor(memory: WebAssembly.Memory, at: number, name: string, shape: readonly number[], dtype: DType, scale: number, zeroPoint: number);
    /** The tensor's memory in the module, without a copy. Writing changes an input; an output holds until the next run,
     * which may also overwrite inputs. A streamed input has none. */
    get data(): Items;
    /** Copies values in: items of its own type, or numbers (see `Values`). */
    set(values: Values): void;
    /** A copy of the items. */
    copy(): Items;
    /** The real values. */
    real(): Float32Array;
    /** Items of this tensor's type from anything that `set` takes. */
    items(values: Values): Items;
    /** A view of `length` items of this type at an address of the module. */
    view(at: number, length: number): Items;
    expect(length: number, expected: number): void;
}
/** A loaded model with its arena, in a memory of its own. */
export declare class Model {
    private runtime;
    readonly metadata: Readonly<Record<string, any>>;
    readonly inputs: readonly Tensor[];
    readonly outputs: readonly Tensor[];
    readonly steps: number;
    /** Its input arrives row by row (`push`), as an image of fixed height or as a window that slides for ever. */
    readonly streamed: boolean;
    readonly sliding: boolean;
    readonly arenaBytes: number;
    private constructor();
    /** A model from the address of a .edge file (in node also its path) or from its bytes; of several files the one for
     * the fastest flavour that this engine runs. */
    static load(source: Source | Sources, options?: LoadOptions): Promise<Model>;
    /** The flavour of the module that runs it; of a module that the caller named, what the caller said. */
    get flavour(): Flavour;
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
