// Redis: one connection for cache, tags and queue. It may be gone at any time; then the cache is skipped, not waited for.

import { Redis } from 'ioredis';

const TTL_MS = 30_000; // bounds how long a stale entry lives when Redis was away during its invalidation
const SKIP_AFTER_FAILURE_MS = 1000;

// Entries carry the item's version and only a newer one replaces them: a slow reader can't put an old row back.
const STORE_IF_NEWER = `
local known = redis.call('HGET', KEYS[1], 'version')
if known and tonumber(known) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'body', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`;

export function createRedis({ url, log, blocking = false }) {
  const redis = new Redis(url, {
    enableOfflineQueue: blocking,
    maxRetriesPerRequest: blocking ? null : 1, // BullMQ's worker must wait for ever
    commandTimeout: blocking ? undefined : 1000,
    connectTimeout: 2000,
    retryStrategy: (attempt) => Math.min(100 * attempt, 2000),
  });
  let silent = false; // one line for an outage, not one for each attempt
  redis.on('error', (error) => {
    if (!silent) log.warn({ code: error.code, error: error.message }, 'redis connection lost');
    silent = true;
  });
  redis.on('ready', () => {
    silent = false;
    log.info('redis connection ready');
  });
  redis.defineCommand('storeIfNewer', { numberOfKeys: 1, lua: STORE_IF_NEWER });
  return redis;
}

export function createCache({ redis, metrics }) {
  const requests = metrics.counter('cache_requests_total', 'Look-ups in the cache by result', { labelNames: ['cache_result'] });
  for (const result of ['hit', 'miss', 'error']) requests.inc({ cache_result: result }, 0);
  let skipUntil = 0;

  async function attempt(work) {
    if (Date.now() < skipUntil) throw new Error('skipped');
    try {
      return await work();
    } catch (error) {
      skipUntil = Date.now() + SKIP_AFTER_FAILURE_MS;
      throw error;
    }
  }

  return {
    /** Give `{ version, body }`, with an empty body for an item that was deleted, or nothing. */
    async get(key) {
      try {
        const [version, body] = await attempt(() => redis.hmget(key, 'version', 'body'));
        requests.inc({ cache_result: version === null ? 'miss' : 'hit' });
        return version === null ? undefined : { version: Number(version), body };
      } catch {
        requests.inc({ cache_result: 'error' });
        return undefined;
      }
    },

    /** Keep an entry unless a newer one is there; a deleted item keeps an empty body. */
    async put(key, version, body) {
      await attempt(() => redis.storeIfNewer(key, version, body, TTL_MS)).catch(() => {});
    },
  };
}
