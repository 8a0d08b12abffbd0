// SPDX-License-Identifier: Apache-2.0
/**
 * Runs .edge files in browsers, web workers and node, without dependencies.
 *
 *   const model = await Model.load('model.edge');
 *   const [scores] = model.run([pixels]);
 *
 * The runtime is one of the WebAssembly modules beside this file, the fastest that the engine computes exactly:
 * ert_relaxed.wasm, ert_simd128.wasm and ert_plain.wasm, and of the first two one with threads.
 */
export { EdgeError } from './errors.js';
export type { Bytes } from './files.js';
export { Model } from './model.js';
export type { StepTime } from './model.js';
export { FLAVOURS, flavours } from './runtime.js';
export type { Flavour, LoadOptions } from './runtime.js';
export { Tensor } from './tensor.js';
export type { DType, Items, Values } from './tensor.js';
export { canShare } from './threads.js';
