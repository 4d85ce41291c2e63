// The items: create, read, change, delete, and list by cursor.

import { Router } from 'express';
import { Problem } from './problems.js';
import { idempotent } from './idempotency.js';
import { readId } from './validate.js';

const COLUMNS = 'id, name, description, price_cents, quantity, version, created_at, updated_at';
const NO_SUCH_ITEM = 'There is no such item';

export const cacheKey = (id) => `item:${id}`;
const etag = (version) => `"v${version}"`;

// The cursor is the last id that was seen; the contract holds its form. To clients it is opaque.
const CURSOR = 'after-';

/** Whether a list of entity tags, as in If-Match, names this version. */
function names(header, version) {
  return header.split(',').some((tag) => tag.trim() === '*' || tag.trim() === etag(version));
}

function requireMatch(req, version) {
  const header = req.get('If-Match');
  if (header === undefined) throw new Problem(428, 'The header If-Match is needed: the ETag of the version that you changed');
  if (!names(header, version)) throw new Problem(412, 'The item has changed since; read it again');
}

function sendItem(req, res, version, body) {
  res.set({ ETag: etag(version), 'Cache-Control': 'private, no-cache' });
  // If-None-Match compares weakly: a proxy that compresses marks the tag with W/.
  if (names((req.headers['if-none-match'] ?? '').replaceAll('W/', ''), version)) {
    res.status(304).end();
    return;
  }
  res.type('application/json').send(body);
}

export async function listItems(db, { limit, cursor = `${CURSOR}0`, withTotal = false }) {
  const after = Number(cursor.slice(CURSOR.length));
  const { rows } = await db.query(`SELECT ${COLUMNS} FROM items WHERE id > $1 ORDER BY id LIMIT $2`, [after, limit + 1]);
  const items = rows.slice(0, limit);
  const page = { items, next_cursor: rows.length > limit ? `${CURSOR}${items.at(-1).id}` : null };
  if (withTotal) {
    const { rows: [count] } = await db.query('SELECT count(*) AS total FROM items');
    page.total = count.total;
  }
  return page;
}

export async function findItem(db, id) {
  const { rows } = await db.query(`SELECT ${COLUMNS} FROM items WHERE id = $1`, [id]);
  return rows[0];
}

export function itemRoutes({ db, cache, flags, validator }) {
  const router = Router();

  router.get('/api/items/:id', async (req, res) => {
    const id = readId(req);
    const cached = flags.isOn('items-cache');
    const known = cached ? await cache.get(cacheKey(id)) : undefined;
    if (known?.body) return sendItem(req, res, known.version, known.body);
    const item = known ? undefined : await findItem(db, id);
    if (!item) throw new Problem(404, NO_SUCH_ITEM);
    const body = JSON.stringify(item);
    if (cached) await cache.put(cacheKey(id), item.version, body);
    return sendItem(req, res, item.version, body);
  });

  router.get('/api/items', validator.query('listItems'), async (req, res) => {
    const { limit, cursor } = res.locals.query;
    const page = await listItems(db, { limit, cursor, withTotal: flags.isOn('items-total') });
    if (page.next_cursor) res.set('Link', `</api/items?limit=${limit}&cursor=${page.next_cursor}>; rel="next"`);
    res.set('Cache-Control', 'private, no-cache').json(page);
  });

  router.post('/api/items', validator.body('ItemInput'), idempotent(db, 'items', async (req, tx) => {
    const { name, description = '', price_cents: price, quantity = 0 } = req.body;
    const { rows: [item] } = await tx.query(
      `INSERT INTO items (name, description, price_cents, quantity) VALUES ($1, $2, $3, $4) RETURNING ${COLUMNS}`,
      [name, description, price, quantity],
    );
    return { status: 201, headers: { Location: `/api/items/${item.id}`, ETag: etag(item.version) }, body: JSON.stringify(item) };
  }));

  /** Lock the row, compare its version, then change it: two writers with one ETag can't both win. */
  async function change(req, statement, values) {
    const id = readId(req);
    return db.transaction(async (tx) => {
      const { rows: [known] } = await tx.query('SELECT version FROM items WHERE id = $1 FOR UPDATE', [id]);
      if (!known) throw new Problem(404, NO_SUCH_ITEM);
      requireMatch(req, known.version);
      const { rows: [item] } = await tx.query(statement, [id, ...values]);
      return item;
    });
  }

  router.put('/api/items/:id', validator.body('ItemInput'), async (req, res) => {
    const { name, description = '', price_cents: price, quantity = 0 } = req.body;
    const item = await change(req, `UPDATE items SET name = $2, description = $3, price_cents = $4, quantity = $5,
      version = version + 1, updated_at = now() WHERE id = $1 RETURNING ${COLUMNS}`, [name, description, price, quantity]);
    const body = JSON.stringify(item);
    await cache.put(cacheKey(item.id), item.version, body);
    res.set({ ETag: etag(item.version), 'Cache-Control': 'private, no-cache' }).type('application/json').send(body);
  });

  router.delete('/api/items/:id', async (req, res) => {
    const item = await change(req, 'DELETE FROM items WHERE id = $1 RETURNING id, version', []);
    await cache.put(cacheKey(item.id), item.version + 1, '');
    res.status(204).end();
  });

  return router;
}
