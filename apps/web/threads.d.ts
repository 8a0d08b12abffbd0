import type { Runtime } from './runtime.js';
/** What a worker is told: whose memory, where its stack ends, and which one it is. */
export interface Start {
    module: WebAssembly.Module;
    memory: WebAssembly.Memory;
    stack: number;
    number: number;
}
/** A memory that workers share; null where this engine, or this page, has none of that size. */
export declare function sharedMemory(bytes: number): WebAssembly.Memory | null;
/** Whether memory may be shared here: in node, and in pages that are cross-origin isolated. */
export declare function canShare(): boolean;
/** Threads for a model that was converted for several. */
export declare function threadsFor(asked: number | undefined): number;
export declare function importsMemory(module: WebAssembly.Module): boolean;
/** The threads of a model. */
export interface Team {
    threads: number;
    end(): void;
}
/** Whatever keeps workers from running (a policy of the page, files that are missing, memory): the model then runs
 * without. The memory grows before there are workers, who would have to be told. */
export declare function startTeam(runtime: Runtime, threads: number): Promise<Team | null>;
