import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, test } from 'node:test';
import { entryPath } from '../lib/edge.js';
import { createItem, isolate, json, scope, start, until } from './support.js';

const bearer = (secret = process.env.REVALIDATE_SECRET) => ({ Authorization: `Bearer ${secret}` });

describe('files and revalidation', () => {
  const own = scope();
  let place;
  let service;
  before(async () => {
    place = await isolate(own, 13);
    service = await start(own, 'index.js', place.env);
  });

  const revalidate = (body, headers = bearer()) => fetch(`${service.url}/api/revalidate`, json('POST', body, headers));

  test('a file comes back as it was, is saved and not shown, and can be deleted', async () => {
    const name = `test-${randomUUID()}.html`;
    const bytes = randomBytes(1_000_000);
    const stored = await fetch(`${service.url}/api/files/${name}`, { method: 'PUT', body: bytes, headers: { 'Content-Type': 'text/html' } });
    assert.equal(stored.status, 201);
    const { sha256 } = await stored.json();
    assert.equal(sha256, createHash('sha256').update(bytes).digest('hex'));
    const got = await fetch(`${service.url}/api/files/${name}`);
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), bytes);
    assert.equal(got.headers.get('content-disposition'), 'attachment');
    assert.equal(got.headers.get('content-type'), 'application/octet-stream');
    assert.deepEqual(await readdir(join(place.env.DATA_DIR, 'receipts')), [`${name}.json`]);
    assert.equal((await fetch(`${service.url}/api/files/${name}`, { method: 'DELETE' })).status, 204);
    assert.equal((await fetch(`${service.url}/api/files/${name}`)).status, 404);
  });

  test('a file of JSON is a file, and not a body to be understood', async () => {
    const url = `${service.url}/api/files/test-${randomUUID()}.json`;
    const stored = await fetch(url, { method: 'PUT', body: '{"half": ', headers: { 'Content-Type': 'application/json' } });
    assert.equal(stored.status, 201);
    assert.equal(await (await fetch(url)).text(), '{"half": ');
    await fetch(url, { method: 'DELETE' });
  });

  test('an empty file is a file', async () => {
    const url = `${service.url}/api/files/test-${randomUUID()}`;
    assert.equal((await (await fetch(url, { method: 'PUT' })).json()).bytes, 0);
    assert.equal((await (await fetch(url)).arrayBuffer()).byteLength, 0);
    assert.equal((await fetch(url, { method: 'DELETE' })).status, 204);
  });

  test('a folder that can not be written: an error, and no file that looks stored', async () => {
    await mkdir(place.env.DATA_DIR, { recursive: true });
    const other = await isolate(own, 14);
    await writeFile(join(other.folder, 'blocked'), '');
    const broken = await start(own, 'index.js', { ...other.env, DATA_DIR: join(other.folder, 'data') });
    await writeFile(join(other.folder, 'data', 'receipts'), 'a file where the folder should be');
    const name = `test-${randomUUID()}`;
    assert.equal((await fetch(`${broken.url}/api/files/${name}`, { method: 'PUT', body: 'x' })).status, 500);
    assert.ok([404, 500].includes((await fetch(`${broken.url}/api/files/${name}`)).status));
    assert.ok(broken.isAlive());
  });

  test('a wrong or missing secret: 401, and after many of them 429', async () => {
    assert.equal((await revalidate({ path: '/' }, {})).status, 401);
    assert.equal((await revalidate({ path: '/' }, bearer('wrong'))).status, 401);
    assert.equal((await revalidate({ path: '/' }, bearer(`${process.env.REVALIDATE_SECRET}x`))).status, 401);
    for (const body of [{}, { path: 'no-slash' }, { tag: 'UPPER' }, { path: '/', tag: 'items' }]) assert.equal((await revalidate(body)).status, 400);
    assert.equal((await revalidate({ path: '/' }, { 'X-Revalidate-Secret': process.env.REVALIDATE_SECRET })).status, 200);
    const statuses = [];
    for (let index = 0; index < 25; index += 1) statuses.push((await revalidate({ path: '/' }, bearer('wrong'))).status);
    assert.equal(statuses.at(-1), 429);
  });
});

describe('purging', () => {
  const own = scope();
  let place;
  let service;
  before(async () => {
    place = await isolate(own, 15);
    service = await start(own, 'index.js', place.env);
  });

  test('only a page asked for by its own path may be kept', async () => {
    const { id } = await createItem(service.url);
    const kept = async (path) => /s-maxage/.test((await fetch(service.url + path)).headers.get('cache-control'));
    for (const path of ['/', '/about', '/items', `/items/${id}`]) assert.ok(await kept(path), path);
    for (const path of ['/?a=1', '/ABOUT', '/items/', '/items?cursor=after-1', `/items/${id}?a`, `/items/${id}/`]) assert.ok(!await kept(path), path);
  });

  test('a tag takes away the entries and the cached item, and leaves others', async () => {
    const [one, other] = [await createItem(service.url), await createItem(service.url)];
    for (const { id } of [one, other]) {
      await fetch(`${service.url}/api/items/${id}`);
      const page = await fetch(`${service.url}/items/${id}`);
      assert.match(page.headers.get('cache-control'), /s-maxage=60/);
      const entry = entryPath(place.env.EDGE_CACHE_DIR, `/items/${id}`);
      await mkdir(dirname(entry), { recursive: true });
      await writeFile(entry, 'kept');
    }
    const answer = await fetch(`${service.url}/api/revalidate`, json('POST', { tag: `item:${one.id}` }, bearer()));
    assert.deepEqual(await answer.json(), { paths: [`/items/${one.id}`], purged: 1 });
    await assert.rejects(access(entryPath(place.env.EDGE_CACHE_DIR, `/items/${one.id}`)));
    await access(entryPath(place.env.EDGE_CACHE_DIR, `/items/${other.id}`));
    assert.equal(await place.redis.exists(`item:${one.id}`), 0);
    assert.equal(await place.redis.exists(`item:${other.id}`), 1);
  });
});

describe('the edge that runs', () => {
  const edge = process.env.NEXT_PUBLIC_APP_URL;
  const cached = async (path) => (await fetch(edge + path)).headers.get('x-cache');
  const revalidate = async (body) => (await fetch(`${edge}/api/revalidate`, json('POST', body, bearer()))).json();

  for (const body of [{ path: '/about' }, { tag: 'pages' }]) {
    test(`${JSON.stringify(body)} turns a HIT into a MISS`, async () => {
      await until(async () => await cached('/about') === 'HIT', 'a HIT');
      const { purged } = await revalidate(body);
      assert.ok(purged >= 1);
      assert.equal(await cached('/about'), 'MISS');
      assert.equal(await cached('/about'), 'HIT');
    });
  }

  test('keeps nothing that does not ask for it', async () => {
    for (const path of ['/api/items', '/health', '/items?q=a', '/nothing']) {
      assert.equal(await cached(path), 'MISS', path);
      assert.equal(await cached(path), 'MISS', path);
    }
  });

  test('passes a stream on as it comes', async () => {
    const answer = await fetch(`${edge}/api/stream?events=2&interval_ms=300`);
    const chunks = [];
    for await (const chunk of answer.body) chunks.push(Buffer.from(chunk).toString());
    assert.ok(chunks.length >= 3, String(chunks.length));
    assert.match(chunks.at(-1), /event: end/);
    assert.equal(answer.headers.get('x-cache'), null);
  });
});
