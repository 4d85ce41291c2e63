// What the service's speed is measured against: Express 5, the same pool and the same query, and nothing else.

import express from 'express';
import pg from 'pg';
import { POOL_SETTINGS } from '../lib/db.js';

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.DB_POOL_MAX || 10), ...POOL_SETTINGS });
const COLUMNS = 'id, name, description, price_cents, quantity, version, created_at, updated_at';

express()
  .get('/api/items/:id', async (req, res) => {
    const { rows } = await pool.query(`SELECT ${COLUMNS} FROM items WHERE id = $1`, [req.params.id]);
    res.json(rows[0]);
  })
  .listen(Number(process.env.PORT), '127.0.0.1');
