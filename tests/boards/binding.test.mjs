// SPDX-License-Identifier: Apache-2.0
// The JavaScript binding as users call it. FOLDER has the binding, its modules, two models and what they compute.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

const folder = process.env.FOLDER;
const at = (name) => join(folder, name);
const { EdgeError, FLAVOURS, Model, canShare, flavours } = await import(pathToFileURL(at('edgesdk.js')));
const { loadFastest } = await import(pathToFileURL(at('tune.js')));
const { image, scores, rows, result, hostile } = JSON.parse(readFileSync(at('case.json')));
const bytes = readFileSync(at('digits.edge'));
const pixels = Int8Array.from(image);

const refused = (code) => (error) => {
  assert.ok(error instanceof EdgeError, String(error));
  assert.equal(error.code, code);
  assert.equal(error.name, 'EdgeError');
  assert.ok(error.number < 0 && error.message.length > 20);
  return true;
};

test('loads from a path, an address, bytes and a view of bytes', async () => {
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  const sources = [at('digits.edge'), pathToFileURL(at('digits.edge')), new Uint8Array(bytes).buffer, shifted.subarray(3)];
  for (const source of sources) {
    const model = await Model.load(source);
    assert.deepEqual([...model.run([pixels])[0]], scores);
  }
});

test('every flavour of this engine gives the same bytes', async () => {
  assert.ok(flavours().includes('plain'));
  for (const flavour of flavours().filter((f) => f !== 'relaxed')) {
    const model = await Model.load(bytes, { flavour });
    assert.equal(model.flavour, flavour);
    assert.deepEqual([...model.run({ [model.inputs[0].name]: pixels })[0]], scores);
  }
  assert.equal((await Model.load(bytes)).flavour, flavours().includes('relaxed') ? 'relaxed' : 'simd128');
});

test('takes modules as folder, file, bytes and compiled', async () => {
  const one = at('ert_plain.wasm');
  const ways = [folder, `${folder}/`, pathToFileURL(one), readFileSync(one), await WebAssembly.compile(readFileSync(one))];
  for (const wasm of ways) {
    assert.deepEqual([...(await Model.load(bytes, { wasm })).run([pixels])[0]], scores);
  }
});

test('describes the model', async () => {
  const model = await Model.load(bytes, { check: true });
  const [input] = model.inputs, [output] = model.outputs;
  assert.equal(input.name, 'image');
  assert.equal(input.elements, 64);
  assert.equal(output.shape.reduce((a, b) => a * b), 10);
  assert.equal(model.metadata.steps.length, model.steps);
  assert.deepEqual(model.labels, []);
  assert.ok(model.arenaBytes > 64 && !model.streamed && !model.sliding);
  model.run([pixels]);
  assert.ok(Math.abs(output.real().reduce((a, b) => a + b) - 1) < 0.05, 'probabilities add up to 1');
});

test('reads and writes in place', async () => {
  const model = await Model.load(bytes);
  model.inputs[0].data.set(pixels);
  const [view] = model.run(undefined, { copy: false });
  assert.deepEqual([...view], scores);
  assert.equal(view.buffer, model.outputs[0].data.buffer);
});

test('rounds numbers to the grid of a quantised tensor, halves away from zero', async () => {
  const model = await Model.load(at('streamed.edge'));
  const [input] = model.inputs;
  assert.equal(input.dtype, 'int8');
  const { scale, zeroPoint } = input;
  const real = [1.5, -1.5, 0, 1e9, -1e9].map((q) => q * scale);
  assert.deepEqual([...input.items(real)], [2, -2, 0].map((q) => Math.min(127, q + zeroPoint)).concat([127, -128]));
  assert.throws(() => input.items([NaN]), refused('EINPUT'));
});

test('takes a streamed input at once and row by row', async () => {
  const model = await Model.load(at('streamed.edge'));
  const [input] = model.inputs, items = Int8Array.from(rows);
  assert.ok(model.streamed);
  assert.throws(() => input.data, refused('EINPUT'));
  assert.throws(() => model.run(), refused('EINPUT'));
  assert.deepEqual([...model.run([items])[0]], result);
  const each = input.shape[2] * input.shape[3];
  const ready = [];
  for (let i = 0; i < items.length; i += each) ready.push(model.push(items.subarray(i, i + each)));
  assert.deepEqual(ready, ready.map((_, i) => i === ready.length - 1));
  assert.deepEqual([...model.outputs[0].data], result);
  assert.throws(() => model.push(items.subarray(0, each + 1)), refused('EINPUT'));
});

test('times every step', async () => {
  const model = await Model.load(bytes);
  const times = model.stepTimes(3, [pixels]);
  assert.equal(times.length, model.steps);
  assert.ok(times.every((t) => t.microseconds >= 0 && t.op) && times.some((t) => t.microseconds > 0));
});

test('shows what every step writes', async () => {
  const model = await Model.load(bytes);
  const written = [];
  model.watch((step, output) => written.push([step, Int8Array.from(new Int8Array(output.slice().buffer))]), [pixels]);
  assert.deepEqual(written.map(([step]) => step).slice(-1), [model.steps - 1]);
  assert.deepEqual([...written.at(-1)[1]], scores);
});

test('refuses with one sentence and a code', async () => {
  const wrong = Uint8Array.from(bytes);
  wrong[0] ^= 1;
  await assert.rejects(Model.load(wrong), refused('EMAGIC'));
  const damaged = Uint8Array.from(bytes);
  damaged[bytes.length - 1] ^= 1;
  await assert.rejects(Model.load(damaged, { check: true }), refused('ECHECKSUM'));
  await assert.rejects(Model.load(bytes.subarray(0, 20)), refused('ETRUNCATED'));
  await assert.rejects(Model.load(at('missing.edge')), refused('EFETCH'));
  await assert.rejects(Model.load(bytes, { wasm: at('digits.edge') + '/x.wasm' }), refused('EFETCH'));
  await assert.rejects(Model.load(bytes, { wasm: new Uint8Array([0, 97, 115, 109]) }), refused('EENGINE'));
  if (!flavours().includes('relaxed')) await assert.rejects(Model.load(bytes, { flavour: 'relaxed' }), refused('EENGINE'));
  const model = await Model.load(bytes);
  assert.throws(() => model.run([pixels.subarray(1)]), refused('EINPUT'));
  assert.throws(() => model.run([]), refused('EINPUT'));
  assert.throws(() => model.run({ other: pixels }), refused('EINPUT'));
  assert.throws(() => model.run([pixels, pixels]), refused('EINPUT'));
  assert.throws(() => model.push(pixels), refused('EINPUT'));
  model.dispose();
  assert.throws(() => model.run([pixels]), refused('ESTATE'));
});

test('memory that may not grow is an error, for the model and for its arena', async () => {
  await assert.rejects(Model.load(bytes, { maxBytes: 1000 }), refused('EMEMORY'));
  const module = await Model.load(bytes);
  const used = module.inputs[0].data.byteOffset;
  await assert.rejects(Model.load(bytes, { maxBytes: used }), refused('EMEMORY'));
  const vast = Uint8Array.from(bytes);
  new DataView(vast.buffer).setUint32(24, 0x1ffffff0, true); // an arena of half a gigabyte
  await assert.rejects(Model.load(vast, { maxBytes: 1 << 26 }), refused('EMEMORY'));
});

test('metadata that makes no sense is left out', async () => {
  for (const name of hostile) {
    const model = await Model.load(at(name));
    assert.deepEqual([...model.run([pixels])[0]], scores, name);
    assert.equal(model.stepTimes().length, model.steps);
    assert.ok(model.inputs[0].name && model.labels.length === 0, name);
  }
});

test('shares a model that was converted for threads out among them', async () => {
  assert.ok(canShare());
  for (const threads of [2, 3]) {
    const model = await Model.load(at('threaded.edge'), { threads });
    assert.equal(model.threads, threads);
    assert.ok(model.inputs[0].data.buffer instanceof SharedArrayBuffer);
    for (let i = 0; i < 20; i++) {
      const [copy] = model.run([pixels]);
      assert.ok(copy.buffer instanceof ArrayBuffer);
      assert.deepEqual([...copy], scores);
    }
    assert.equal(model.stepTimes(2).length, model.steps);
    model.dispose();
    assert.equal(model.threads, 1);
    assert.throws(() => model.run([pixels]), refused('ESTATE'));
  }
  await assert.rejects(Model.load(at('threaded.edge'), { threads: 2, maxBytes: 1000 }), refused('EMEMORY'));
  const tight = await Model.load(at('threaded.edge'), { threads: 2, maxBytes: 1 << 17 });
  assert.equal(tight.threads, 1, 'no room for stacks');
  assert.deepEqual([...tight.run([pixels])[0]], scores);
});

test('runs one thread where there are no more', async () => {
  for (const [file, options] of [['digits.edge', { threads: 4 }], ['threaded.edge', { threads: 1 }]]) {
    const model = await Model.load(at(file), options);
    assert.equal(model.threads, 1);
    assert.deepEqual([...model.run([pixels])[0]], scores);
  }
  const Shared = globalThis.SharedArrayBuffer;
  delete globalThis.SharedArrayBuffer; // as in a page that is not isolated
  try {
    const model = await Model.load(at('threaded.edge'), { threads: 2 });
    assert.ok(!canShare() && model.threads === 1);
    assert.deepEqual([...model.run([pixels])[0]], scores);
  } finally {
    globalThis.SharedArrayBuffer = Shared;
  }
});

test('runs one thread where files for more are missing', async () => {
  const some = at('some');
  mkdirSync(some, { recursive: true });
  for (const name of ['ert_plain.wasm', 'ert_simd128.wasm', 'ert_relaxed.wasm']) copyFileSync(at(name), join(some, name));
  const model = await Model.load(at('threaded.edge'), { threads: 2, wasm: some });
  assert.equal(model.threads, 1);
  assert.deepEqual([...model.run([pixels])[0]], scores);
  renameSync(at('worker.js'), at('worker.away'));
  try {
    const alone = await Model.load(at('threaded.edge'), { threads: 2 });
    assert.equal(alone.threads, 1);
    assert.deepEqual([...alone.run([pixels])[0]], scores);
  } finally {
    renameSync(at('worker.away'), at('worker.js'));
  }
});

test('works in a worker', async () => {
  const code = `
    import { parentPort, workerData } from 'node:worker_threads';
    const { Model } = await import(workerData.binding);
    const model = await Model.load(workerData.model);
    parentPort.postMessage(model.run([workerData.pixels])[0]);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
    workerData: { binding: pathToFileURL(at('edgesdk.js')).href, model: at('digits.edge'), pixels },
  });
  const found = await new Promise((done, fail) => worker.once('message', done).once('error', fail));
  assert.deepEqual([...found], scores);
});

test('flavours are listed slowest first', () => {
  assert.deepEqual(FLAVOURS, ['plain', 'simd128', 'relaxed']);
  assert.deepEqual(flavours(), FLAVOURS.slice(0, flavours().length));
});

test('packs portable models for the vectors of the engine, unless asked not to', async () => {
  const loads = (maxBytes) => Model.load(bytes, { flavour: 'simd128', maxBytes }).then(() => true, () => false);
  let least = 0; // memory without which it does not load: none is left to pack it
  for (let step = 1 << 24; step >= 16; step /= 2) if (!(await loads(least + step))) least += step;
  for (const options of [{}, { pack: false }, { flavour: 'plain' }, { maxBytes: least + 16 }]) {
    const model = await Model.load(bytes, { flavour: 'simd128', ...options });
    assert.equal(model.packedBytes > 0, Object.keys(options).length === 0, JSON.stringify(options));
    assert.deepEqual([...model.run([pixels])[0]], scores);
  }
  assert.equal((await Model.load(at('vectors.edge'))).packedBytes, 0);
});

/** A store of this test's own. */
function stored() {
  const items = new Map();
  return { items, getItem: (key) => items.get(key) ?? null, setItem: (key, value) => items.set(key, value) };
}

test('takes the fastest candidate, and remembers it', async () => {
  const ways = [
    { source: at('digits.edge'), flavour: 'plain' },
    { source: at('missing.edge') },
    { source: at('vectors.edge'), flavour: 'simd128' },
  ];
  const store = stored(), options = { store, budget: 50 };
  const first = await loadFastest(ways, options);
  assert.equal(first.times.length, 3);
  assert.ok(first.times[0] > 0 && Number.isNaN(first.times[1]) && first.times[2] > 0);
  assert.equal(first.chosen, first.times[2] < first.times[0] * 0.97 ? 2 : 0);
  assert.deepEqual([...first.model.run([pixels])[0]], scores);
  assert.equal(store.items.size, 1);
  const second = await loadFastest(ways, options);
  assert.deepEqual([second.chosen, second.times], [first.chosen, null]);
  assert.deepEqual([...second.model.run([pixels])[0]], scores);
  const [key] = store.items.keys();
  assert.ok(key.includes(globalThis.navigator?.userAgent ?? process.version));
  store.setItem(key, JSON.stringify({ chosen: 2, mark: 'of an older file' }));
  assert.ok((await loadFastest(ways, options)).times);
  store.setItem(key, 'nonsense');
  assert.ok((await loadFastest(ways, options)).times);
  await loadFastest([...ways, { source: bytes }], options);
  assert.equal(store.items.size, 2);
});

test('measures a slow candidate as slow, wherever it stands', async () => {
  const slow = { source: bytes, flavour: 'plain' }, fast = { source: at('streamed.edge') };
  const [a, b] = [await loadFastest([slow, fast], { store: null }), await loadFastest([fast, slow], { store: null })];
  const ratio = a.times[0] / a.times[1];
  assert.ok(Math.max(ratio, 1 / ratio) > 1.5, `the test wants models that differ: ${a.times}`);
  assert.equal(a.chosen, ratio > 1 ? 1 : 0);
  assert.equal(b.chosen, 1 - a.chosen);
});

test('measures nothing where it is told not to, or there is nothing to choose', async () => {
  const store = stored(), both = [{ source: at('missing.edge') }, { source: bytes }];
  const found = await loadFastest(both, { measure: false, store });
  assert.deepEqual([found.chosen, found.times, store.items.size], [1, null, 0]);
  assert.deepEqual([(await loadFastest([{ source: bytes }], { store })).times, store.items.size], [null, 0]);
  await assert.rejects(loadFastest([], { store }), refused('EINPUT'));
  await assert.rejects(loadFastest([both[0], both[0]], { store }), refused('EFETCH'));
  await assert.rejects(loadFastest([both[0], both[0]], { measure: false }), refused('EFETCH'));
});

test('a store that fails does no harm', async () => {
  const fails = () => { throw new Error('no storage here'); };
  const found = await loadFastest([{ source: bytes }, { source: bytes }], { store: { getItem: fails, setItem: fails }, budget: 1 });
  assert.deepEqual([...found.model.run([pixels])[0]], scores);
});
