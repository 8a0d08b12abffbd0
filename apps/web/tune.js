// SPDX-License-Identifier: Apache-2.0
/** The fastest of several files or ways to run one, measured where the page runs and remembered there. */
import { EINPUT, EdgeError } from './errors.js';
import { bytesOf, inNode, isBytes, read } from './files.js';
import { Model } from './model.js';
import { threadsFor } from './threads.js';
const MARGIN = 0.97; // a later candidate must be so much faster than an earlier one
const ROUNDS = 4; // of a candidate, at least
const BATCH_MS = 2; // clocks of pages are coarse
/** localStorage; a page that may keep nothing has none, or throws. */
function ownStore() {
    try {
        return globalThis.localStorage ?? null;
    }
    catch {
        return null;
    }
}
/** What a file is known by: its length and the checksum in its header. */
function markOf(file) {
    return file.length < 16 ? '' : `${file.length}-${new DataView(file.buffer, file.byteOffset).getUint32(12, true)}`;
}
/** A candidate without its file. */
function wayOf({ source, wasm, flavour, threads, pack }) {
    const name = isBytes(source) ? markOf(bytesOf(source)) : String(source);
    const module = typeof wasm === 'string' || wasm instanceof URL ? String(wasm) : '';
    return [name, module, flavour ?? '', threadsFor(threads), pack ?? ''].join(' ');
}
function keyOf(candidates) {
    const engine = globalThis.navigator?.userAgent ?? (inNode ? globalThis.process.version : '');
    return `edgesdk|${engine}|${candidates.map(wayOf).join('|')}`;
}
async function load({ source, ...options }) {
    const file = isBytes(source) ? bytesOf(source) : await read(source);
    return { model: await Model.load(file, options), mark: markOf(file) };
}
/** The candidate of an earlier visit; null where there is none, or its file is another one now. */
async function remembered(candidates, store) {
    try {
        const { chosen, mark } = JSON.parse((await store?.getItem(keyOf(candidates))) ?? '{}');
        if (!candidates[chosen])
            return null;
        const found = await load(candidates[chosen]);
        if (found.mark === mark)
            return { model: found.model, chosen, times: null };
        found.model.dispose();
    }
    catch {
        // A store that fails, or a candidate that loads no more.
    }
    return null;
}
async function remember(candidates, store, chosen, mark) {
    try {
        await store?.setItem(keyOf(candidates), JSON.stringify({ chosen, mark }));
    }
    catch {
        // No room, or not allowed: the next visit measures again.
    }
}
/** An inference of whatever lies in the inputs; one that is streamed gets zeros. */
function infer(model) {
    if (model.streamed)
        model.run([model.inputs[0].items(new Array(model.inputs[0].elements).fill(0))]);
    else
        model.run(undefined, { copy: false });
}
/** Milliseconds of an inference, the mean of as many as the clock needs. */
function timed(model) {
    const begun = performance.now();
    for (let n = 1;; n++) {
        infer(model);
        const passed = performance.now() - begun;
        if (passed >= BATCH_MS)
            return passed / n;
    }
}
const pause = () => new Promise((resolve) => setTimeout(resolve, 0)); // the page stays alive
/** The shortest time of each, in turns: what else the machine does, and the engine's compiling, meets all of them. */
async function contest(models, budget) {
    const best = models.map(() => Infinity), end = performance.now() + budget;
    for (let round = 0; round < ROUNDS || performance.now() < end; round++) {
        for (const [i, model] of models.entries()) {
            best[i] = Math.min(best[i], timed(model));
            await pause();
        }
    }
    return best;
}
/** The first that no later one beats clearly. */
function fastest(times) {
    let chosen = times.findIndex((t) => !Number.isNaN(t));
    times.forEach((t, i) => {
        if (t < times[chosen] * MARGIN)
            chosen = i;
    });
    return chosen;
}
/** Those that load, null for the others; an error where none does. */
async function loadAll(candidates) {
    const all = await Promise.allSettled(candidates.map(load));
    const failed = all.find((r) => r.status === 'rejected');
    if (all.every((r) => r.status === 'rejected')) {
        throw failed?.reason ?? new EdgeError(EINPUT, 'no candidates; expected at least one');
    }
    return all.map((r) => (r.status === 'fulfilled' ? r.value : null));
}
async function loadFirst(candidates) {
    let error = new EdgeError(EINPUT, 'no candidates; expected at least one');
    for (const [chosen, candidate] of candidates.entries()) {
        try {
            return { model: (await load(candidate)).model, chosen, times: null };
        }
        catch (refused) {
            if (chosen === 0)
                error = refused;
        }
    }
    throw error;
}
/** Loads the fastest of the candidates: on the first visit all of them are loaded and measured, later ones load the
 * winner alone, until its file, the engine or the number of threads changes. Those that do not load here are left out. */
export async function loadFastest(candidates, options = {}) {
    const { budget = 500, measure = true, store = ownStore() } = options;
    if (!measure || candidates.length < 2)
        return loadFirst(candidates);
    const known = await remembered(candidates, store);
    if (known)
        return known;
    const all = await loadAll(candidates), able = all.filter((c) => c !== null);
    const found = (await contest(able.map((c) => c.model), budget)).values();
    const times = all.map((c) => (c ? found.next().value : NaN));
    const chosen = fastest(times), { model, mark } = all[chosen];
    for (const other of able)
        if (other.model !== model)
            other.model.dispose();
    model.reset();
    await remember(candidates, store, chosen, mark);
    return { model, chosen, times };
}
