// JSON logs with a request id and a trace id, to a file that rotates by size and day with a bounded count.

import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import roll from 'pino-roll';

const SECRETS = ['authorization', 'cookie', 'password', 'secret', 'token', 'set-cookie', 'x-revalidate-secret'];
const PATIENCE_MS = 500; // a line waits at most this long in memory; writing each alone costs a third of the throughput

const request = new AsyncLocalStorage();

/** Open a file in `folder` that rotates at `fileKib` or at midnight; at most `fileCount` files stay, also over restarts. */
export async function rotatingFile({ folder, name, fileKib, fileCount }) {
  mkdirSync(folder, { recursive: true });
  return roll({
    file: join(folder, name),
    extension: '.log',
    size: `${fileKib}k`,
    frequency: 'daily',
    dateFormat: 'yyyy-MM-dd',
    limit: { count: fileCount - 1, removeOtherLogFiles: true }, // it does not count the file in use
    mkdir: true,
    sync: false,
    minLength: 4096,
    periodicFlush: PATIENCE_MS,
  });
}

/** Make the logger; `traceIds` gives `{trace_id, span_id}` of what runs now, or nothing. */
export async function createLogger({ service, version, level, traceIds = () => ({}), ...file }) {
  const destination = await rotatingFile({ name: service, ...file });
  // A full disk must not end the service: the line is lost, and stderr says so.
  destination.on('error', (error) => process.stderr.write(`log file: ${error.message}\n`));
  const logger = pino({
    level,
    base: { service, version, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: ['', 'headers', 'body', 'config'].flatMap((holder) => SECRETS.map((name) => `${holder}["${name}"]`)), censor: '[redacted]' },
    mixin: () => ({ request_id: request.getStore(), ...traceIds() }),
  }, destination);
  const close = () => {
    destination.end();
    return once(destination, 'close');
  };
  return { logger, close };
}

/** Express middleware: one line a request, when it ended; everything logged in between carries its request id. */
export function requestLog(logger, traceIds = () => ({})) {
  return (req, res, next) => {
    const started = performance.now();
    const given = req.headers['x-request-id'];
    const id = given && /^[\w.-]{8,64}$/.test(given) ? given : randomUUID();
    const ids = { request_id: id, ...traceIds() };
    res.setHeader('X-Request-Id', id);
    res.once('close', () => {
      const level = res.statusCode >= 500 ? 'error' : 'info';
      logger[level]({
        ...ids,
        method: req.method,
        path: req.originalUrl.split('?', 1)[0].slice(0, 200),
        route: req.route?.path,
        status: res.statusCode,
        duration_ms: Math.round((performance.now() - started) * 1000) / 1000,
        aborted: res.writableFinished ? undefined : true,
      }, 'request');
    });
    request.run(id, next);
  };
}
