// SPDX-License-Identifier: Apache-2.0
/** A model that is loaded. */
import { EINPUT, EMEMORY, ESTATE, EdgeError } from './errors.js';
import { bytesFor, bytesOf, isBytes, isForThreads, listOf, metadataOf, read } from './files.js';
import { raise, start } from './runtime.js';
import { tensorAt } from './tensor.js';
import { startTeam, threadsFor } from './threads.js';
/** Workers end with the model that they belong to, even where nobody disposes of it. */
const forgotten = typeof FinalizationRegistry === 'function' ? new FinalizationRegistry((team) => team.end()) : null;
/** A loaded model with its arena, in a memory of its own. */
export class Model {
    runtime;
    team;
    metadata;
    inputs;
    outputs;
    steps;
    /** Its input arrives row by row (`push`), as an image of fixed height or as a window that slides for ever. */
    streamed;
    sliding;
    arenaBytes;
    /** Of a portable model that was packed for the engine's vectors: bytes of its layers in their order; else 0. */
    packedBytes;
    constructor(runtime, team, metadata) {
        this.runtime = runtime;
        this.team = team;
        this.metadata = metadata;
        if (team)
            forgotten?.register(this, team, this);
        const { exports } = runtime;
        const about = new Int32Array(exports.memory.buffer, exports.edge_about(), 6);
        const [inputs, outputs, steps, streamed, arena, packed] = about;
        const names = [...listOf(metadata, 'inputs'), ...listOf(metadata, 'outputs')];
        const tensors = Array.from({ length: inputs + outputs }, (_, i) => tensorAt(exports, i, String(names[i] ?? `tensor${i}`)));
        this.inputs = tensors.slice(0, inputs);
        this.outputs = tensors.slice(inputs);
        this.steps = steps;
        this.streamed = streamed > 0;
        this.sliding = streamed === 2;
        this.arenaBytes = arena >>> 0;
        this.packedBytes = packed >>> 0;
    }
    /** A model from the address of a .edge file (in node also its path) or from its bytes. */
    static async load(source, options = {}) {
        const file = isBytes(source) ? bytesOf(source) : await read(source);
        const what = isBytes(source) ? 'the model' : String(source);
        const threads = isForThreads(file) ? threadsFor(options.threads) : 1;
        const runtime = await start(options, bytesFor(file, threads), threads > 1);
        const { exports } = runtime;
        if (options.maxBytes !== undefined)
            exports.edge_limit(options.maxBytes);
        const at = exports.edge_room(file.length) >>> 0;
        raise(exports, at ? 0 : EMEMORY, what);
        new Uint8Array(exports.memory.buffer, at).set(file);
        if (options.check)
            raise(exports, exports.edge_check(at, file.length), what);
        if (options.pack === false)
            exports.edge_pack(0);
        raise(exports, exports.edge_load(at, file.length), what);
        const team = await startTeam(runtime, threads);
        return new Model(runtime, team, await metadataOf(file));
    }
    /** The flavour of the module that runs it; of a module that the caller named, what the caller said. */
    get flavour() {
        return this.live().flavour;
    }
    /** How many threads compute it: 1 where it was not converted for several, or they are not to be had here. */
    get threads() {
        return this.team?.threads ?? 1;
    }
    /** Names of the classes, where the file has them. */
    get labels() {
        return listOf(this.metadata, 'labels').map(String);
    }
    /** One inference. Inputs in order or by name; none: those that lie in `inputs[i].data`. Returns the outputs' items,
     * as copies unless `copy` is false. */
    run(inputs, { copy = true } = {}) {
        this.infer(inputs, 0);
        return this.outputs.map((o) => (copy ? o.copy() : o.data));
    }
    /** Takes the next rows of a streamed input; true when the outputs are new. */
    push(rows) {
        return this.pushed(rows, 0);
    }
    /** Microseconds of every step, the mean of `runs` inferences; the hook's own cost is in them. */
    stepTimes(runs = 1, inputs) {
        const sums = new Float64Array(this.steps);
        let begun = 0;
        const event = (step, done) => {
            const now = performance.now();
            if (done)
                sums[step] += now - begun;
            begun = performance.now();
        };
        for (let i = 0; i < runs; i++)
            this.hooked(event, inputs);
        const known = listOf(this.metadata, 'steps');
        return Array.from(sums, (sum, i) => ({
            name: String(known[i]?.source ?? `step ${i}`),
            op: String(known[i]?.op ?? ''),
            microseconds: (sum * 1000) / runs,
        }));
    }
    /** One inference that tells, after each call of a kernel, the step and the bytes it wrote: all rows of a plain step,
     * else its next row. The bytes are a view, valid only then. */
    watch(seen, inputs) {
        const { memory } = this.live().exports;
        this.hooked((step, done, out, bytes) => {
            if (done)
                seen(step, new Uint8Array(memory.buffer, out >>> 0, bytes));
        }, inputs);
    }
    /** As just loaded: what runs leave to the next one, and rows that were pushed, are forgotten. */
    reset() {
        this.live().exports.edge_reset();
    }
    /** Lets go of the memory; the model cannot run any more, and its views go with it. */
    dispose() {
        forgotten?.unregister(this);
        this.team?.end();
        this.team = null;
        this.runtime = null;
    }
    live() {
        if (!this.runtime)
            throw new EdgeError(ESTATE, 'the model was disposed of; load it again');
        return this.runtime;
    }
    hooked(event, inputs) {
        const { told } = this.live();
        told.event = event;
        try {
            this.infer(inputs, 1);
        }
        finally {
            told.event = () => { };
        }
    }
    infer(inputs, hooked) {
        const { exports } = this.live();
        const values = inputs === undefined ? undefined : this.ordered(inputs);
        if (this.streamed) {
            if (!values)
                throw new EdgeError(EINPUT, `${this.inputs[0].name}: a streamed input has no memory; give its items`);
            this.inputs[0].expect(values[0].length, this.inputs[0].elements);
            if (this.sliding)
                this.reset();
            this.pushed(values[0], hooked);
            return;
        }
        values?.forEach((v, i) => this.inputs[i].set(v));
        raise(exports, exports.edge_run(hooked), 'run');
    }
    pushed(rows, hooked) {
        const { exports } = this.live(), input = this.inputs[0];
        if (!this.streamed)
            throw new EdgeError(EINPUT, `${input.name}: not a streamed input; use run`);
        const each = input.shape[2] * input.shape[3], items = input.items(rows);
        if (items.length % each)
            input.expect(items.length, Math.ceil(items.length / each) * each);
        let ready = 0;
        for (let i = 0; i < items.length; i += each) {
            const at = exports.edge_next_row(hooked) >>> 0;
            input.view(at, each).set(items.subarray(i, i + each));
            ready = exports.edge_push(hooked);
            raise(exports, ready, 'push');
        }
        return ready > 0;
    }
    ordered(inputs) {
        const given = Array.isArray(inputs) ? inputs : this.inputs.map((t) => inputs[t.name]);
        const missing = this.inputs.filter((_, i) => given[i] === undefined).map((t) => t.name);
        if (missing.length)
            throw new EdgeError(EINPUT, `no values for ${missing.join(', ')}; expected one array per input`);
        if (given.length !== this.inputs.length) {
            throw new EdgeError(EINPUT, `${given.length} arrays; expected ${this.inputs.length}, one per input`);
        }
        return given;
    }
}
