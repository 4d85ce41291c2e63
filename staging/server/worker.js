// The worker: takes jobs from the queue. A job may come twice (a crash, a lost lock); its effect happens once, because
// the effect and a mark with the job's id are written in one transaction.

import { setTimeout as sleep } from 'node:timers/promises';
import { UnrecoverableError, Worker } from 'bullmq';
import express from 'express';
import { createHealth, timed } from './lib/health.js';
import { forgetOldKeys } from './lib/idempotency.js';
import { cacheKey, findItem } from './lib/items.js';
import { healthGauge, metricsPage } from './lib/metrics.js';
import { QUEUE, telemetry } from './lib/queue.js';
import { listen, onSignal } from './lib/shutdown.js';
import { startParts } from './lib/start.js';
import { traceIds } from './lib/tracing.js';

const CONCURRENCY = 4;
const LOCK_MS = 5000; // a job whose worker died comes back after this, and the next look for stalled ones
const LOOK_FOR_STALLED_MS = 2500;
const HOUR_MS = 3_600_000;

const { config, version, log, metrics, db, redis, cache, close } = await startParts('worker', { connections: CONCURRENCY + 1, blocking: true });
const seconds = metrics.histogram('job_duration_seconds', 'Duration of an attempt at a job', { labelNames: ['outcome'] });
for (const outcome of ['completed', 'repeated', 'failed', 'dead']) seconds.zero({ outcome });

/** Add to an item's quantity, unless this job's mark is there already; gives the result and whether it was new. */
async function restock(job) {
  const { item_id: itemId, amount, control } = job.data;
  return db.transaction(async (tx) => {
    const { rowCount: isNew } = await tx.query(
      'INSERT INTO job_marks (job_id, result, trace_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [job.id, { item_id: itemId, amount }, traceIds()?.trace_id],
    );
    if (!isNew) return false;
    const { rowCount: found } = await tx.query(
      'UPDATE items SET quantity = quantity + $2, version = version + 1, updated_at = now() WHERE id = $1',
      [itemId, amount],
    );
    if (!found) throw new UnrecoverableError('there is no such item');
    if (control?.hold_ms) await sleep(control.hold_ms); // the gates kill the worker here, between effect and commit
    return true;
  });
}

async function work(job) {
  const started = performance.now();
  let outcome = 'failed';
  try {
    if (job.attemptsMade < (job.data.control?.fail_times ?? 0)) throw new Error('asked to fail');
    const isNew = await restock(job);
    outcome = isNew ? 'completed' : 'repeated';
    const item = await findItem(db, job.data.item_id);
    if (item) await cache.put(cacheKey(item.id), item.version, JSON.stringify(item));
    log.info({ job_id: job.id, attempt: job.attemptsMade + 1, outcome }, 'job done');
    return { item_id: job.data.item_id, amount: job.data.amount };
  } catch (error) {
    const last = error instanceof UnrecoverableError || job.attemptsMade + 1 >= job.opts.attempts;
    if (last) outcome = 'dead';
    log.error({ job_id: job.id, attempt: job.attemptsMade + 1, outcome, error: error.message }, 'job failed');
    throw error;
  } finally {
    seconds.observe({ outcome }, (performance.now() - started) / 1000);
  }
}

const worker = new Worker(QUEUE, work, {
  connection: redis,
  telemetry: telemetry(),
  concurrency: CONCURRENCY,
  lockDuration: LOCK_MS,
  stalledInterval: LOOK_FOR_STALLED_MS,
  maxStalledCount: 5,
});
worker.on('error', (error) => log.debug({ error: error.message }, 'worker'));
worker.on('stalled', (id) => log.warn({ job_id: id }, 'job stalled; it runs again'));

const health = createHealth({
  version,
  checks: [
    timed('postgres:responseTime', () => db.query('SELECT 1'), { critical: true }),
    timed('redis:responseTime', async () => {
      if (redis.status !== 'ready') throw new Error('not connected'); // a command would wait, and be one more in the line
      await redis.ping();
    }, { critical: true }),
  ],
  onResult: healthGauge(metrics),
});
const internal = express().disable('x-powered-by').use(health.router).get('/metrics', metricsPage(metrics));
const server = listen(internal, config.host, config.workerMetricsPort);
server.once('listening', () => log.info({ port: config.workerMetricsPort }, 'working'));

const cleaning = setInterval(() => {
  forgetOldKeys(db).catch((error) => log.warn({ error: error.message }, 'old idempotency keys stay for now'));
}, HOUR_MS);

onSignal(log, async () => {
  health.drain();
  clearInterval(cleaning);
  await worker.close(); // waits for the jobs in hand
  server.close();
  server.closeAllConnections();
  await close();
});
