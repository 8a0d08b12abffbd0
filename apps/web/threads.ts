// SPDX-License-Identifier: Apache-2.0
/** Threads: workers that run the module's own code over a memory that all of them share. */
import { inNode } from './files.js';
import type { Runtime, ThreadExports } from './runtime.js';

const PAGE_BYTES = 65536;
const FIRST_PAGES = 32; // what modules with threads begin with (wasm.py)
const MOST_PAGES = 65535; // those that they may have
const DEFAULT_MOST = 4;
const BESIDES_BYTES = 256 * 1024 * 1024; // stacks, and an input that is read where it lies; reserved, not used

/** What a worker is told: whose memory, where its stack ends, and which one it is. */
export interface Start {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  stack: number;
  number: number;
}

/** A memory that workers share; null where this engine, or this page, has none of that size. */
export function sharedMemory(bytes: number): WebAssembly.Memory | null {
  const pages = Math.min(MOST_PAGES, FIRST_PAGES + Math.ceil((bytes + BESIDES_BYTES) / PAGE_BYTES));
  try {
    return new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: pages, shared: true });
  } catch {
    return null;
  }
}

/** Whether memory may be shared here: in node, and in pages that are cross-origin isolated. */
export function canShare(): boolean {
  const isolated = inNode || (globalThis as any).crossOriginIsolated === true;
  return isolated && typeof SharedArrayBuffer === 'function' && sharedMemory(0) !== null;
}

/** Threads for a model that was converted for several. */
export function threadsFor(asked: number | undefined): number {
  const n = asked ?? Math.min(DEFAULT_MOST, globalThis.navigator?.hardwareConcurrency ?? DEFAULT_MOST);
  return n > 1 && canShare() ? Math.min(64, Math.floor(n)) : 1;
}

export function importsMemory(module: WebAssembly.Module): boolean {
  return WebAssembly.Module.imports(module).some((wanted) => wanted.kind === 'memory');
}

/** Whether this thread may wait: that of a page may not. */
function maySleep(): boolean {
  return inNode || typeof (globalThis as any).WorkerGlobalScope === 'function';
}

async function spawn(): Promise<any> {
  if (!inNode) return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  const threads = 'node:worker_threads'; // a name that bundlers leave alone
  const node = await import(/* webpackIgnore: true */ /* @vite-ignore */ threads);
  const worker = new node.Worker(new URL('./worker.js', import.meta.url));
  worker.unref();
  return worker;
}

/** Resolves when the worker says that it is ready. */
function ready(worker: any): Promise<void> {
  return new Promise((resolve, reject) => {
    const listen = (worker.on ?? worker.addEventListener).bind(worker);
    listen('message', () => resolve());
    for (const end of ['error', 'messageerror', 'exit']) listen(end, () => reject(new Error('a worker does not run')));
  });
}

/** The threads of a model. */
export interface Team {
  threads: number;
  end(): void;
}

function teamOf(exports: ThreadExports, workers: readonly any[]): Team {
  const end = () => {
    exports.edge_end();
    for (const worker of workers) worker.terminate();
  };
  return { threads: workers.length + 1, end };
}

/** A worker over the module's memory, once it is ready. */
async function begun(worker: any, start: Start): Promise<void> {
  const answer = ready(worker);
  worker.postMessage(start);
  await answer;
}

/** Whatever keeps workers from running (a policy of the page, files that are missing, memory): the model then runs
 * without. The memory grows before there are workers, who would have to be told. */
export async function startTeam(runtime: Runtime, threads: number): Promise<Team | null> {
  if (threads < 2 || !importsMemory(runtime.module)) return null;
  const { module } = runtime, exports = runtime.exports as ThreadExports, workers: any[] = [];
  const stacks = Array.from({ length: threads - 1 }, () => exports.edge_stack());
  try {
    if (stacks.includes(0) || exports.edge_threads(threads, Number(maySleep())) < 0) throw new Error('no memory');
    for (const _ of stacks) workers.push(await spawn());
    const starts = stacks.map((stack, i) => ({ module, memory: exports.memory, stack: stack >>> 0, number: i + 1 }));
    await Promise.all(workers.map((worker, i) => begun(worker, starts[i])));
    return teamOf(exports, workers);
  } catch {
    teamOf(exports, workers).end();
    exports.edge_threads(1, 0);
    return null;
  }
}
