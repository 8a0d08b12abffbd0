// SPDX-License-Identifier: Apache-2.0
/** Modules of the runtime: which flavours an engine takes, and how one is found and started. */
import { EENGINE, EFETCH, EdgeError } from './errors.js';
import { type Bytes, bytesOf, isBytes, read } from './files.js';
import { importsMemory, sharedMemory } from './threads.js';

/** The sets of instructions that a module was built with, slowest first. */
export type Flavour = 'plain' | 'simd128' | 'relaxed';
export const FLAVOURS: readonly Flavour[] = ['plain', 'simd128', 'relaxed'];

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
  told: { event: Event };
}

/** A module of one function, `() => {}`, whose body is `code` and a drop. */
function probe(...code: number[]): Uint8Array<ArrayBuffer> {
  const body = [0, ...code, 0x1a, 0x0b];
  return new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // magic, version
    1, 4, 1, 0x60, 0, 0, // types
    3, 2, 1, 0, // functions
    10, body.length + 2, 1, body.length, ...body, // code
  ]);
}

const ZEROS = [0x41, 0, 0xfd, 0x0f]; // i8x16.splat(0)
const PROBES: Record<Flavour, Uint8Array<ArrayBuffer>> = {
  plain: probe(0x41, 0, 0xc0), // i32.extend8_s
  simd128: probe(...ZEROS),
  relaxed: probe(...ZEROS, ...ZEROS, ...ZEROS, 0xfd, 0x93, 0x02), // i32x4.relaxed_dot_i8x16_i7x16_add_s
};

/** The flavours that the engine takes, slowest first. Whether it computes `relaxed` exactly shows when that runs. */
export function flavours(): Flavour[] {
  return typeof WebAssembly === 'object' ? FLAVOURS.filter((f) => WebAssembly.validate(PROBES[f])) : [];
}

async function compile(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    throw new EdgeError(EENGINE, `${name}: this engine refuses the module (${error}); use another flavour of it`);
  }
}

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** The compiled module at an address; a failed attempt is forgotten. */
function moduleAt(address: string): Promise<WebAssembly.Module> {
  let found = compiled.get(address);
  if (!found) {
    found = read(address).then((bytes) => compile(address, bytes));
    found.catch(() => compiled.delete(address));
    compiled.set(address, found);
  }
  return found;
}

async function moduleOf(wasm: LoadOptions['wasm'], name: string): Promise<WebAssembly.Module> {
  if (wasm instanceof WebAssembly.Module) return wasm;
  if (isBytes(wasm)) return compile('the given module', bytesOf(wasm));
  if (wasm === undefined) return moduleAt(String(new URL(name, import.meta.url)));
  const address = String(wasm);
  return moduleAt(address.endsWith('.wasm') ? address : `${address.replace(/\/?$/, '/')}${name}`);
}

/** Whether the caller names one module, of whatever flavour it is. */
function isOne(wasm: LoadOptions['wasm']): boolean {
  return wasm instanceof WebAssembly.Module || isBytes(wasm) || (wasm !== undefined && String(wasm).endsWith('.wasm'));
}

/** null where the engine computes wrongly, or has no memory that a module with threads may share. */
async function instantiate(module: WebAssembly.Module, flavour: Flavour, bytes: number): Promise<Runtime | null> {
  const told = { event: (() => {}) as Event };
  const event: Event = (step, done, out, n) => told.event(step, done, out, n);
  const memory = importsMemory(module) ? sharedMemory(bytes) : undefined;
  if (memory === null) return null;
  const instance = await WebAssembly.instantiate(module, { edge: { event }, ...(memory && { env: { memory } }) });
  const exports = { ...instance.exports, ...(memory && { memory }) } as unknown as Exports;
  return exports.edge_probe() ? { flavour, module, exports, told } : null;
}

/** The fastest module with threads; null where there is none, or the engine does not run it. */
async function startThreaded(options: LoadOptions, bytes: number): Promise<Runtime | null> {
  const able = flavours().filter((f) => f !== 'plain' && (!options.flavour || f === options.flavour));
  for (const flavour of able.reverse()) {
    try {
      const runtime = await instantiate(await moduleOf(options.wasm, `ert_${flavour}_threads.wasm`), flavour, bytes);
      if (runtime) return runtime;
    } catch (error) {
      if (!(error instanceof EdgeError && error.number === EFETCH)) throw error;
    }
  }
  return null;
}

/** The fastest flavour that the engine takes and computes exactly; `bytes`: of memory that a model needs. */
export async function start(options: LoadOptions, bytes: number, threads: boolean): Promise<Runtime> {
  if (typeof WebAssembly !== 'object') throw new EdgeError(EENGINE, 'this engine has no WebAssembly; use a newer one');
  const asked = options.flavour, one = isOne(options.wasm);
  const threaded = threads && !one ? await startThreaded(options, bytes) : null;
  if (threaded) return threaded;
  const able = one ? [asked ?? 'plain'] : flavours().filter((f) => !asked || f === asked);
  for (const flavour of able.reverse()) {
    const runtime = await instantiate(await moduleOf(options.wasm, `ert_${flavour}.wasm`), flavour, bytes);
    if (runtime) return runtime;
  }
  const what = one ? 'the given module' : `the ${asked ?? 'plain'} flavour`;
  throw new EdgeError(EENGINE, `this engine cannot run ${what}, or computes it wrongly; leave the choice to edgesdk`);
}

/** -code as a sentence of the runtime. */
function message(exports: Exports, code: number): string {
  const bytes = new Uint8Array(exports.memory.buffer, exports.edge_message(code) >>> 0);
  return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}

export function raise(exports: Exports, code: number, what: string): void {
  if (code < 0) throw new EdgeError(code, `${what}: ${message(exports, code)}`);
}

