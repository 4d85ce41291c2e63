// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): the answer is kept in the transaction of its effect.
// A lock that ends with the transaction marks a key as in flight: after a crash there is nothing to clean up.

import { createHash } from 'node:crypto';
import { Problem } from './problems.js';

export const KEEP_HOURS = 24;
const KEY = /^"([\x21\x23-\x5b\x5d-\x7e]{1,255})"$/; // a structured-field String, without escapes

function readKey(req) {
  const given = req.get('Idempotency-Key');
  if (given === undefined) throw new Problem(400, 'The header Idempotency-Key is needed');
  const key = KEY.exec(given.trim())?.[1];
  if (!key) throw new Problem(400, 'Idempotency-Key must be a quoted string of 1 to 255 visible characters');
  return key;
}

/** Express handler: `handle(req, tx, key)` gives `{ status, headers, body }` and does its work in the transaction `tx`. */
export function idempotent(db, scope, handle) {
  return async (req, res) => {
    const key = readKey(req);
    const fingerprint = createHash('sha256').update(JSON.stringify(req.body)).digest('hex');
    const answer = await db.transaction(async (tx) => {
      const { rows: [lock] } = await tx.query('SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS taken', [`${scope} ${key}`]);
      if (!lock.taken) throw new Problem(409, 'A request with this Idempotency-Key is being worked on');
      // A statement of its own: it must see what the lock's last holder committed.
      const { rows: [known] } = await tx.query(
        'SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE scope = $1 AND key = $2',
        [scope, key],
      );
      if (known && known.fingerprint !== fingerprint) throw new Problem(422, 'This Idempotency-Key was used with another body');
      if (known) return { ...known, headers: { ...known.headers, 'Idempotency-Replayed': 'true' } };
      const made = await handle(req, tx, key);
      await tx.query(
        'INSERT INTO idempotency_keys (scope, key, fingerprint, status, headers, body) VALUES ($1, $2, $3, $4, $5, $6)',
        [scope, key, fingerprint, made.status, made.headers, made.body],
      );
      return made;
    });
    res.status(answer.status).set(answer.headers).type('application/json').send(answer.body);
  };
}

/** Forget answers that are older than a client may still ask for. */
export function forgetOldKeys(db) {
  return db.query(`DELETE FROM idempotency_keys WHERE created_at < now() - interval '${KEEP_HOURS} hours'`);
}
