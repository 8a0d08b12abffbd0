import type { Exports } from './runtime.js';
export type DType = 'float32' | 'float16' | 'int8' | 'uint8' | 'int16' | 'int32' | 'int64' | 'bool';
export type Items = Float32Array | Uint16Array | Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array;
/** The tensor's own items, or numbers: real ones, which a quantised tensor rounds to its grid. */
export type Values = Items | Float64Array | ArrayLike<number>;
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
    private write;
    private round;
    /** A view of `length` items of this type at an address of the module. */
    view(at: number, length: number): Items;
    expect(length: number, expected: number): void;
}
/** The module's record of an input or output: address, bytes, rank, type, zero point, scale, dimensions. */
export declare function tensorAt(exports: Exports, index: number, name: string): Tensor;
