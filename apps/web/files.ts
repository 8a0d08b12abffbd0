// SPDX-License-Identifier: Apache-2.0
/** Bytes from wherever they are, and what a .edge file tells without the runtime. */
import { EFETCH, EdgeError } from './errors.js';

export type Bytes = ArrayBuffer | ArrayBufferView;

export const inNode = typeof (globalThis as any).process?.versions?.node === 'string';

export function isBytes(x: unknown): x is Bytes {
  return x instanceof ArrayBuffer || ArrayBuffer.isView(x);
}

export function bytesOf(x: Bytes): Uint8Array<ArrayBuffer> {
  return x instanceof ArrayBuffer
    ? new Uint8Array(x)
    : new Uint8Array(x.buffer as ArrayBuffer, x.byteOffset, x.byteLength);
}

/** The bytes behind an address; in node also of a file. */
export async function read(from: string | URL): Promise<Uint8Array<ArrayBuffer>> {
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

const METADATA_BYTES = 1 << 24; // most that is unpacked

/** The bytes of a stream, which ends where it gets too long. */
async function limited(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader(), decoder = new TextDecoder();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > METADATA_BYTES) {
      await reader.cancel();
      return '';
    }
  }
}

const SECTIONS_AT = 32, SECTION_BYTES = 12, STAGES = 3, METADATA = 5, STAGE_BYTES = 28;

/** A section of a file as a view of its bytes; null where there is none. */
function sectionOf(file: Uint8Array<ArrayBuffer>, id: number): Uint8Array<ArrayBuffer> | null {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const entries = Array.from({ length: view.getUint32(28, true) }, (_, i) => SECTIONS_AT + SECTION_BYTES * i);
  const at = entries.find((e) => view.getUint32(e, true) === id);
  if (at === undefined) return null;
  const begin = view.getUint32(at + 4, true);
  return file.subarray(begin, begin + view.getUint32(at + 8, true));
}

/** Whether the file has steps that several threads may share; false where it is no file that loads. */
export function isForThreads(file: Uint8Array<ArrayBuffer>): boolean {
  try {
    const stages = sectionOf(file, STAGES)!;
    const view = new DataView(stages.buffer, stages.byteOffset, stages.byteLength);
    const at = Array.from({ length: Math.floor(stages.length / STAGE_BYTES) }, (_, i) => STAGE_BYTES * i);
    return at.some((a) => view.getUint32(a, true) === 0 && view.getUint32(a + 16, true) > 0);
  } catch {
    return false;
  }
}

/** Bytes that the file, packed once more, and the arenas of so many threads have together, as its header tells. */
export function bytesFor(file: Uint8Array<ArrayBuffer>, threads: number): number {
  const arena = file.length < SECTIONS_AT ? 0 : new DataView(file.buffer, file.byteOffset).getUint32(24, true);
  return 2 * file.length + threads * arena;
}

/** The JSON of the metadata section of a file that was loaded; empty where there is none, or it cannot be read: a model
 * runs without it. */
export async function metadataOf(file: Uint8Array<ArrayBuffer>): Promise<Record<string, any>> {
  const packed = sectionOf(file, METADATA);
  if (!packed || typeof DecompressionStream !== 'function') return {};
  try {
    const stream = new Blob([packed.slice()]).stream().pipeThrough(new DecompressionStream('deflate'));
    const found = JSON.parse(await limited(stream));
    return typeof found === 'object' && found !== null ? found : {};
  } catch {
    return {};
  }
}

export function listOf(metadata: Readonly<Record<string, any>>, key: string): readonly any[] {
  return Array.isArray(metadata[key]) ? metadata[key] : [];
}
