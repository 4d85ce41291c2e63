// The reference service: puts its parts together, listens, and ends in good order.

import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { controlRoutes } from './lib/controls.js';
import { createEdge } from './lib/edge.js';
import { createStorage, fileRoutes } from './lib/files.js';
import { createFlags } from './lib/flags.js';
import { createHealth, diskCheck, diskSpace, timed } from './lib/health.js';
import { itemRoutes } from './lib/items.js';
import { jobRoutes } from './lib/jobs.js';
import { requestLog } from './lib/logging.js';
import { diskMetrics, healthGauge, httpMetrics, metricsPage, zeroFromOpenApi } from './lib/metrics.js';
import { pageRoutes } from './lib/pages.js';
import { notFound, problemAnswer } from './lib/problems.js';
import { createQueue, queueCheck, queueMetrics } from './lib/queue.js';
import { limitRate, securityHeaders } from './lib/security.js';
import { closeWhileDraining, drain, listen, onSignal } from './lib/shutdown.js';
import { startParts } from './lib/start.js';
import { createStreams } from './lib/stream.js';
import { httpSpans, traceIds } from './lib/tracing.js';
import { createValidator } from './lib/validate.js';

const { config, version, log, metrics, db, redis, cache, close } = await startParts('service', {});
const contract = JSON.parse(readFileSync(new URL('openapi.json', import.meta.url), 'utf8'));
await mkdir(config.dataDir, { recursive: true });

const http = httpMetrics(metrics);
zeroFromOpenApi(http.duration, contract);
diskMetrics(metrics, () => diskSpace(config.dataDir));
const queue = createQueue({ redis, log });
queueMetrics(metrics, queue);
const storage = createStorage(config);
const flags = await createFlags({ path: config.flagsFile, log, metrics });
const validator = createValidator(contract);
const streams = createStreams({ metrics, validator });
const edge = createEdge({ redis, cacheDir: config.edgeCacheDir, secret: config.revalidateSecret, validator, metrics, log });

let migrated = false;
const health = createHealth({
  version,
  checks: [
    timed('postgres:responseTime', async () => {
      await db.query('SELECT 1');
      if (!migrated) throw Object.assign(new Error('the schema is not applied yet'), { code: 'MIGRATING' });
    }, { critical: true }),
    timed('redis:responseTime', () => redis.ping()),
    queueCheck(queue),
    timed('storage:responseTime', storage.reach),
    diskCheck(config.dataDir),
  ],
  onResult: healthGauge(metrics),
});

const app = express().disable('x-powered-by').disable('etag').set('trust proxy', 'loopback');
app.use(httpSpans(), requestLog(log, traceIds), http.middleware, securityHeaders(config.publicUrl));
app.use(closeWhileDraining(health.isDraining));
app.use(health.router);
app.use(limitRate({ perMinute: config.rateLimitPerMinute }));
app.use(fileRoutes({ storage, dataDir: config.dataDir })); // before express.json: a file may well be JSON
app.use(express.json({ limit: '100kb' }));
app.use(itemRoutes({ db, cache, flags, validator }));
app.use(streams.router, jobRoutes({ db, redis, queue, validator, controls: config.controls }), edge.router);
app.use(pageRoutes({ db, edge, validator, publicUrl: config.publicUrl }));
app.get('/openapi.json', (req, res) => { res.json(contract); });
if (config.controls) app.use(controlRoutes());
app.use(notFound(contract));
app.use(problemAnswer(log, traceIds));

const internal = express().disable('x-powered-by').get('/metrics', metricsPage(metrics));
const internalServer = listen(internal, config.host, config.metricsPort);
// A supervisor that holds the socket (LISTEN_FDS, as systemd passes it) loses no request between two processes.
const server = process.env.LISTEN_FDS === '1' ? app.listen({ fd: 3 }) : listen(app, config.host, config.port);
server.once('listening', () => log.info({ port: config.port }, 'listening'));

onSignal(log, async () => {
  health.drain();
  await drain(server, config.drainSeconds, streams.endAll);
  internalServer.close();
  flags.close();
  await queue.close();
  await close();
});

while (!migrated) {
  try {
    await db.migrate();
    migrated = true;
  } catch (error) {
    log.warn({ code: error.code, error: error.message }, 'schema not applied yet');
    await sleep(1000);
  }
}
