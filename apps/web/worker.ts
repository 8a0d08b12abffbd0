// SPDX-License-Identifier: Apache-2.0
/** A thread of a model: takes parts of steps until the model is disposed of. */
import { inNode } from './files.js';
import type { Start } from './threads.js';

async function serve({ module, memory, stack, number }: Start, tell: (what: string) => void): Promise<void> {
  const instance = await WebAssembly.instantiate(module, { env: { memory }, edge: { event: () => {} } });
  const exports = instance.exports as any;
  exports.__stack_pointer.value = stack; // the module's own is the first thread's
  tell('ready');
  exports.edge_work(number);
}

if (inNode) {
  const threads = 'node:worker_threads';
  const { parentPort } = await import(/* webpackIgnore: true */ /* @vite-ignore */ threads);
  parentPort.once('message', (start: Start) => serve(start, (what) => parentPort.postMessage(what)));
} else {
  addEventListener('message', ({ data }) => serve(data, (what) => postMessage(what)), { once: true });
}
