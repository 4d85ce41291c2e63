// Pages may be kept at the edge. Tags and paths map to the addresses under which they were given out, in Redis;
// revalidation deletes the edge's file for each, so that the next answer is a MISS. What Redis could not note is not
// given to the edge: nobody could take it back.

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

const noteOf = (kind, name) => `edge:${kind}:${name}`;

/** Where nginx keeps an entry: the MD5 of proxy_cache_key ($request_uri), under `levels=1:2`. */
export function entryPath(folder, uri) {
  const hash = createHash('md5').update(uri).digest('hex');
  return join(folder, hash.slice(-1), hash.slice(-3, -1), hash);
}

export function createEdge({ redis, cacheDir, secret, validator, metrics, log }) {
  const purges = metrics.counter('edge_purged_entries_total', 'Entries that revalidation took out of the edge');

  /** Mark an answer as one that the edge may keep, under tags. */
  async function keepAtEdge(req, res, tags) {
    const uri = req.originalUrl;
    try {
      const notes = [noteOf('path', req.path), ...tags.map((tag) => noteOf('tag', tag))];
      const pipeline = redis.pipeline();
      for (const note of notes) pipeline.sadd(note, uri).expire(note, NOTE_SECONDS);
      for (const [error] of await pipeline.exec()) if (error) throw error;
      res.set('Cache-Control', `public, max-age=0, s-maxage=${KEEP_SECONDS}, stale-while-revalidate=${KEEP_SECONDS}`);
    } catch (error) {
      log.debug({ error: error.message }, 'page not kept at the edge');
      res.set('Cache-Control', 'no-store');
    }
  }

  async function purge(uri) {
    if (!cacheDir) return 0;
    try {
      await unlink(entryPath(cacheDir, uri));
      return 1;
    } catch (error) {
      if (error.code === 'ENOENT') return 0;
      throw error;
    }
  }

  /** Take a tag or a path out of the cache and the edge; gives the addresses and how many entries were there. */
  async function revalidate({ path, tag }) {
    const note = tag ? noteOf('tag', tag) : noteOf('path', path);
    let uris;
    try {
      uris = await redis.smembers(note);
      const item = /^(?:item:|\/items\/|\/api\/items\/)(\d+)$/.exec(tag ?? path)?.[1];
      await redis.del(note, ...(item ? [cacheKey(item)] : []));
    } catch (error) {
      throw Object.assign(unavailable('The notes of what is at the edge can not be reached'), { cause: error });
    }
    const paths = [...new Set(path ? [...uris, path] : uris)].sort();
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
