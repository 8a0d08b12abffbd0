// SPDX-License-Identifier: Apache-2.0
// One network on one peer. prepare() loads and runs it once; batch() times it for a while.
import { PEERS } from './peers.js';

const SAMPLE_MS = 0.5; // clocks tick every 5 us in an isolated page
let infer = null;
let each = 1;

async function bytesOf(path) {
  return new Uint8Array(await (await fetch(path)).arrayBuffer());
}

/** Milliseconds of one inference, the mean of `each`. */
async function sample() {
  const begun = performance.now();
  for (let i = 0; i < each; i++) {
    const waits = infer();
    if (waits instanceof Promise) await waits;
  }
  return (performance.now() - begun) / each;
}

window.prepare = async (net, peer) => {
  const [file, raw] = await Promise.all([bytesOf(peer.file), bytesOf(net.input)]);
  const image = new Float32Array(raw.buffer);
  const begun = performance.now();
  const made = await PEERS[peer.peer](file, image, net, peer);
  infer = made.infer;
  const output = Array.from(await infer());
  const load_ms = performance.now() - begun;
  for (let until = performance.now() + 400, n = 0; n < 3 || performance.now() < until; n++) await sample();
  each = Math.max(1, Math.ceil(SAMPLE_MS / (await sample())));
  return { load_ms, output, note: made.note ?? '' };
};

window.batch = async (ms) => {
  const times = [];
  for (let until = performance.now() + ms; times.length < 3 || performance.now() < until; ) times.push(await sample());
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1], best: times[0] };
};

parent.postMessage('ready', '*');
