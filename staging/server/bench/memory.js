// Memory of the running service before and after many requests and streams: node bench/memory.js [requests] [streams].
// Takes PORT and METRICS_PORT from the environment; prints one line of JSON. The warm-up fills pools and caches first.

import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

const [requests = 100_000, streams = 2000] = process.argv.slice(2).map(Number);
const WARM_UP = 50_000; // until then the collector lets the heap grow
const CLIENTS = 20;
const STREAMS_AT_ONCE = 200;
const base = `http://127.0.0.1:${process.env.PORT}`;
const agent = new http.Agent({ keepAlive: true });

const get = (path, options) => new Promise((resolve, reject) => {
  http.get(base + path, options, (answer) => {
    let tail = '';
    answer.on('data', (chunk) => { tail = (tail + chunk).slice(-200); }).on('end', () => resolve({ status: answer.statusCode, tail }));
  }).on('error', reject);
});

/** Run `once()` `count` times by `clients` at once; gives how many were as they should be. */
async function repeat(count, clients, once) {
  let left = count;
  let good = 0;
  await Promise.all(Array.from({ length: clients }, async () => {
    while (left > 0) {
      left -= 1;
      if (await once()) good += 1;
    }
  }));
  return good;
}

async function residentBytes() {
  await sleep(5000); // time for the collector
  const text = await (await fetch(`http://127.0.0.1:${process.env.METRICS_PORT}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(text)[1]);
}

const created = await fetch(`${base}/api/items`, {
  method: 'POST', body: '{"name":"memory","price_cents":1}', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': `"memory-${Date.now()}"` },
});
const { id } = await created.json();
const read = async () => (await get(`/api/items/${id}`, { agent })).status === 200;
const stream = async () => (await get('/api/stream?events=20&interval_ms=10', { agent: false })).tail.includes('"complete":true');

await repeat(WARM_UP, CLIENTS, read);
await repeat(500, STREAMS_AT_ONCE, stream);
const before = await residentBytes();
const goodRequests = await repeat(requests, CLIENTS, read);
const goodStreams = await repeat(streams, STREAMS_AT_ONCE, stream);
const after = await residentBytes();
process.stdout.write(`${JSON.stringify({ before_bytes: before, after_bytes: after, ratio: after / before, requests: goodRequests, streams: goodStreams })}\n`);
agent.destroy();
