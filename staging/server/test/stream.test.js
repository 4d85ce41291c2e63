import assert from 'node:assert/strict';
import http from 'node:http';
import { before, describe, test } from 'node:test';
import { isolate, scope, start, until } from './support.js';

/** Read a whole stream as a list of `{ event, id, data }`; comments are kept as `{ comment }`. */
async function readStream(url, headers) {
  const answer = await fetch(url, { headers });
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get('content-type'), /^text\/event-stream/);
  return (await answer.text()).split('\n\n').filter(Boolean).map((block) => {
    if (block.startsWith(':')) return { comment: block };
    const fields = Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/, 2)));
    return { ...fields, data: fields.data && JSON.parse(fields.data) };
  });
}

describe('streams', () => {
  const own = scope();
  let service;
  before(async () => { service = await start(own, 'index.js', (await isolate(own, 10)).env); });
  const at = (query) => `${service.url}/api/stream?${query}`;
  const ticks = (events) => events.filter(({ event }) => event === 'tick').map(({ id }) => Number(id));

  test('number their events and say that they end', async () => {
    const events = await readStream(at('events=5&interval_ms=1'));
    assert.deepEqual(ticks(events), [1, 2, 3, 4, 5]);
    assert.equal(events.at(-1).event, 'end');
    assert.deepEqual(events.at(-1).data, { events: 5, of: 5, complete: true });
  });

  test('go on after the last event that a client saw', async () => {
    assert.deepEqual(ticks(await readStream(at('events=5&interval_ms=1'), { 'Last-Event-ID': '3' })), [4, 5]);
    const nothingLeft = await readStream(at('events=5&interval_ms=1'), { 'Last-Event-ID': '5' });
    assert.equal(nothingLeft.at(-1).event, 'end');
    assert.deepEqual(ticks(nothingLeft), []);
    assert.equal((await fetch(at('events=5'), { headers: { 'Last-Event-ID': 'x' } })).status, 400);
  });

  test('beat while nothing happens', async () => {
    const events = await readStream(at('events=1&interval_ms=300&heartbeat_ms=50'));
    assert.ok(events.filter(({ comment }) => comment === ': heartbeat').length >= 2);
  });

  test('refuse a length or a rate out of bounds', async () => {
    for (const query of ['events=0', 'events=1000001', 'interval_ms=-1', 'heartbeat_ms=1', 'events=x']) {
      assert.equal((await fetch(at(query))).status, 400, query);
    }
  });

  test('a client that reads slowly does not fill the memory', async () => {
    const request = http.get(at('events=1000000&interval_ms=0'));
    request.on('error', () => {});
    const answer = await new Promise((resolve) => { request.on('response', resolve); });
    answer.pause();
    const sent = () => service.metric('sse_events_total');
    let last = -1;
    await until(async () => {
      const now = await sent();
      const stands = now === last && now > 0;
      last = now;
      return stands;
    }, 'the stream to wait for its client');
    assert.ok(last < 1_000_000);
    request.destroy();
    await until(async () => await service.metric('sse_streams_active') === 0, 'the stream to end');
  });

  test('500 clients that vanish leave none behind', async () => {
    const gone = await service.metric('sse_streams_total{outcome="client_gone"}');
    const agent = new http.Agent({ maxSockets: Infinity });
    const requests = Array.from({ length: 500 }, () => http.get(at('events=100000&interval_ms=20'), { agent }).on('error', () => {}));
    await Promise.all(requests.map((request) => new Promise((resolve, reject) => {
      request.on('response', (answer) => answer.on('error', () => {}).once('data', resolve));
      request.on('close', () => reject(new Error('closed before its first event')));
    })));
    assert.equal(await service.metric('sse_streams_active'), 500);
    requests.forEach((request) => request.destroy());
    await until(async () => await service.metric('sse_streams_active') === 0, 'all streams to end');
    assert.equal(await service.metric('sse_streams_total{outcome="client_gone"}'), gone + 500);
    assert.equal(await service.metric('http_server_active_requests'), 0);
  });
});
