import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createItem, isolate, json, newKey, scope, start } from './support.js';

describe('items', () => {
  const own = scope();
  let place;
  let service;
  before(async () => {
    place = await isolate(own, 8);
    service = await start(own, 'index.js', place.env);
  });

  const get = (path, headers) => fetch(service.url + path, { headers });
  const post = (body, headers) => fetch(`${service.url}/api/items`, json('POST', body, headers));
  const count = async () => Number((await place.client.query('SELECT count(*) FROM items')).rows[0].count);

  test('are created, read, changed and deleted', async () => {
    const made = await post({ name: 'Lamp', description: 'Bright', price_cents: 1999, quantity: 3 }, newKey());
    assert.equal(made.status, 201);
    const item = await made.json();
    assert.equal(made.headers.get('location'), `/api/items/${item.id}`);
    const read = await get(`/api/items/${item.id}`);
    assert.deepEqual(await read.json(), item);
    const changed = await fetch(`${service.url}/api/items/${item.id}`, json('PUT', { name: 'Lamp 2', price_cents: 1 }, { 'If-Match': read.headers.get('etag') }));
    assert.equal(changed.status, 200);
    const now = await get(`/api/items/${item.id}`);
    assert.equal((await now.json()).name, 'Lamp 2');
    const gone = await fetch(`${service.url}/api/items/${item.id}`, { method: 'DELETE', headers: { 'If-Match': now.headers.get('etag') } });
    assert.equal(gone.status, 204);
    assert.equal((await get(`/api/items/${item.id}`)).status, 404);
    assert.equal((await place.client.query('SELECT 1 FROM items WHERE id = $1', [item.id])).rowCount, 0);
  });

  test('are listed whole and once each by following the cursor', async () => {
    const wanted = [];
    for (let index = 0; index < 7; index += 1) wanted.push((await createItem(service.url, { name: `list ${index}` })).id);
    const seen = [];
    for (let path = '/api/items?limit=3'; path;) {
      const answer = await get(path);
      const page = await answer.json();
      assert.ok(page.items.length <= 3);
      seen.push(...page.items.map(({ id }) => id));
      path = page.next_cursor && `/api/items?limit=3&cursor=${page.next_cursor}`;
      assert.equal(answer.headers.get('link'), path ? `<${path}>; rel="next"` : null);
    }
    assert.equal(new Set(seen).size, seen.length);
    assert.deepEqual(seen, seen.toSorted((one, other) => one - other));
    for (const id of wanted) assert.ok(seen.includes(id));
  });

  test('answer 304 to a known ETag and 200 to another', async () => {
    const { id } = await createItem(service.url);
    const etag = (await get(`/api/items/${id}`)).headers.get('etag');
    assert.equal((await get(`/api/items/${id}`, { 'If-None-Match': `W/${etag}` })).status, 304);
    assert.equal((await get(`/api/items/${id}`, { 'If-None-Match': '"v99"' })).status, 200);
  });

  test('are changed only by who knows the present version', async () => {
    const { id } = await createItem(service.url);
    const put = (headers) => fetch(`${service.url}/api/items/${id}`, json('PUT', { name: 'x', price_cents: 1 }, headers));
    assert.equal((await put({})).status, 428);
    assert.equal((await put({ 'If-Match': '"v7"' })).status, 412);
    const answers = await Promise.all(Array.from({ length: 10 }, () => put({ 'If-Match': '"v1"' })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(9).fill(412)]);
  });

  test('in the cache are never older than in the database', async () => {
    const { id } = await createItem(service.url);
    for (let version = 1; version <= 20; version += 1) {
      const [changed] = await Promise.all([
        fetch(`${service.url}/api/items/${id}`, json('PUT', { name: `n${version}`, price_cents: version }, { 'If-Match': `"v${version}"` })),
        ...Array.from({ length: 5 }, () => get(`/api/items/${id}`)),
      ]);
      assert.equal(changed.status, 200);
      assert.equal((await (await get(`/api/items/${id}`)).json()).name, `n${version}`);
    }
    assert.ok(await service.metric('cache_requests_total{cache_result="hit"}') > 0);
    assert.equal(await place.redis.hget(`item:${id}`, 'version'), '21');
  });

  test('the same key and body give the first answer again, and one item', async () => {
    const key = newKey();
    const before = await count();
    const first = await post({ name: 'once', price_cents: 1 }, key);
    const second = await post({ name: 'once', price_cents: 1 }, key);
    assert.deepEqual([first.status, second.status], [201, 201]);
    assert.deepEqual(await second.json(), await first.json());
    assert.equal(second.headers.get('location'), first.headers.get('location'));
    assert.equal(first.headers.get('idempotency-replayed'), null);
    assert.equal(second.headers.get('idempotency-replayed'), 'true');
    assert.equal(await count(), before + 1);
  });

  test('a key is refused when missing or malformed (400) or used with another body (422)', async () => {
    assert.equal((await post({ name: 'a', price_cents: 1 })).status, 400);
    for (const bad of ['plain', '""', '"a', 'a"', '"a" "b"', `"${'x'.repeat(256)}"`]) {
      assert.equal((await post({ name: 'a', price_cents: 1 }, { 'Idempotency-Key': bad })).status, 400, bad);
    }
    const key = newKey();
    assert.equal((await post({ name: 'a', price_cents: 1 }, key)).status, 201);
    assert.equal((await post({ name: 'b', price_cents: 1 }, key)).status, 422);
  });

  test('a key in flight is refused with 409, and free again when that request failed', async () => {
    const key = newKey();
    const lock = `items ${key['Idempotency-Key'].slice(1, -1)}`;
    await place.client.query('BEGIN');
    await place.client.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [lock]);
    assert.equal((await post({ name: 'a', price_cents: 1 }, key)).status, 409);
    await place.client.query('ROLLBACK');
    assert.equal((await post({ name: 'a', price_cents: 1 }, key)).status, 201);
  });

  test('twenty requests at once with one key make one item', async () => {
    const key = newKey();
    const before = await count();
    const answers = await Promise.all(Array.from({ length: 20 }, () => post({ name: 'race', price_cents: 1 }, key)));
    const statuses = answers.map(({ status }) => status);
    assert.ok(statuses.includes(201));
    assert.ok(statuses.every((status) => status === 201 || status === 409), String(statuses));
    const ids = new Set((await Promise.all(answers.filter(({ status }) => status === 201).map((one) => one.json()))).map(({ id }) => id));
    assert.equal(ids.size, 1);
    assert.equal(await count(), before + 1);
  });
});
