// A few HTML pages, for people and for crawlers; those without a search may be kept at the edge.

import { Router } from 'express';
import { findItem, listItems } from './items.js';
import { Problem } from './problems.js';
import { readId } from './validate.js';

const PAGE_SIZE = 20;
const STYLE = 'body{font:16px/1.5 sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}nav a{margin-right:1rem}';
const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export const escapeHtml = (text) => String(text).replaceAll(/[&<>"']/g, (character) => ENTITIES[character]);

export const page = (title, body) => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escapeHtml(title)}</title><link rel="stylesheet" href="/style.css"></head>
<body>
<nav><a href="/">Home</a><a href="/items">Items</a><a href="/about">About</a></nav>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`;

const searchForm = (text) => `<form action="/items" method="get">
<label>Search <input name="q" maxlength="100" value="${escapeHtml(text)}"></label> <button>Search</button>
</form>`;

const itemLinks = (items) => `<ul>${items.map(({ id, name }) => `<li><a href="/items/${id}">${escapeHtml(name)}</a></li>`).join('')}</ul>`;

export function pageRoutes({ db, edge, validator, publicUrl }) {
  const router = Router();

  router.get('/style.css', (req, res) => { res.set('Cache-Control', 'public, max-age=3600').type('css').send(STYLE); });

  router.get('/', async (req, res) => {
    await edge.keepAtEdge(req, res, '/', ['pages']);
    res.send(page('Reference service', `<p>The small service that the gates judge, at ${escapeHtml(publicUrl)}.</p>${searchForm('')}`));
  });

  router.get('/about', async (req, res) => {
    await edge.keepAtEdge(req, res, '/about', ['pages']);
    res.send(page('About', '<p>Its contract is <a href="/openapi.json">openapi.json</a>.</p>'));
  });

  router.get('/items', validator.query('itemsPage'), async (req, res) => {
    const { q, cursor } = res.locals.query;
    if (q !== undefined) {
      const { rows } = await db.query('SELECT id, name FROM items WHERE position(lower($1) in lower(name)) > 0 ORDER BY id LIMIT $2', [q, PAGE_SIZE]);
      res.set('Cache-Control', 'no-store').send(page(`Items with “${q}”`, searchForm(q) + itemLinks(rows)));
      return;
    }
    const { items, next_cursor: next } = await listItems(db, { limit: PAGE_SIZE, cursor });
    await edge.keepAtEdge(req, res, '/items', ['pages', 'items', ...items.map(({ id }) => `item:${id}`)]);
    res.send(page('Items', searchForm('') + itemLinks(items) + (next ? `<a href="/items?cursor=${next}">More</a>` : '')));
  });

  router.get('/items/:id', async (req, res) => {
    const item = await findItem(db, readId(req));
    if (!item) throw new Problem(404, 'There is no such item');
    await edge.keepAtEdge(req, res, `/items/${item.id}`, ['pages', `item:${item.id}`]);
    res.send(page(item.name, `<p>${escapeHtml(item.description)}</p><p>${(item.price_cents / 100).toFixed(2)}, ${item.quantity} in stock</p>`));
  });

  return router;
}
