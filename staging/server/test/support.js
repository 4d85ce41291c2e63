// Starts the service and its worker against the real parts, each test file in a schema and a Redis database of its own.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';

const SERVER = fileURLToPath(new URL('..', import.meta.url));
const NEEDED = [
  'DATABASE_URL', 'REDIS_URL', 'S3_ENDPOINT', 'S3_REGION', 'S3_BUCKET', 'S3_ACCESS_KEY_ID', 'S3_SECRET_ACCESS_KEY',
  'NEXT_PUBLIC_APP_URL', 'EDGE_CACHE_DIR', 'REVALIDATE_SECRET',
];
const PATIENCE_MS = 30_000;

const missing = NEEDED.filter((name) => !process.env[name]);
if (missing.length > 0) {
  throw new Error(`These tests need the real parts. Not set: ${missing.join(', ')}. Bring staging up and pass its environment on.`);
}

/** Call in the body of a `describe`: what is registered ends in the opposite order, when its tests have run. */
export const scope = () => scopeOf({ after });

/** The same for one test, or for what else has an `after`. */
export function scopeOf(t) {
  const tasks = [];
  t.after(async () => {
    for (const task of tasks.reverse()) await task();
  });
  return { after: (task) => tasks.push(task) };
}

/** Ask again until `question()` gives something true; fails with its last answer. */
export async function until(question, what = 'it') {
  const end = Date.now() + PATIENCE_MS;
  let last;
  while (Date.now() < end) {
    try {
      last = await question();
      if (last) return last;
    } catch (error) {
      last = error;
    }
    await sleep(50);
  }
  throw new Error(`waited ${PATIENCE_MS / 1000} s for ${what}; last: ${last?.stack ?? last}`);
}

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A place of its own in the real PostgreSQL and Redis, and folders for logs and data; `number` is the Redis database. */
export async function isolate(t, number) {
  const schema = `test_${process.pid}_${Date.now()}`;
  const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
  await client.connect();
  await client.query(`CREATE SCHEMA ${schema}; SET search_path TO ${schema}`);
  const folder = await mkdtemp(join(tmpdir(), 'truegate-'));
  const redisUrl = new URL(process.env.REDIS_URL);
  redisUrl.pathname = `/${number}`;
  const redis = new Redis(redisUrl.href);
  await redis.flushdb();
  const databaseUrl = new URL(process.env.DATABASE_URL);
  databaseUrl.searchParams.set('options', `-c search_path=${schema}`);
  const flagsFile = join(folder, 'flags.json');
  await writeFile(flagsFile, await readFile(join(SERVER, 'flags.json')));
  t.after(async () => {
    await client.query(`DROP SCHEMA ${schema} CASCADE`);
    await client.end();
    await redis.flushdb();
    redis.disconnect();
    await rm(folder, { recursive: true, force: true });
  });
  return {
    client, redis, folder, flagsFile,
    env: {
      ...process.env,
      TRUEGATE_PROFILE: 'staging',
      TRUEGATE_CONTROLS: '1',
      DATABASE_URL: databaseUrl.href,
      REDIS_URL: redisUrl.href,
      EDGE_CACHE_DIR: join(folder, 'edge'),
      DATA_DIR: join(folder, 'data'),
      LOG_DIR: join(folder, 'log'),
      FLAGS_FILE: flagsFile,
      OTEL_EXPORTER_OTLP_ENDPOINT: '',
      DRAIN_SECONDS: '2',
      PORT: String(await freePort()),
      METRICS_PORT: String(await freePort()),
      WORKER_METRICS_PORT: String(await freePort()),
    },
  };
}

/** Start index.js or worker.js and wait until it says `ready` (a path of its health). */
export async function start(t, script, env, { ready = '/readyz' } = {}) {
  const child = spawn(process.execPath, [script], { cwd: SERVER, env, stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = once(child, 'exit');
  const url = `http://127.0.0.1:${script === 'worker.js' ? env.WORKER_METRICS_PORT : env.PORT}`;
  const stop = async (signal = 'SIGTERM') => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
    return child.exitCode;
  };
  t.after(async () => { // in good order, so that coverage is written; by force when that takes too long
    const force = setTimeout(() => child.kill('SIGKILL'), 8000);
    await stop();
    clearTimeout(force);
  });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`${script} ended with ${child.exitCode}`);
    return (await fetch(url + ready)).ok;
  }, `${script} at ${ready}`);
  const metricsUrl = `http://127.0.0.1:${script === 'worker.js' ? env.WORKER_METRICS_PORT : env.METRICS_PORT}/metrics`;
  return { child, url, stop, isAlive: () => child.exitCode === null && child.signalCode === null, metric: (line) => readMetric(metricsUrl, line) };
}

/** Give the value of one series, written as on the metrics page; undefined when it is not there. */
async function readMetric(url, series) {
  const text = await (await fetch(url)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line && Number(line.slice(series.length + 1));
}

/** A proxy that can be cut, between the service and a part. */
export async function proxyTo(t, address) {
  const target = new URL(address);
  const sockets = new Set();
  let isCut = false;
  let isFrozen = false;
  const server = net.createServer((incoming) => {
    if (isCut) {
      incoming.destroy();
      return;
    }
    const outgoing = net.connect(Number(target.port), target.hostname);
    for (const [one, other] of [[incoming, outgoing], [outgoing, incoming]]) {
      sockets.add(one);
      one.on('error', () => {}).on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.on('data', (data) => { if (!isFrozen) other.write(data); });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    sockets.forEach((socket) => socket.destroy());
    server.close();
  });
  const through = new URL(address);
  through.hostname = '127.0.0.1';
  through.port = server.address().port;
  return {
    url: through.href.replace(/\/$/, address.endsWith('/') ? '/' : ''),
    cut() {
      isCut = true;
      sockets.forEach((socket) => socket.destroy());
    },
    /** Take everything and pass nothing on, as a network that drops packets. */
    freeze() { isFrozen = true; },
    heal() {
      if (isFrozen) sockets.forEach((socket) => socket.destroy()); // what was lost in between would leave them out of step
      isCut = false;
      isFrozen = false;
    },
  };
}

export const json = (method, body, headers = {}) => ({
  method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...headers },
});

let keys = 0;
export const newKey = () => ({ 'Idempotency-Key': `"${process.pid}-${Date.now()}-${keys++}"` });

/** Create an item and give it as the service answers it. */
export async function createItem(url, fields = {}) {
  const answer = await fetch(`${url}/api/items`, json('POST', { name: 'A thing', price_cents: 100, ...fields }, newKey()));
  if (answer.status !== 201) throw new Error(`create: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

/** Read every line of a process's log files, oldest first. */
export async function readLog(folder, name) {
  const files = (await readdir(folder)).filter((file) => new RegExp(`^${name}\\.[\\d-]+\\.\\d+\\.log$`).test(file));
  files.sort((one, other) => one.localeCompare(other, 'en', { numeric: true }));
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8').catch((error) => {
    if (error.code !== 'ENOENT') throw error; // rotated away since it was listed
    return '';
  })));
  return texts.join('').split('\n').filter(Boolean).map((line) => JSON.parse(line));
}
