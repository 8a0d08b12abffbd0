// SPDX-License-Identifier: Apache-2.0
// The agent in a worker: `next` gives it a message, when there is one, and `answer` takes what it says.
import { Agent, unpack } from './agent.js';

const agent = new Agent(navigator.userAgent);

async function next() {
  for (;;) {
    const response = await fetch('next', { method: 'POST' });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    if (response.status === 200) return new Uint8Array(await response.arrayBuffer());
  }
}

async function serve() {
  for (let ask = ''; ask !== 'bye'; ) {
    postMessage('waiting for the command line');
    const message = await next();
    ask = unpack(message)[0].ask;
    postMessage(`busy: ${ask}`);
    await fetch('answer', { method: 'POST', body: await agent.answer(message) });
  }
  postMessage('done; this page may be closed');
}

serve().catch((error) => postMessage(`the command line has gone (${error.message}); this page may be closed`));
