import assert from 'node:assert/strict';
import http from 'node:http';
import { before, describe, test } from 'node:test';
import { createItem, isolate, json, newKey, scope, start } from './support.js';

describe('bad input', () => {
  const own = scope();
  let service;
  before(async () => {
    const place = await isolate(own, 9);
    service = await start(own, 'index.js', place.env);
  });

  async function assertProblem(answer, status) {
    assert.equal(answer.status, status);
    assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
    const problem = await answer.json();
    assert.equal(problem.status, status);
    assert.equal(problem.request_id, answer.headers.get('x-request-id'));
    for (const member of ['type', 'title', 'detail']) assert.equal(typeof problem[member], 'string');
    return problem;
  }

  const post = (body, type = 'application/json') => fetch(`${service.url}/api/items`, { method: 'POST', body, headers: { 'Content-Type': type, ...newKey() } });

  test('malformed JSON: 400', async () => assertProblem(await post('{"name": '), 400));
  test('a body of another type: 415', async () => assertProblem(await post('<a/>', 'text/xml'), 415));
  test('a body of 10 MB: 413', async () => assertProblem(await post(`"${'x'.repeat(10_000_000)}"`), 413));
  test('a file of 10 MB: 413', async () => assertProblem(await fetch(`${service.url}/api/files/big`, { method: 'PUT', body: Buffer.alloc(10_000_000) }), 413));

  for (const [what, body] of [
    ['a field too many', { name: 'a', price_cents: 1, admin: true }], ['no name', { price_cents: 1 }], ['an empty name', { name: '', price_cents: 1 }],
    ['a price with a fraction', { name: 'a', price_cents: 1.5 }], ['a price as text', { name: 'a', price_cents: '1' }],
    ['a price beyond the column', { name: 'a', price_cents: 2 ** 31 }], ['a NUL that PostgreSQL refuses', { name: 'a\u0000b', price_cents: 1 }],
    ['a list', []], ['null', null],
  ]) {
    test(`${what}: 400 that points to it`, async () => {
      const problem = await assertProblem(await fetch(`${service.url}/api/items`, json('POST', body, newKey())), 400);
      assert.equal(problem.errors?.length ?? 1, 1);
    });
  }

  test('a price of 2^31-1 is allowed', async () => assert.equal((await createItem(service.url, { price_cents: 2 ** 31 - 1 })).price_cents, 2 ** 31 - 1));

  for (const id of ['abc', '1.5', '-1', '0', '1e3', '99999999999999999999', '%00', '1;drop']) {
    test(`the id ${id}: 400`, async () => assertProblem(await fetch(`${service.url}/api/items/${id}`), 400));
  }

  for (const query of ['cursor=nonsense', 'cursor=', 'limit=0', 'limit=101', 'limit=ten', 'limit=1&limit=2', 'unknown=1']) {
    test(`a list with ${query}: 400`, async () => assertProblem(await fetch(`${service.url}/api/items?${query}`), 400));
  }

  test('100,000 query parameters: refused, and the next request is served', async () => {
    const path = `/api/items?${Array.from({ length: 100_000 }, (_, index) => `p${index}=1`).join('&')}`;
    const outcome = await new Promise((resolve) => {
      http.get(service.url + path, (answer) => resolve(answer.resume().statusCode)).on('error', (error) => resolve(error.code));
    });
    // The server may close while we still write: both say that it did not take it.
    assert.ok([431, 'ECONNRESET', 'EPIPE'].includes(outcome), String(outcome));
    assert.equal((await fetch(`${service.url}/api/items`)).status, 200);
  });

  test('1,000 query parameters that fit: 400', async () => {
    const query = Array.from({ length: 1000 }, (_, index) => `p${index}=1`).join('&');
    await assertProblem(await fetch(`${service.url}/api/items?${query}`), 400);
  });

  test('nothing there: 404; a path that can not be decoded: 400', async () => {
    await assertProblem(await fetch(`${service.url}/nothing`), 404);
    await assertProblem(await fetch(`${service.url}/api/files/%E0%A4%A`), 400);
  });

  test('a method that a path does not have: 405 with those that it has', async () => {
    const answer = await fetch(`${service.url}/api/items/1`, { method: 'PATCH' });
    assert.equal(answer.headers.get('allow'), 'GET, PUT, DELETE');
    await assertProblem(answer, 405);
  });

  test('a file name that would leave the folder: 400', async () => {
    for (const name of ['..%2F..%2Fetc%2Fpasswd', '.hidden', 'a%00b']) {
      await assertProblem(await fetch(`${service.url}/api/files/${name}`, { method: 'PUT', body: 'x' }), 400);
    }
  });

  test('an unknown method is one label, whatever its name', async () => {
    await new Promise((resolve, reject) => {
      http.request(`${service.url}/`, { method: 'PROPFIND' }, (answer) => resolve(answer.resume())).on('error', reject).end();
    });
    assert.equal(await service.metric('http_server_request_duration_seconds_count{http_request_method="_OTHER",http_route="unmatched",http_response_status_code="405"}'), 1);
  });

  test('markup in a search is shown as text', async () => {
    const text = await (await fetch(`${service.url}/items?q=${encodeURIComponent('"><script>alert(1)</script>')}`)).text();
    assert.ok(text.includes('&quot;&gt;&lt;script&gt;'));
    assert.ok(!text.includes('<script>'));
  });

  test('after all that it is the same process', () => assert.ok(service.isAlive()));
});
