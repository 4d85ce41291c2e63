// Pages may be kept at the edge. Their tags map to paths in Redis; revalidation deletes the edge's file of each path, so
// that the next answer is a MISS. What Redis could not note is not given to the edge: nobody could take it back.

import { createHash, timingSafeEqual } from 'node:crypto';
import { unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Router } from 'express';
import { cacheKey } from './items.js';
import { Problem, unavailable } from './problems.js';
import { limitRate } from './security.js';

const KEEP_SECONDS = 60;
const NOTE_SECONDS = 3600; // well longer than an entry can be served, stale included
const WRONG_SECRETS_PER_MINUTE = 20;

const noteOf = (tag) => `edge:tag:${tag}`;

/** Where nginx keeps an entry: the MD5 of proxy_cache_key ($request_uri), under `levels=1:2`. */
export function entryPath(folder, uri) {
  const hash = createHash('md5').update(uri).digest('hex');
  return join(folder, hash.slice(-1), hash.slice(-3, -1), hash);
}

export function createEdge({ redis, cacheDir, secret, validator, metrics, log }) {
  const purges = metrics.counter('edge_purged_entries_total', 'Entries that revalidation took out of the edge');

  /** Let the edge keep an answer under tags, if it was asked for by its one canonical `path`: notes can't grow at will. */
  async function keepAtEdge(req, res, path, tags) {
    res.set('Cache-Control', 'no-store');
    if (req.originalUrl !== path) return;
    try {
      const pipeline = redis.pipeline();
      for (const tag of tags) pipeline.sadd(noteOf(tag), path).expire(noteOf(tag), NOTE_SECONDS);
      for (const [error] of await pipeline.exec()) if (error) throw error;
      res.set('Cache-Control', `public, max-age=0, s-maxage=${KEEP_SECONDS}, stale-while-revalidate=${KEEP_SECONDS}`);
    } catch (error) {
      log.debug({ error: error.message }, 'page not kept at the edge');
    }
  }

  async function purge(path) {
    if (!cacheDir) return 0;
    try {
      await unlink(entryPath(cacheDir, path));
      return 1;
    } catch (error) {
      if (error.code === 'ENOENT') return 0;
      throw error;
    }
  }

  /**
   * Take a tag or a path out of the cache and the edge; gives the paths and how many entries were there. What the edge
   * is fetching at this moment it may still keep, for as long as any entry.
   */
  async function revalidate({ path, tag }) {
    let paths = [path];
    try {
      if (tag) paths = (await redis.smembers(noteOf(tag))).sort();
      const item = /^(?:item:|\/items\/|\/api\/items\/)(\d+)$/.exec(tag ?? path)?.[1];
      if (item) await redis.del(cacheKey(item));
    } catch (error) {
      throw Object.assign(unavailable('The notes of what is at the edge can not be reached'), { cause: error });
    }
    const purged = (await Promise.all(paths.map(purge))).reduce((sum, one) => sum + one, 0);
    purges.inc(purged);
    return { paths, purged };
  }

  const digest = (text) => createHash('sha256').update(text).digest(); // equal lengths, as the comparison needs
  const wanted = digest(secret);

  function guard(req, res, next) {
    const given = /^Bearer (.+)$/.exec(req.get('Authorization') ?? '')?.[1] ?? req.get('X-Revalidate-Secret') ?? '';
    if (!timingSafeEqual(digest(given), wanted)) throw new Problem(401, 'The secret is wrong or missing', {}, { 'WWW-Authenticate': 'Bearer' });
    next();
  }

  const router = Router();
  router.post(
    '/api/revalidate',
    limitRate({ perMinute: WRONG_SECRETS_PER_MINUTE, requestWasSuccessful: (req, res) => res.statusCode !== 401, skipSuccessfulRequests: true }),
    guard,
    validator.body('RevalidateInput'),
    async (req, res) => { res.set('Cache-Control', 'no-store').json(await revalidate(req.body)); },
  );
  return { router, keepAtEdge };
}
