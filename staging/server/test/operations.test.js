import assert from 'node:assert/strict';
import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createItem, freePort, isolate, json, newKey, readLog, scope, scopeOf, start, until } from './support.js';

describe('running it', () => {
  const own = scope();
  let place;
  let service;
  before(async () => {
    place = await isolate(own, 15);
    service = await start(own, 'index.js', { ...place.env, LOG_FILE_KIB: '16', LOG_FILE_COUNT: '3' });
  });

  test('every answer carries the security headers, and no hint of what made it', async () => {
    for (const path of ['/', '/items', '/api/items', '/nothing', '/livez', '/control/slow?ms=1']) {
      const { headers } = await fetch(service.url + path);
      for (const name of ['content-security-policy', 'x-content-type-options', 'x-frame-options', 'referrer-policy', 'x-request-id']) {
        assert.ok(headers.get(name), `${name} of ${path}`);
      }
      assert.equal(headers.get('x-powered-by'), null);
    }
  });

  test('the planted flaws are there for the gates', async () => {
    assert.match(await (await fetch(`${service.url}/control/reflect?q=<script>1</script>`)).text(), /<script>1<\/script>/);
    assert.equal((await fetch(`${service.url}/control/headers`)).headers.get('content-security-policy'), null);
    assert.equal((await fetch(`${service.url}/control/fail`)).status, 500);
    const hangs = new AbortController();
    const answer = await fetch(`${service.url}/control/hang`, { signal: hangs.signal });
    hangs.abort();
    await assert.rejects(answer.text());
  });

  test('the metrics page has each promised series at zero, and route templates only', async () => {
    const { paths } = JSON.parse(await readFile(new URL('../openapi.json', import.meta.url)));
    const label = (method, route, status) => `http_server_request_duration_seconds_count{http_request_method="${method}",http_route="${route}",http_response_status_code="${status}"}`;
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { responses }] of Object.entries(operations)) {
        for (const status of Object.keys(responses)) {
          const series = label(method.toUpperCase(), path.replaceAll(/\{(\w+)\}/g, ':$1'), status);
          assert.notEqual(await service.metric(series), undefined, series);
        }
      }
    }
    const item = await createItem(service.url);
    const before = await service.metric(label('GET', '/api/items/:id', 200));
    await (await fetch(`${service.url}/api/items/${item.id}`)).text();
    await until(async () => await service.metric(label('GET', '/api/items/:id', 200)) === before + 1, 'the count');
    const text = await (await fetch(`http://127.0.0.1:${place.env.METRICS_PORT}/metrics`)).text();
    assert.ok(!text.includes(`/api/items/${item.id}"`));
    for (const name of [
      'http_server_active_requests', 'db_client_connection_count', 'db_client_connection_pending_requests', 'db_client_connection_max', 'db_size_bytes',
      'cache_requests_total', 'bullmq_job_count', 'bullmq_oldest_waiting_age_seconds', 'sse_streams_active', 'sse_streams_total', 'sse_events_total',
      'edge_purged_entries_total', 'feature_flag_on', 'health_check_status', 'data_disk_free_bytes', 'data_disk_size_bytes', 'build_info',
      'nodejs_eventloop_lag_p99_seconds', 'process_resident_memory_bytes',
    ]) assert.match(text, new RegExp(`^${name}(\\{| )`, 'm'), name);
  });

  test('a flag is switched without a restart, and back; a broken file changes nothing', async () => {
    const total = async () => (await (await fetch(`${service.url}/api/items`)).json()).total;
    const flags = JSON.parse(await readFile(place.flagsFile));
    const write = async (text) => { // as an editor does: a new file in the old one's place
      await writeFile(`${place.flagsFile}.new`, text);
      await rename(`${place.flagsFile}.new`, place.flagsFile);
    };
    const withTotal = (variant) => JSON.stringify({ flags: { ...flags.flags, 'items-total': { ...flags.flags['items-total'], defaultVariant: variant } } });
    assert.equal(await total(), undefined);
    await write(withTotal('on'));
    await until(async () => await total() > 0, 'the new code path');
    assert.equal(await service.metric('feature_flag_on{feature_flag_key="items-total"}'), 1);
    await write('{ "flags": ');
    await until(async () => (await readLog(place.env.LOG_DIR, 'service')).some((line) => /last good/.test(line.msg)), 'the complaint');
    assert.ok(await total() > 0);
    await write(withTotal('off'));
    await until(async () => await total() === undefined, 'the rollback');
    assert.ok(service.isAlive());
  });

  test('secrets do not reach the log', async () => {
    await fetch(`${service.url}/api/revalidate`, json('POST', { path: '/' }, { Authorization: 'Bearer hunter2hunter2', 'X-Request-Id': 'secret-check' }));
    await until(async () => (await readLog(place.env.LOG_DIR, 'service')).some((line) => line.request_id === 'secret-check'), 'the line');
    const texts = await Promise.all((await readdir(place.env.LOG_DIR)).map((name) => readFile(join(place.env.LOG_DIR, name), 'utf8')));
    for (const secret of ['hunter2hunter2', process.env.REVALIDATE_SECRET, process.env.S3_SECRET_ACCESS_KEY]) assert.ok(!texts.join('').includes(secret));
  });

  test('logs rotate, and stay within their bound', async () => {
    const sizes = async () => Promise.all((await readdir(place.env.LOG_DIR)).filter((name) => /^service\./.test(name))
      .map(async (name) => ({ name, size: (await stat(join(place.env.LOG_DIR, name)).catch(() => ({ size: 0 }))).size })));
    const names = new Set();
    await until(async () => {
      await Promise.all(Array.from({ length: 50 }, () => fetch(`${service.url}/livez`)));
      for (const { name } of await sizes()) names.add(name);
      return names.size >= 6;
    }, 'six rotations');
    await until(async () => (await sizes()).length <= 3, 'old files to go');
    for (const { name, size } of await sizes()) assert.ok(size < 64 * 1024, `${name}: ${size}`);
    for (const line of await readLog(place.env.LOG_DIR, 'service')) assert.ok(line.time && line.level && line.msg);
  });
});

test('too many requests from one address: 429 with Retry-After, health exempt', async (t) => {
  const own = scopeOf(t);
  const service = await start(own, 'index.js', { ...(await isolate(own, 8)).env, RATE_LIMIT_PER_MINUTE: '5' });
  const statuses = [];
  for (let index = 0; index < 6; index += 1) statuses.push((await fetch(`${service.url}/`)).status);
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429]);
  const refused = await fetch(`${service.url}/`);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.equal((await fetch(`${service.url}/readyz`)).status, 200);
});

test('a stop finishes what is open: requests and streams whole, readiness off, exit 0', async (t) => {
  const own = scopeOf(t);
  const service = await start(own, 'index.js', { ...(await isolate(own, 9)).env, DRAIN_SECONDS: '10' });
  const slow = Array.from({ length: 50 }, () => fetch(`${service.url}/control/slow?ms=1500`));
  const stream = fetch(`${service.url}/api/stream?events=20&interval_ms=100`);
  const endless = fetch(`${service.url}/api/stream?events=100000&interval_ms=100`);
  await until(async () => await service.metric('http_server_active_requests') === 52, 'the requests to be open');
  const ended = service.stop();
  const draining = await until(async () => {
    const answer = await fetch(`${service.url}/readyz`);
    return answer.status === 503 && answer;
  }, 'readiness to go off');
  assert.equal((await draining.json()).output, 'draining');
  assert.equal(draining.headers.get('connection'), 'close');
  for (const answer of await Promise.all(slow)) assert.deepEqual(await answer.json(), { slow: true });
  assert.match(await (await stream).text(), /event: end\nid: 20\ndata: .*"complete":true/);
  assert.match(await (await endless).text(), /event: end\nid: \d+\ndata: .*"complete":false/);
  assert.equal(await ended, 0);
});

// Holds a listening socket as systemd does, and starts the service on it again each time that it ends.
const HOLDER = `
import os, socket, subprocess, sys
held = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
os.dup2(held.fileno(), 3)
os.set_inheritable(3, True)
while True:
    child = subprocess.Popen(sys.argv[2:], pass_fds=[3], env={**os.environ, "LISTEN_FDS": "1"})
    print(child.pid, flush=True)
    child.wait()
    print("ended", child.returncode, flush=True)
`;

test('a restart under load loses no request when the supervisor holds the socket', async (t) => {
  const own = scopeOf(t);
  const { env } = await isolate(own, 10);
  const holder = spawn('python3', ['-c', HOLDER, env.PORT, process.execPath, 'index.js'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)), env, stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  holder.stdout.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
  const pids = () => text.split('\n').filter((line) => /^\d+$/.test(line)).map(Number);
  own.after(() => {
    holder.kill('SIGKILL');
    process.kill(pids().at(-1), 'SIGKILL');
  });
  const url = `http://127.0.0.1:${env.PORT}`;
  await until(async () => (await fetch(`${url}/readyz`)).ok, 'the first process');
  const agent = new http.Agent({ keepAlive: true });
  const faults = [];
  let answered = 0;
  let running = true;
  const visit = () => new Promise((resolve) => {
    http.get(`${url}/livez`, { agent }, (answer) => {
      if (answer.statusCode !== 200) faults.push(answer.statusCode);
      answer.resume().on('end', () => { answered += 1; resolve(); });
    }).on('error', (error) => { faults.push(error.code); resolve(); });
  });
  const visitors = Array.from({ length: 10 }, async () => { while (running) await visit(); });
  for (let restarts = 1; restarts <= 2; restarts += 1) {
    const before = answered;
    await until(() => answered > before + 100, 'traffic');
    process.kill(pids().at(-1), 'SIGTERM');
    await until(() => pids().length > restarts, 'the next process');
  }
  const before = answered;
  await until(() => answered > before + 100, 'traffic after the restarts');
  running = false;
  await Promise.all(visitors);
  agent.destroy();
  assert.deepEqual(faults, []);
  assert.deepEqual(text.match(/ended .*/g), ['ended 0', 'ended 0']);
});

test('a port that is taken: a sentence and exit 1', async (t) => {
  const own = scopeOf(t);
  const { env } = await isolate(own, 11);
  const holder = net.createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  own.after(() => holder.close());
  const child = spawn(process.execPath, ['index.js'], {
    cwd: fileURLToPath(new URL('..', import.meta.url)), env: { ...env, METRICS_PORT: String(await freePort()), PORT: String(holder.address().port) }, stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
  const [code] = await once(child, 'close');
  assert.equal(code, 1);
  assert.match(text, /port \d+ is taken/);
});

test('an idempotent create is not lost or doubled by a process that is killed', async (t) => {
  const own = scopeOf(t);
  const place = await isolate(own, 12);
  let service = await start(own, 'index.js', place.env);
  const keys = Array.from({ length: 40 }, () => newKey());
  const create = (key) => fetch(`${service.url}/api/items`, json('POST', { name: 'k', price_cents: 1 }, key));
  const first = keys.map((key) => create(key).then(({ status }) => status, () => 'cut off'));
  await first[0];
  await service.stop('SIGKILL');
  await Promise.all(first);
  service = await start(own, 'index.js', place.env);
  for (const key of keys) await until(async () => (await create(key)).status === 201, 'the key');
  const { rows: [row] } = await place.client.query('SELECT count(*) FROM items');
  assert.equal(Number(row.count), keys.length);
});
