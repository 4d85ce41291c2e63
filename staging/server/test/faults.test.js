import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createItem, isolate, json, newKey, proxyTo, scope, scopeOf, start, until } from './support.js';

describe('a part that is gone', () => {
  const own = scope();
  let service;
  let postgres;
  let redis;
  let storage;
  let item;
  before(async () => {
    const { env } = await isolate(own, 13);
    postgres = await proxyTo(own, env.DATABASE_URL);
    redis = await proxyTo(own, env.REDIS_URL);
    storage = await proxyTo(own, env.S3_ENDPOINT);
    service = await start(own, 'index.js', { ...env, DATABASE_URL: postgres.url, REDIS_URL: redis.url, S3_ENDPOINT: storage.url });
    item = await createItem(service.url);
    await until(async () => (await health()).body.status === 'pass', 'all checks to pass');
  });

  async function health(path = '/health') {
    const answer = await fetch(service.url + path);
    assert.match(answer.headers.get('content-type'), /^application\/health\+json/);
    return { status: answer.status, body: await answer.json() };
  }
  const becomes = (status) => until(async () => {
    const now = await health();
    return now.body.status === status && now;
  }, `health ${status}`);
  const upload = () => fetch(`${service.url}/api/files/fault.txt`, { method: 'PUT', body: 'kept' });

  test('Redis: items are served from PostgreSQL, jobs say 503, health warns, and all comes back', async () => {
    redis.cut();
    const now = await becomes('warn');
    assert.equal(now.status, 200);
    assert.equal(now.body.checks['redis:responseTime'][0].status, 'fail');
    assert.equal((await health('/readyz')).status, 200);
    const read = await fetch(`${service.url}/api/items/${item.id}`);
    assert.equal(read.status, 200);
    const changed = await fetch(`${service.url}/api/items/${item.id}`, json('PUT', { name: 'without redis', price_cents: 2 }, { 'If-Match': read.headers.get('etag') }));
    assert.equal(changed.status, 200);
    assert.equal((await createItem(service.url)).version, 1);
    const page = await fetch(`${service.url}/items`);
    assert.deepEqual([page.status, page.headers.get('cache-control')], [200, 'no-store']);
    const job = { type: 'restock', item_id: item.id, amount: 1 };
    const key = newKey();
    const refused = await fetch(`${service.url}/api/jobs`, json('POST', job, key));
    assert.deepEqual([refused.status, Number(refused.headers.get('retry-after')) > 0], [503, true]);
    redis.heal();
    await becomes('pass');
    assert.equal((await fetch(`${service.url}/api/jobs`, json('POST', job, key))).status, 202);
  });

  test('PostgreSQL: 503 with Retry-After, not ready, alive, and it comes back by itself', async () => {
    postgres.cut();
    const now = await becomes('fail');
    assert.equal(now.status, 503);
    assert.equal((await health('/readyz')).status, 503);
    assert.equal((await health('/livez')).status, 200);
    for (const answer of await Promise.all([
      fetch(`${service.url}/api/items/123456`),
      fetch(`${service.url}/api/items`),
      fetch(`${service.url}/api/items`, json('POST', { name: 'a', price_cents: 1 }, newKey())),
    ])) {
      assert.equal(answer.status, 503);
      assert.ok(Number(answer.headers.get('retry-after')) > 0);
      assert.match(answer.headers.get('content-type'), /^application\/problem\+json/);
    }
    assert.equal((await fetch(service.url)).status, 200);
    postgres.heal();
    await becomes('pass');
    assert.equal((await fetch(`${service.url}/api/items/${item.id}`)).status, 200);
    assert.ok(service.isAlive());
  });

  test('storage: files say 503, items work, health warns, and all comes back', async () => {
    assert.equal((await upload()).status, 201);
    storage.cut();
    await becomes('warn');
    const refused = await upload();
    assert.deepEqual([refused.status, Number(refused.headers.get('retry-after')) > 0], [503, true]);
    assert.equal((await fetch(`${service.url}/api/files/fault.txt`)).status, 503);
    assert.equal((await fetch(`${service.url}/api/items/${item.id}`)).status, 200);
    storage.heal();
    await becomes('pass');
    assert.equal(await (await fetch(`${service.url}/api/files/fault.txt`)).text(), 'kept');
    assert.equal((await fetch(`${service.url}/api/files/fault.txt`, { method: 'DELETE' })).status, 204);
  });

  test('health answers in time when a part is silent instead of gone', async () => {
    postgres.freeze();
    const started = performance.now();
    const { body } = await becomes('fail');
    assert.equal(body.checks['postgres:responseTime'][0].output, 'ETIMEDOUT');
    assert.ok(performance.now() - started < 20_000);
    postgres.heal();
    await becomes('pass');
  });
});

test('a service whose database is not there yet starts, says so, and is ready when it comes', async (t) => {
  const own = scopeOf(t);
  const { env } = await isolate(own, 14);
  const postgres = await proxyTo(own, env.DATABASE_URL);
  postgres.cut();
  const service = await start(own, 'index.js', { ...env, DATABASE_URL: postgres.url }, { ready: '/livez' });
  assert.equal((await fetch(`${service.url}/readyz`)).status, 503);
  postgres.heal();
  await until(async () => (await fetch(`${service.url}/readyz`)).ok, 'the schema');
  await createItem(service.url);
});
