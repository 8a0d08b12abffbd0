// SPDX-License-Identifier: Apache-2.0
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
export const FLAVOURS: readonly Flavour[] = ['plain', 'simd128', 'relaxed'];

/** Names of the runtime's codes (ert.h), by -code, and of the codes of this binding. */
const CODES: Record<number, string> = {
  1: 'ETRUNCATED', 2: 'EMAGIC', 3: 'EVERSION', 4: 'EFEATURE', 5: 'EALIGN', 6: 'ELAYOUT', 7: 'EKERNEL', 8: 'EISA',
  9: 'EPARAM', 10: 'EARENA', 11: 'ECHECKSUM', 12: 'EINDEX', 13: 'EROWS', 14: 'EBOUND',
  100: 'EMEMORY', 101: 'ESTATE', 102: 'EFETCH', 103: 'EENGINE', 104: 'EINPUT',
};
const EMEMORY = -100, ESTATE = -101, EFETCH = -102, EENGINE = -103, EINPUT = -104;

/** A refusal: one sentence, the name of its code (`EMAGIC`, `EMEMORY`, ...) and its number. */
export class EdgeError extends Error {
  readonly code: string;

  constructor(readonly number: number, message: string) {
    super(message);
    this.name = 'EdgeError';
    this.code = CODES[-number] ?? `E${-number}`;
  }
}

export type DType = 'float32' | 'float16' | 'int8' | 'uint8' | 'int16' | 'int32' | 'int64' | 'bool';
export type Items =
  | Float32Array | Uint16Array | Int8Array | Uint8Array | Int16Array | Int32Array | BigInt64Array;
/** The tensor's own items, or numbers: real ones, which a quantised tensor rounds to its grid. */
export type Values = Items | Float64Array | ArrayLike<number>;
export type Bytes = ArrayBuffer | ArrayBufferView;
export type Source = string | URL | Bytes;
/** A file for each flavour that there is one for: those of `--board wasm_relaxed` run on engines with relaxed SIMD only. */
export type Sources = Partial<Record<Flavour, Source>>;

type ItemsClass = { new (buffer: ArrayBuffer, offset: number, length: number): Items; readonly BYTES_PER_ELEMENT: number };
const DTYPES: readonly (readonly [DType, ItemsClass, number, number])[] = [
  ['float32', Float32Array, -Infinity, Infinity],
  ['float16', Uint16Array, 0, 65535],
  ['int8', Int8Array, -128, 127],
  ['uint8', Uint8Array, 0, 255],
  ['int16', Int16Array, -32768, 32767],
  ['int32', Int32Array, -2147483648, 2147483647],
  ['int64', BigInt64Array, -(2 ** 63), 2 ** 63],
  ['bool', Uint8Array, 0, 1],
];

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

type Event = (step: number, done: number, out: number, bytes: number) => void;

interface Exports {
  memory: WebAssembly.Memory;
  edge_limit(bytes: number): void;
  edge_room(bytes: number): number;
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

interface Runtime {
  flavour: Flavour;
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

const inNode = typeof (globalThis as any).process?.versions?.node === 'string';

function isBytes(x: unknown): x is Bytes {
  return x instanceof ArrayBuffer || ArrayBuffer.isView(x);
}

function isSource(x: Source | Sources): x is Source {
  return typeof x === 'string' || x instanceof URL || isBytes(x);
}

function bytesOf(x: Bytes): Uint8Array<ArrayBuffer> {
  return x instanceof ArrayBuffer
    ? new Uint8Array(x)
    : new Uint8Array(x.buffer as ArrayBuffer, x.byteOffset, x.byteLength);
}

/** The bytes behind an address; in node also of a file. */
async function read(from: string | URL): Promise<Uint8Array<ArrayBuffer>> {
  const address = String(from);
  try {
    if (inNode && !/^(https?|data|blob):/.test(address)) {
      const files = 'node:fs/promises'; // a name that bundlers leave alone
      const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ files);
      return await readFile(address.startsWith('file:') ? new URL(address) : address);
    }
    const response = await fetch(address);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new EdgeError(EFETCH, `${address}: cannot be read (${why}); expected the address of a file`);
  }
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

async function moduleOf(wasm: LoadOptions['wasm'], flavour: Flavour): Promise<WebAssembly.Module> {
  if (wasm instanceof WebAssembly.Module) return wasm;
  if (isBytes(wasm)) return compile('the given module', bytesOf(wasm));
  if (wasm === undefined) return moduleAt(String(new URL(`ert_${flavour}.wasm`, import.meta.url)));
  const address = String(wasm);
  return moduleAt(address.endsWith('.wasm') ? address : `${address.replace(/\/?$/, '/')}ert_${flavour}.wasm`);
}

/** Whether the caller names one module, of whatever flavour it is. */
function isOne(wasm: LoadOptions['wasm']): boolean {
  return wasm instanceof WebAssembly.Module || isBytes(wasm) || (wasm !== undefined && String(wasm).endsWith('.wasm'));
}

async function instantiate(module: WebAssembly.Module, flavour: Flavour): Promise<Runtime | null> {
  const told = { event: (() => {}) as Event };
  const event: Event = (step, done, out, bytes) => told.event(step, done, out, bytes);
  const instance = await WebAssembly.instantiate(module, { edge: { event } });
  const exports = instance.exports as unknown as Exports;
  return exports.edge_probe() ? { flavour, exports, told } : null;
}

/** The fastest flavour of `wanted` that the engine takes and computes exactly. */
async function start(options: LoadOptions, wanted: readonly Flavour[]): Promise<Runtime> {
  if (typeof WebAssembly !== 'object') throw new EdgeError(EENGINE, 'this engine has no WebAssembly; use a newer one');
  const asked = options.flavour ? [options.flavour] : wanted;
  const able = isOne(options.wasm) ? asked.slice(0, 1) : flavours().filter((f) => asked.includes(f));
  for (const flavour of able.reverse()) {
    const runtime = await instantiate(await moduleOf(options.wasm, flavour), flavour);
    if (runtime) return runtime;
  }
  const what = isOne(options.wasm) ? 'the given module' : `any of the flavours ${asked.join(', ')}`;
  throw new EdgeError(EENGINE, `this engine cannot run ${what}, or computes it wrongly; add files or modules of others`);
}

/** -code as a sentence of the runtime. */
function message(exports: Exports, code: number): string {
  const bytes = new Uint8Array(exports.memory.buffer, exports.edge_message(code) >>> 0);
  return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}

function raise(exports: Exports, code: number, what: string): void {
  if (code < 0) throw new EdgeError(code, `${what}: ${message(exports, code)}`);
}

/** The JSON of the file's metadata section; empty where there is none, or the engine cannot unpack it. */
async function metadataOf(file: Uint8Array<ArrayBuffer>): Promise<Record<string, any>> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const entries = Array.from({ length: view.getUint32(28, true) }, (_, i) => 32 + 12 * i);
  const at = entries.find((e) => view.getUint32(e, true) === 5);
  if (at === undefined || typeof DecompressionStream !== 'function') return {};
  const begin = view.getUint32(at + 4, true);
  const packed = file.slice(begin, begin + view.getUint32(at + 8, true));
  try {
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
    return await new Response(stream).json();
  } catch {
    return {}; // a model runs without it
  }
}

/** The nearest stored number, halves away from zero. */
function rounded(x: number): number {
  return x < 0 ? Math.ceil(x - 0.5) : Math.floor(x + 0.5);
}

/** An input or output of a model: real value = scale * (item - zeroPoint); scale is 0 where it is not quantised. */
export class Tensor {
  readonly elements: number;

  constructor(
    private readonly memory: WebAssembly.Memory,
    private readonly at: number,
    readonly name: string,
    readonly shape: readonly number[],
    readonly dtype: DType,
    readonly scale: number,
    readonly zeroPoint: number,
  ) {
    this.elements = shape.reduce((a, b) => a * b, 1);
  }

  /** The tensor's memory in the module, without a copy. Writing changes an input; an output holds until the next run,
   * which may also overwrite inputs. A streamed input has none. */
  get data(): Items {
    if (!this.at) throw new EdgeError(EINPUT, `${this.name}: a streamed input has no memory; push its rows`);
    return this.view(this.at, this.elements);
  }

  /** Copies values in: items of its own type, or numbers (see `Values`). */
  set(values: Values): void {
    const data = this.data;
    this.expect(values.length, data.length);
    data.set(this.items(values) as any);
  }

  /** A copy of the items. */
  copy(): Items {
    return this.data.slice();
  }

  /** The real values. */
  real(): Float32Array {
    const from = this.scale || 1, zero = this.scale ? this.zeroPoint : 0;
    return Float32Array.from(this.data as ArrayLike<any>, (q) => from * (Number(q) - zero));
  }

  /** Items of this tensor's type from anything that `set` takes. */
  items(values: Values): Items {
    const [, type, low, high] = DTYPES.find((d) => d[0] === this.dtype)!;
    if (values instanceof type) return values as Items;
    if (type === BigInt64Array) return BigInt64Array.from(Array.from(values as ArrayLike<number>, (x) => BigInt(x)));
    const quantised = this.scale > 0, integer = this.dtype !== 'float32';
    const stored = (x: number) => {
      const q = quantised ? rounded(x / this.scale) + this.zeroPoint : x;
      if (Number.isNaN(q) && integer) throw new EdgeError(EINPUT, `${this.name}: NaN; expected numbers`);
      return Math.min(high, Math.max(low, q));
    };
    return (type as typeof Int8Array).from(values as ArrayLike<number>, stored) as Items;
  }

  /** A view of `length` items of this type at an address of the module. */
  view(at: number, length: number): Items {
    const type = DTYPES.find((d) => d[0] === this.dtype)![1];
    return new type(this.memory.buffer as ArrayBuffer, at, length);
  }

  expect(length: number, expected: number): void {
    if (length === expected) return;
    const shape = this.shape.join(', ');
    throw new EdgeError(EINPUT, `${this.name}: ${length} items; expected ${expected}, of the shape [${shape}]`);
  }
}

/** A loaded model with its arena, in a memory of its own. */
export class Model {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly steps: number;
  /** Its input arrives row by row (`push`), as an image of fixed height or as a window that slides for ever. */
  readonly streamed: boolean;
  readonly sliding: boolean;
  readonly arenaBytes: number;

  private constructor(
    private runtime: Runtime | null,
    readonly metadata: Readonly<Record<string, any>>,
  ) {
    const { exports } = runtime!;
    const about = new Int32Array(exports.memory.buffer, exports.edge_about(), 5);
    const [inputs, outputs, steps, streamed, arena] = about;
    const names = [...(metadata['inputs'] ?? []), ...(metadata['outputs'] ?? [])];
    const tensors = Array.from({ length: inputs + outputs }, (_, i) => tensorAt(exports, i, names[i] ?? `tensor${i}`));
    this.inputs = tensors.slice(0, inputs);
    this.outputs = tensors.slice(inputs);
    this.steps = steps;
    this.streamed = streamed > 0;
    this.sliding = streamed === 2;
    this.arenaBytes = arena >>> 0;
  }

  /** A model from the address of a .edge file (in node also its path) or from its bytes; of several files the one for
   * the fastest flavour that this engine runs. */
  static async load(source: Source | Sources, options: LoadOptions = {}): Promise<Model> {
    const sources = isSource(source) ? null : source;
    const runtime = await start(options, sources ? FLAVOURS.filter((f) => sources[f] !== undefined) : FLAVOURS);
    const chosen = isSource(source) ? source : source[runtime.flavour]!;
    const file = isBytes(chosen) ? bytesOf(chosen) : await read(chosen);
    const what = isBytes(chosen) ? 'the model' : String(chosen);
    const { exports } = runtime;
    if (options.maxBytes !== undefined) exports.edge_limit(options.maxBytes);
    const at = exports.edge_room(file.length) >>> 0;
    raise(exports, at ? 0 : EMEMORY, what);
    new Uint8Array(exports.memory.buffer, at).set(file);
    if (options.check) raise(exports, exports.edge_check(at, file.length), what);
    raise(exports, exports.edge_load(at, file.length), what);
    return new Model(runtime, await metadataOf(file));
  }

  /** The flavour of the module that runs it; of a module that the caller named, what the caller said. */
  get flavour(): Flavour {
    return this.live().flavour;
  }

  /** Names of the classes, where the file has them. */
  get labels(): readonly string[] {
    return this.metadata['labels'] ?? [];
  }

  /** One inference. Inputs in order or by name; none: those that lie in `inputs[i].data`. Returns the outputs' items,
   * as copies unless `copy` is false. */
  run(inputs?: readonly Values[] | Record<string, Values>, { copy = true } = {}): Items[] {
    this.infer(inputs, 0);
    return this.outputs.map((o) => (copy ? o.copy() : o.data));
  }

  /** Takes the next rows of a streamed input; true when the outputs are new. */
  push(rows: Values): boolean {
    return this.pushed(rows, 0);
  }

  /** Microseconds of every step, the mean of `runs` inferences; the hook's own cost is in them. */
  stepTimes(runs = 1, inputs?: readonly Values[] | Record<string, Values>): StepTime[] {
    const sums = new Float64Array(this.steps);
    let begun = 0;
    const event: Event = (step, done) => {
      const now = performance.now();
      if (done) sums[step] += now - begun;
      begun = performance.now();
    };
    for (let i = 0; i < runs; i++) this.hooked(event, inputs);
    const known = this.metadata['steps'] ?? [];
    return Array.from(sums, (sum, i) => ({
      name: known[i]?.source ?? `step ${i}`,
      op: known[i]?.op ?? '',
      microseconds: (sum * 1000) / runs,
    }));
  }

  /** One inference that tells, after each call of a kernel, the step and the bytes it wrote: all rows of a plain step,
   * else its next row. The bytes are a view, valid only then. */
  watch(seen: (step: number, bytes: Uint8Array) => void, inputs?: readonly Values[] | Record<string, Values>): void {
    const { memory } = this.live().exports;
    this.hooked((step, done, out, bytes) => {
      if (done) seen(step, new Uint8Array(memory.buffer, out >>> 0, bytes));
    }, inputs);
  }

  /** As just loaded: what runs leave to the next one, and rows that were pushed, are forgotten. */
  reset(): void {
    this.live().exports.edge_reset();
  }

  /** Lets go of the memory; the model cannot run any more, and its views go with it. */
  dispose(): void {
    this.runtime = null;
  }

  private live(): Runtime {
    if (!this.runtime) throw new EdgeError(ESTATE, 'the model was disposed of; load it again');
    return this.runtime;
  }

  private hooked(event: Event, inputs?: readonly Values[] | Record<string, Values>): void {
    const { told } = this.live();
    told.event = event;
    try {
      this.infer(inputs, 1);
    } finally {
      told.event = () => {};
    }
  }

  private infer(inputs: readonly Values[] | Record<string, Values> | undefined, hooked: number): void {
    const { exports } = this.live();
    const values = inputs === undefined ? undefined : this.ordered(inputs);
    if (this.streamed) {
      if (!values) throw new EdgeError(EINPUT, `${this.inputs[0].name}: a streamed input has no memory; give its items`);
      this.inputs[0].expect(values[0].length, this.inputs[0].elements);
      if (this.sliding) this.reset();
      this.pushed(values[0], hooked);
      return;
    }
    values?.forEach((v, i) => this.inputs[i].set(v));
    raise(exports, exports.edge_run(hooked), 'run');
  }

  private pushed(rows: Values, hooked: number): boolean {
    const { exports } = this.live(), input = this.inputs[0];
    if (!this.streamed) throw new EdgeError(EINPUT, `${input.name}: not a streamed input; use run`);
    const each = input.shape[2] * input.shape[3], items = input.items(rows);
    if (items.length % each) input.expect(items.length, Math.ceil(items.length / each) * each);
    let ready = 0;
    for (let i = 0; i < items.length; i += each) {
      const at = exports.edge_next_row(hooked) >>> 0;
      input.view(at, each).set(items.subarray(i, i + each) as any);
      ready = exports.edge_push(hooked);
      raise(exports, ready, 'push');
    }
    return ready > 0;
  }

  private ordered(inputs: readonly Values[] | Record<string, Values>): Values[] {
    const given = Array.isArray(inputs) ? inputs : this.inputs.map((t) => (inputs as Record<string, Values>)[t.name]);
    const missing = this.inputs.filter((_, i) => given[i] === undefined).map((t) => t.name);
    if (missing.length) throw new EdgeError(EINPUT, `no values for ${missing.join(', ')}; expected one array per input`);
    if (given.length !== this.inputs.length) {
      throw new EdgeError(EINPUT, `${given.length} arrays; expected ${this.inputs.length}, one per input`);
    }
    return given;
  }
}

/** The module's record of an input or output: address, bytes, rank, type, zero point, scale, dimensions. */
function tensorAt(exports: Exports, index: number, name: string): Tensor {
  const at = exports.edge_tensor(index) >>> 0;
  const words = new Int32Array(exports.memory.buffer, at, 12);
  const scale = new Float32Array(exports.memory.buffer, at + 20, 1)[0];
  const shape = Array.from(words.subarray(6, 6 + words[2]));
  return new Tensor(exports.memory, words[0] >>> 0, name, shape, DTYPES[words[3]][0], scale, words[4]);
}
