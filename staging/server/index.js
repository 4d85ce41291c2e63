// The reference service: reads its configuration, puts its parts together, listens, and ends in good order.

import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import express from 'express';
import { createCache, createRedis } from './lib/cache.js';
import { loadConfig } from './lib/config.js';
import { controlRoutes } from './lib/controls.js';
import { createDatabase, poolMetrics } from './lib/db.js';
import { createEdge } from './lib/edge.js';
import { createStorage, fileRoutes } from './lib/files.js';
import { createFlags } from './lib/flags.js';
import { createHealth, diskCheck, diskSpace, timed } from './lib/health.js';
import { itemRoutes } from './lib/items.js';
import { jobRoutes } from './lib/jobs.js';
import { createLogger, requestLog, rotatingFile } from './lib/logging.js';
import { createMetrics, diskMetrics, healthGauge, httpMetrics, metricsPage, zeroFromOpenApi } from './lib/metrics.js';
import { pageRoutes } from './lib/pages.js';
import { notFound, problemAnswer } from './lib/problems.js';
import { createQueue, queueCheck, queueMetrics } from './lib/queue.js';
import { limitRate, securityHeaders } from './lib/security.js';
import { closeWhileDraining, drain, listen, onSignal } from './lib/shutdown.js';
import { createStreams } from './lib/stream.js';
import { httpSpans, startTracing, traceIds } from './lib/tracing.js';
import { createValidator } from './lib/validate.js';

const SERVICE = 'service';
const JSON_LIMIT = '100kb';

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
const config = loadConfig();
const { version } = read('./package.json');
const contract = read('./openapi.json');
const rotation = { folder: config.logDir, fileKib: config.logFileKib, fileCount: config.logFileCount };

const { logger: log, close: closeLog } = await createLogger({ service: SERVICE, version, level: config.logLevel, traceIds, ...rotation });
const stopTracing = startTracing({
  service: SERVICE, version, ratio: config.traceRatio, endpoint: config.otlpEndpoint,
  file: config.otlpEndpoint ? undefined : await rotatingFile({ name: `${SERVICE}-traces`, ...rotation }),
});
const metrics = createMetrics({ service: SERVICE, version });
const http = httpMetrics(metrics);
zeroFromOpenApi(http.duration, contract);
const db = createDatabase({ url: config.databaseUrl, max: config.dbPoolMax, name: SERVICE, log });
poolMetrics(metrics, db);
diskMetrics(metrics, () => diskSpace(config.dataDir));
const redis = createRedis({ url: config.redisUrl, log });
const cache = createCache({ redis, metrics });
const flags = await createFlags({ path: config.flagsFile, log, metrics });
const queue = createQueue({ redis, log });
queueMetrics(metrics, queue);
const storage = createStorage({
  endpoint: config.s3Endpoint, region: config.s3Region, bucket: config.s3Bucket,
  accessKeyId: config.s3AccessKeyId, secretAccessKey: config.s3SecretAccessKey,
});
const validator = createValidator(contract);
const streams = createStreams({ metrics, validator });
const edge = createEdge({ redis, cacheDir: config.edgeCacheDir, secret: config.revalidateSecret, validator, metrics, log });
await mkdir(config.dataDir, { recursive: true });

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

const app = express();
app.disable('x-powered-by');
app.disable('etag');
app.set('trust proxy', 'loopback');
app.use(httpSpans(), requestLog(log, traceIds), http.middleware, securityHeaders(config.publicUrl));
app.use(closeWhileDraining(health.isDraining));
app.use(health.router);
app.use(limitRate({ perMinute: config.rateLimitPerMinute }));
app.use(express.json({ limit: JSON_LIMIT }));
app.get('/openapi.json', (req, res) => { res.json(contract); });
app.use(itemRoutes({ db, cache, flags, validator }));
app.use(streams.router, jobRoutes({ db, redis, queue, validator, controls: config.controls }), edge.router);
app.use(fileRoutes({ storage, dataDir: config.dataDir }));
app.use(pageRoutes({ db, edge, validator, publicUrl: config.publicUrl }));
if (config.controls) app.use(controlRoutes());
app.use(notFound);
app.use(problemAnswer(log, traceIds));

const internal = express().disable('x-powered-by').get('/metrics', metricsPage(metrics));
const internalServer = listen(internal, config.host, config.metricsPort);
// A supervisor that holds the socket (LISTEN_FDS, as systemd passes it) loses no request between two processes.
const server = process.env.LISTEN_FDS === '1' ? app.listen({ fd: 3 }) : listen(app, config.host, config.port);
server.once('listening', () => log.info({ port: config.port }, 'listening'));

async function migrateUntilDone() {
  while (!migrated) {
    try {
      await db.migrate();
      migrated = true;
    } catch (error) {
      log.warn({ code: error.code, error: error.message }, 'schema not applied yet');
      await new Promise((resolve) => { setTimeout(resolve, 1000); });
    }
  }
}
migrateUntilDone();

onSignal(log, async () => {
  health.drain();
  await drain(server, config.drainSeconds, streams.endAll);
  internalServer.close();
  flags.close();
  await queue.close();
  redis.disconnect();
  await db.close();
  await stopTracing();
  await closeLog();
});
