// SPDX-License-Identifier: Apache-2.0
// What the page and the node program answer to the edgesdk command line. A message is the length of its JSON in four
// bytes, the JSON, then buffers whose lengths the JSON lists:
//
//   hello                               -> engine, flavours
//   load {flavour, threads} wasm model  -> arena_bytes, init_us, threads
//   run inputs...                       -> outputs...
//   step_outputs inputs...              -> steps[], for each call of a kernel the step's number; what it wrote...
//   reset                               -> {}
//   measure {runs} inputs...            -> first, warm_up, steady[], steps[]
//   bye                                 -> {}
//
// A refusal is {error, code}.
import { EdgeError, Model, flavours } from './edgesdk.js';

const WARM_UP_MS = 300; // engines compile hot code again, better, while it runs
const WARM_UP_RUNS = 1000;
const BATCH_MS = 1; // clocks of pages are coarse: what is timed takes at least this long
const STEPS_MS = 100;
const STEPS_RUNS = 200;

export function pack(header, buffers = []) {
  const bytes = buffers.map((b) => new Uint8Array(b.buffer, b.byteOffset, b.byteLength));
  const text = new TextEncoder().encode(JSON.stringify({ ...header, buffers: bytes.map((b) => b.length) }));
  const message = new Uint8Array(4 + text.length + bytes.reduce((sum, b) => sum + b.length, 0));
  new DataView(message.buffer).setUint32(0, text.length, true);
  message.set(text, 4);
  let at = 4 + text.length;
  for (const b of bytes) {
    message.set(b, at);
    at += b.length;
  }
  return message;
}

export function unpack(message) {
  const length = new DataView(message.buffer, message.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(message.subarray(4, 4 + length)));
  let at = 4 + length;
  const buffers = header.buffers.map((n) => message.slice(at, (at += n)));
  return [header, buffers];
}

function timed(infer, n = 1) {
  const begun = performance.now();
  for (let i = 0; i < n; i++) infer();
  return ((performance.now() - begun) * 1000) / n;
}

/** Runs until the engine had time to compile; the median of what each took. */
function warmUp(infer) {
  const times = [];
  const end = performance.now() + WARM_UP_MS;
  while (times.length < 3 || (times.length < WARM_UP_RUNS && performance.now() < end)) times.push(timed(infer));
  return median(times);
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** The mean of the middle half: a coarse clock wants a mean, a busy machine none of its worst. */
function middleMean(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.slice(values.length >> 2, values.length - (values.length >> 2));
  return middle.reduce((a, b) => a + b) / middle.length;
}

function stepTimes(model, inputs, runs) {
  const each = Array.from({ length: runs }, () => model.stepTimes(1, inputs).map((s) => s.microseconds));
  return each[0].map((_, i) => middleMean(each.map((times) => times[i])));
}

function measured(model, inputs, runs) {
  const infer = () => model.run(inputs);
  const first = timed(infer);
  const warm = warmUp(infer);
  const batch = Math.max(1, Math.ceil((BATCH_MS * 1000) / Math.max(1, warm)));
  const steady = Array.from({ length: runs }, () => timed(infer, batch));
  const times = Math.min(STEPS_RUNS, Math.max(5, Math.ceil((STEPS_MS * 1000) / Math.max(1, warm))));
  return { first, warm_up: warm, steady, steps: stepTimes(model, inputs, times) };
}

/** The array that holds an input's items, from their bytes. */
function itemsOf(tensor, bytes) {
  const type = tensor.items([]).constructor;
  return new type(bytes.buffer, bytes.byteOffset, bytes.byteLength / type.BYTES_PER_ELEMENT);
}

export class Agent {
  model = null;

  constructor(engine) {
    this.engine = engine;
  }

  async answer(message) {
    const [header, buffers] = unpack(message);
    try {
      return pack(...(await this[header.ask](header, buffers)));
    } catch (error) {
      const code = error instanceof EdgeError ? error.number : 0;
      return pack({ error: String(error.message ?? error), code });
    }
  }

  hello() {
    return [{ engine: this.engine, flavours: flavours() }];
  }

  async load({ flavour, threads }, [wasm, bytes]) {
    this.model?.dispose();
    this.model = null;
    const begun = performance.now();
    this.model = await Model.load(bytes, { wasm, flavour, threads });
    const init_us = (performance.now() - begun) * 1000;
    return [{ arena_bytes: this.model.arenaBytes, init_us, threads: this.model.threads }];
  }

  inputs(buffers) {
    return buffers.map((b, i) => itemsOf(this.model.inputs[i], b));
  }

  run(_, buffers) {
    return [{}, this.model.run(this.inputs(buffers))];
  }

  step_outputs(_, buffers) {
    const steps = [];
    const chunks = [];
    this.model.watch((step, bytes) => {
      steps.push(step);
      chunks.push(bytes.slice());
    }, this.inputs(buffers));
    return [{ steps }, chunks];
  }

  reset() {
    this.model.reset();
    return [{}];
  }

  measure({ runs }, buffers) {
    return [measured(this.model, this.inputs(buffers), runs)];
  }

  bye() {
    this.model?.dispose();
    return [{}];
  }
}
