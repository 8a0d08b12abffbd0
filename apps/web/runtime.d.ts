import { type Bytes } from './files.js';
/** The sets of instructions that a module was built with, slowest first. */
export type Flavour = 'plain' | 'simd128' | 'relaxed';
export declare const FLAVOURS: readonly Flavour[];
export interface LoadOptions {
    /** Folder of the modules, or one of them: its address, its bytes, or compiled. Default: beside this file. */
    wasm?: string | URL | Bytes | WebAssembly.Module;
    /** Takes this flavour, or refuses. */
    flavour?: Flavour;
    /** Most bytes of memory for model and arena together. */
    maxBytes?: number;
    /** Checks the model's checksum, which reads every byte of it. */
    check?: boolean;
    /** Whether a portable model is packed for the engine's vectors while it is loaded, which takes memory of about its own
     * size; default: yes. */
    pack?: boolean;
    /** Threads for a model that was converted for several; default: one for each core, at most four. Pages that are not
     * cross-origin isolated run one, as `Model.threads` tells. */
    threads?: number;
}
export type Event = (step: number, done: number, out: number, bytes: number) => void;
export interface Exports {
    memory: WebAssembly.Memory;
    edge_limit(bytes: number): void;
    edge_room(bytes: number): number;
    edge_pack(on: number): void;
    edge_load(at: number, bytes: number): number;
    edge_check(at: number, bytes: number): number;
    edge_about(): number;
    edge_tensor(index: number): number;
    edge_run(hooked: number): number;
    edge_next_row(hooked: number): number;
    edge_push(hooked: number): number;
    edge_reset(): number;
    edge_message(code: number): number;
    edge_probe(): number;
}
/** What modules with threads have besides. */
export interface ThreadExports extends Exports {
    edge_stack(): number;
    edge_threads(threads: number, maySleep: number): number;
    edge_end(): void;
}
export interface Runtime {
    flavour: Flavour;
    module: WebAssembly.Module;
    exports: Exports;
    /** What the module tells while it runs with a hook. */
    told: {
        event: Event;
    };
}
/** The flavours that the engine takes, slowest first. Whether it computes `relaxed` exactly shows when that runs. */
export declare function flavours(): Flavour[];
/** The fastest flavour that the engine takes and computes exactly; `bytes`: of memory that a model needs. */
export declare function start(options: LoadOptions, bytes: number, threads: boolean): Promise<Runtime>;
export declare function raise(exports: Exports, code: number, what: string): void;
