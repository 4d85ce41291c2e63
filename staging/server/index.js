// The reference service: reads its configuration, puts its parts together, listens, and ends in good order.

import { readFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import express from 'express';
import { createCache, createRedis } from './lib/cache.js';
import { loadConfig } from './lib/config.js';
import { createDatabase, poolMetrics } from './lib/db.js';
import { createFlags } from './lib/flags.js';
import { createHealth } from './lib/health.js';
import { itemRoutes } from './lib/items.js';
import { createLogger, requestLog, rotatingFile } from './lib/logging.js';
import { createMetrics, httpMetrics, metricsPage, sampled, zeroFromOpenApi } from './lib/metrics.js';
import { notFound, problemAnswer } from './lib/problems.js';
import { limitRate, securityHeaders } from './lib/security.js';
import { closeWhileDraining, drain, onSignal } from './lib/shutdown.js';
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
const redis = createRedis({ url: config.redisUrl, log });
const cache = createCache({ redis, metrics });
const flags = await createFlags({ path: config.flagsFile, log, metrics });
const validator = createValidator(contract);

let migrated = false;
const health = createHealth({
  version,
  checks: [
    {
      name: 'postgres:responseTime', componentType: 'datastore', critical: true,
      async run() {
        const started = performance.now();
        await db.query('SELECT 1');
        return { observedValue: Math.round(performance.now() - started), observedUnit: 'ms', status: migrated ? 'pass' : 'fail' };
      },
    },
    {
      name: 'redis:responseTime', componentType: 'datastore',
      async run() {
        const started = performance.now();
        await redis.ping();
        return { observedValue: Math.round(performance.now() - started), observedUnit: 'ms' };
      },
    },
  ],
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
app.use(notFound);
app.use(problemAnswer(log, traceIds));

const internal = express().disable('x-powered-by').get('/metrics', metricsPage(metrics));
const internalServer = internal.listen(config.metricsPort, config.host);
const server = app.listen(config.port, config.host, () => log.info({ port: config.port }, 'listening'));

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
  await drain(server, config.drainSeconds);
  internalServer.close();
  flags.close();
  redis.disconnect();
  await db.close();
  await stopTracing();
  await closeLog();
});
