// SPDX-License-Identifier: Apache-2.0
// Runs plan.json: each peer holds each network in a frame of its own; batches of all of them take turns in this one
// thread. Answers go to the server network by network.
const plan = await (await fetch('plan.json')).json();
const log = (text) => { document.getElementById('log').textContent += `${text}\n`; };
const post = (path, value) => fetch(path, { method: 'POST', body: JSON.stringify(value) });

function frameOf(peer) {
  return new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.src = 'frame.html';
    window.addEventListener('message', function ready(event) {
      if (event.source !== frame.contentWindow) return;
      window.removeEventListener('message', ready);
      done(frame);
    });
    document.body.append(frame);
  });
}

/** Adds what loading tells, or the error. */
async function prepare(net, peer) {
  const frame = await frameOf(peer);
  try {
    const told = await frame.contentWindow.prepare(net, peer);
    return { ...peer, ...told, frame, rounds: [] };
  } catch (error) {
    frame.remove();
    return { ...peer, error: String(error?.stack ?? error).slice(0, 300) };
  }
}

async function compare(net) {
  const peers = [];
  for (const peer of net.peers) {
    log(`${net.name} ${peer.peer} ${peer.types}`);
    peers.push(await prepare(net, peer));
  }
  const able = peers.filter((p) => p.frame);
  for (let round = 0; round < plan.rounds; round++) {
    // Every other round backwards, so that nobody always follows the same neighbour.
    const order = round % 2 ? [...able].reverse() : able;
    for (const p of order) p.rounds.push(await p.frame.contentWindow.batch(plan.batch_ms));
  }
  for (const p of able) p.frame.remove();
  return { net: net.name, peers: peers.map(({ frame, ...rest }) => rest) };
}

try {
  for (const net of plan.nets) await post('result', await compare(net));
  await post('done', { engine: navigator.userAgent });
} catch (error) {
  await post('done', { error: String(error?.stack ?? error) });
}
log('done');
