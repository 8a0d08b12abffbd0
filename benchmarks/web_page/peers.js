// SPDX-License-Identifier: Apache-2.0
// How each peer runs a network: (file, image as NHWC floats, network, peer) -> { infer, note }, one thread each. What a
// page would do for every new image is inside infer, giving the image and reading the output.
const LITERT = '/node_modules/@litertjs/core/';
const ORT = '/node_modules/onnxruntime-web/dist/';
const TF = '/node_modules/@tensorflow/';

function script(src) {
  return new Promise((done, fail) => {
    const element = document.createElement('script');
    Object.assign(element, { src, onload: done, onerror: () => fail(new Error(`${src} cannot be loaded`)) });
    document.head.append(element);
  });
}

async function edgesdk(file, image, _, { flavour }) {
  const { Model } = await import('/edgesdk/edgesdk.js');
  const model = await Model.load(file, { flavour });
  return { infer: () => model.run([image])[0], note: model.flavour };
}

async function litert(file, image, { image: [h, w, c] }, { compat }) {
  const lib = await import(`${LITERT}dist/index.js`);
  await lib.loadLiteRt(`${LITERT}wasm/${compat ? 'litert_wasm_compat_internal.js' : ''}`, { threads: false });
  const model = await lib.loadAndCompile(file, { accelerator: 'wasm', cpuOptions: { numThreads: 1 } });
  async function infer() {
    const input = new lib.Tensor(image, [1, h, w, c]);
    const outputs = await model.run(input);
    const found = await outputs[0].data();
    input.delete();
    outputs.forEach((o) => o.delete());
    return found;
  }
  return { infer };
}

async function ort(file, image, { image: [h, w, c] }) {
  const lib = await import(`${ORT}ort.wasm.min.mjs`);
  Object.assign(lib.env.wasm, { numThreads: 1, wasmPaths: ORT });
  lib.env.logLevel = 'error';
  const session = await lib.InferenceSession.create(file, { executionProviders: ['wasm'], intraOpNumThreads: 1 });
  const input = new lib.Tensor('float32', channelsFirst(image, h * w, c), [1, c, h, w]);
  const infer = async () => (await session.run({ [session.inputNames[0]]: input }))[session.outputNames[0]].data;
  return { infer };
}

function channelsFirst(image, pixels, c) {
  return Float32Array.from(image, (_, i) => image[(i % pixels) * c + Math.floor(i / pixels)]);
}

/** `file` is all weights and biases as floats, in the order of the layers that have them. */
async function tfjs(file, image, { image: size, layers }) {
  await script(`${TF}tfjs/dist/tf.min.js`);
  await script(`${TF}tfjs-backend-wasm/dist/tf-backend-wasm.min.js`);
  tf.wasm.setWasmPaths(`${TF}tfjs-backend-wasm/dist/`);
  tf.wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  const floats = new Float32Array(file.buffer);
  let at = 0;
  const take = (shape) => tf.tensor(floats.subarray(at, (at += shape.reduce((a, b) => a * b))), shape);
  const weights = layers.map((l) => (l.w ? { filter: take(l.w), bias: take([l.channels]) } : null));
  const infer = () =>
    tf.tidy(() => {
      const values = [tf.tensor(image, [1, ...size])];
      layers.forEach((l, i) => values.push(layer(l, l.inputs.map((n) => values[n]), weights[i])));
      return values.at(-1).dataSync();
    });
  return { infer, note: tf.getBackend() };
}

function layer(l, [x, y], weights) {
  const activation = l.activation === 'none' ? undefined : l.activation;
  if (l.kind === 'mean') return tf.mean(x, [1, 2]);
  if (l.kind === 'dense') return tf.fused.matMul({ a: x, b: weights.filter, bias: weights.bias, activation });
  if (l.kind === 'add') return activation ? tf[activation](tf.add(x, y)) : tf.add(x, y);
  const options = { x, ...weights, strides: l.stride, pad: 'same', activation };
  return l.kind === 'conv' ? tf.fused.conv2d(options) : tf.fused.depthwiseConv2d(options);
}

export const PEERS = { edgesdk, litert, ort, tfjs };
