// SPDX-License-Identifier: Apache-2.0
/** Inputs and outputs of a model, and the types of their items. */
import { EINPUT, EdgeError } from './errors.js';
const DTYPES = [
    ['float32', Float32Array, -Infinity, Infinity],
    ['float16', Uint16Array, 0, 65535],
    ['int8', Int8Array, -128, 127],
    ['uint8', Uint8Array, 0, 255],
    ['int16', Int16Array, -32768, 32767],
    ['int32', Int32Array, -2147483648, 2147483647],
    ['int64', BigInt64Array, -(2 ** 63), 2 ** 63],
    ['bool', Uint8Array, 0, 1],
];
/** The nearest stored number, halves away from zero. */
function rounded(x) {
    return x < 0 ? Math.ceil(x - 0.5) : Math.floor(x + 0.5);
}
/** An input or output of a model: real value = scale * (item - zeroPoint); scale is 0 where it is not quantised. */
export class Tensor {
    memory;
    at;
    name;
    shape;
    dtype;
    scale;
    zeroPoint;
    elements;
    constructor(memory, at, name, shape, dtype, scale, zeroPoint) {
        this.memory = memory;
        this.at = at;
        this.name = name;
        this.shape = shape;
        this.dtype = dtype;
        this.scale = scale;
        this.zeroPoint = zeroPoint;
        this.elements = shape.reduce((a, b) => a * b, 1);
    }
    /** The tensor's memory in the module, without a copy. Writing changes an input; an output holds until the next run,
     * which may also overwrite inputs. A streamed input has none. */
    get data() {
        if (!this.at)
            throw new EdgeError(EINPUT, `${this.name}: a streamed input has no memory; push its rows`);
        return this.view(this.at, this.elements);
    }
    /** Copies values in: items of its own type, or numbers (see `Values`). */
    set(values) {
        const data = this.data;
        this.expect(values.length, data.length);
        this.write(data, values);
    }
    /** A copy of the items. */
    copy() {
        return this.data.slice();
    }
    /** The real values. */
    real() {
        const data = this.data, scale = this.scale || 1, zero = this.scale ? this.zeroPoint : 0;
        const found = new Float32Array(data.length);
        for (let i = 0; i < data.length; i++)
            found[i] = scale * (Number(data[i]) - zero);
        return found;
    }
    /** Items of this tensor's type from anything that `set` takes. */
    items(values) {
        const type = DTYPES.find((d) => d[0] === this.dtype)[1];
        if (values instanceof type)
            return values;
        const found = new type(values.length);
        this.write(found, values);
        return found;
    }
    write(to, values) {
        const [, type, low, high] = DTYPES.find((d) => d[0] === this.dtype);
        if (values instanceof type)
            to.set(values);
        else if (to instanceof BigInt64Array)
            to.set(Array.from(values, (x) => BigInt(x)));
        else if (to instanceof Float32Array)
            to.set(values);
        else
            this.round(to, values, low, high);
    }
    round(to, values, low, high) {
        const scale = this.scale || 1, zero = this.scale ? this.zeroPoint : 0;
        for (let i = 0; i < values.length; i++) {
            const q = rounded(values[i] / scale) + zero;
            if (Number.isNaN(q))
                throw new EdgeError(EINPUT, `${this.name}: item ${i} is no number; expected numbers`);
            to[i] = q < low ? low : q > high ? high : q;
        }
    }
    /** A view of `length` items of this type at an address of the module. */
    view(at, length) {
        const type = DTYPES.find((d) => d[0] === this.dtype)[1];
        return new type(this.memory.buffer, at, length);
    }
    expect(length, expected) {
        if (length === expected)
            return;
        const shape = this.shape.join(', ');
        throw new EdgeError(EINPUT, `${this.name}: ${length} items; expected ${expected}, of the shape [${shape}]`);
    }
}
/** The module's record of an input or output: address, bytes, rank, type, zero point, scale, dimensions. */
export function tensorAt(exports, index, name) {
    const at = exports.edge_tensor(index) >>> 0;
    const words = new Int32Array(exports.memory.buffer, at, 12);
    const scale = new Float32Array(exports.memory.buffer, at + 20, 1)[0];
    const shape = Array.from(words.subarray(6, 6 + words[2]));
    return new Tensor(exports.memory, words[0] >>> 0, name, shape, DTYPES[words[3]][0], scale, words[4]);
}
