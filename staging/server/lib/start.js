// What service and worker have in common: configuration, log, traces, metrics, database and Redis.

import { readFileSync } from 'node:fs';
import { createCache, createRedis } from './cache.js';
import { loadConfig } from './config.js';
import { createDatabase } from './db.js';
import { createLogger, rotatingFile } from './logging.js';
import { createMetrics } from './metrics.js';
import { startTracing, traceIds } from './tracing.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));

/** `blocking`: Redis commands wait for the connection, as BullMQ's worker needs it. */
export async function startParts(service, { connections, blocking = false }) {
  const config = loadConfig();
  const rotation = { folder: config.logDir, fileKib: config.logFileKib, fileCount: config.logFileCount };
  const { logger: log, close: closeLog } = await createLogger({ service, version, level: config.logLevel, traceIds, ...rotation });
  const stopTracing = startTracing({
    service, version, ratio: config.traceRatio, endpoint: config.otlpEndpoint,
    file: config.otlpEndpoint ? undefined : await rotatingFile({ name: `${service}-traces`, ...rotation }),
  });
  const metrics = createMetrics({ service, version });
  const db = createDatabase({ url: config.databaseUrl, max: connections ?? config.dbPoolMax, name: service, log, metrics });
  const redis = createRedis({ url: config.redisUrl, log, blocking });
  const cache = createCache({ redis, metrics });

  async function close() {
    redis.disconnect();
    await db.close();
    await stopTracing();
    await closeLog();
  }
  return { config, version, log, metrics, db, redis, cache, close };
}
