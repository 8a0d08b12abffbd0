// SPDX-License-Identifier: Apache-2.0
// The agent in node: messages on stdin and stdout, each behind its length in four bytes.
import { Agent } from './agent.js';

const agent = new Agent(`node ${process.version}`);
let chunks = [];
let arrived = 0;
let last = Promise.resolve();

async function reply(message) {
  const answer = await agent.answer(new Uint8Array(message));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(answer.length);
  process.stdout.write(length);
  process.stdout.write(answer);
}

/** The first message of what arrived, once it is whole. */
function take() {
  if (arrived < 4) return null;
  if (chunks[0].length < 4) chunks = [Buffer.concat(chunks)];
  const end = 4 + chunks[0].readUInt32LE();
  if (arrived < end) return null;
  const all = Buffer.concat(chunks);
  chunks = [all.subarray(end)];
  arrived -= end;
  return all.subarray(4, end);
}

process.stdin.on('data', (chunk) => {
  chunks.push(chunk);
  arrived += chunk.length;
  for (let message = take(); message; message = take()) {
    const whole = message;
    last = last.then(() => reply(whole));
  }
});
