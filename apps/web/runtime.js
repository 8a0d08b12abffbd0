// SPDX-License-Identifier: Apache-2.0
/** Modules of the runtime: which flavours an engine takes, and how one is found and started. */
import { EENGINE, EFETCH, EdgeError } from './errors.js';
import { bytesOf, isBytes, read } from './files.js';
import { importsMemory, sharedMemory } from './threads.js';
export const FLAVOURS = ['plain', 'simd128', 'relaxed'];
/** A module of one function, `() => {}`, whose body is `code` and a drop. */
function probe(...code) {
    const body = [0, ...code, 0x1a, 0x0b];
    return new Uint8Array([
        0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // magic, version
        1, 4, 1, 0x60, 0, 0, // types
        3, 2, 1, 0, // functions
        10, body.length + 2, 1, body.length, ...body, // code
    ]);
}
const ZEROS = [0x41, 0, 0xfd, 0x0f]; // i8x16.splat(0)
const PROBES = {
    plain: probe(0x41, 0, 0xc0), // i32.extend8_s
    simd128: probe(...ZEROS),
    relaxed: probe(...ZEROS, ...ZEROS, ...ZEROS, 0xfd, 0x93, 0x02), // i32x4.relaxed_dot_i8x16_i7x16_add_s
};
/** The flavours that the engine takes, slowest first. Whether it computes `relaxed` exactly shows when that runs. */
export function flavours() {
    return typeof WebAssembly === 'object' ? FLAVOURS.filter((f) => WebAssembly.validate(PROBES[f])) : [];
}
async function compile(name, bytes) {
    try {
        return await WebAssembly.compile(bytes);
    }
    catch (error) {
        throw new EdgeError(EENGINE, `${name}: this engine refuses the module (${error}); use another flavour of it`);
    }
}
const compiled = new Map();
/** The compiled module at an address; a failed attempt is forgotten. */
function moduleAt(address) {
    let found = compiled.get(address);
    if (!found) {
        found = read(address).then((bytes) => compile(address, bytes));
        found.catch(() => compiled.delete(address));
        compiled.set(address, found);
    }
    return found;
}
async function moduleOf(wasm, name) {
    if (wasm instanceof WebAssembly.Module)
        return wasm;
    if (isBytes(wasm))
        return compile('the given module', bytesOf(wasm));
    if (wasm === undefined)
        return moduleAt(String(new URL(name, import.meta.url)));
    const address = String(wasm);
    return moduleAt(address.endsWith('.wasm') ? address : `${address.replace(/\/?$/, '/')}${name}`);
}
/** Whether the caller names one module, of whatever flavour it is. */
function isOne(wasm) {
    return wasm instanceof WebAssembly.Module || isBytes(wasm) || (wasm !== undefined && String(wasm).endsWith('.wasm'));
}
/** null where the engine computes wrongly, or has no memory that a module with threads may share. */
async function instantiate(module, flavour, bytes) {
    const told = { event: (() => { }) };
    const event = (step, done, out, n) => told.event(step, done, out, n);
    const memory = importsMemory(module) ? sharedMemory(bytes) : undefined;
    if (memory === null)
        return null;
    const instance = await WebAssembly.instantiate(module, { edge: { event }, ...(memory && { env: { memory } }) });
    const exports = { ...instance.exports, ...(memory && { memory }) };
    return exports.edge_probe() ? { flavour, module, exports, told } : null;
}
/** The fastest module with threads; null where there is none, or the engine does not run it. */
async function startThreaded(options, bytes) {
    const able = flavours().filter((f) => f !== 'plain' && (!options.flavour || f === options.flavour));
    for (const flavour of able.reverse()) {
        try {
            const runtime = await instantiate(await moduleOf(options.wasm, `ert_${flavour}_threads.wasm`), flavour, bytes);
            if (runtime)
                return runtime;
        }
        catch (error) {
            if (!(error instanceof EdgeError && error.number === EFETCH))
                throw error;
        }
    }
    return null;
}
/** The fastest flavour that the engine takes and computes exactly; `bytes`: of memory that a model needs. */
export async function start(options, bytes, threads) {
    if (typeof WebAssembly !== 'object')
        throw new EdgeError(EENGINE, 'this engine has no WebAssembly; use a newer one');
    const asked = options.flavour, one = isOne(options.wasm);
    const threaded = threads && !one ? await startThreaded(options, bytes) : null;
    if (threaded)
        return threaded;
    const able = one ? [asked ?? 'plain'] : flavours().filter((f) => !asked || f === asked);
    for (const flavour of able.reverse()) {
        const runtime = await instantiate(await moduleOf(options.wasm, `ert_${flavour}.wasm`), flavour, bytes);
        if (runtime)
            return runtime;
    }
    const what = one ? 'the given module' : `the ${asked ?? 'plain'} flavour`;
    throw new EdgeError(EENGINE, `this engine cannot run ${what}, or computes it wrongly; leave the choice to edgesdk`);
}
/** -code as a sentence of the runtime. */
function message(exports, code) {
    const bytes = new Uint8Array(exports.memory.buffer, exports.edge_message(code) >>> 0);
    return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
}
export function raise(exports, code, what) {
    if (code < 0)
        throw new EdgeError(code, `${what}: ${message(exports, code)}`);
}
