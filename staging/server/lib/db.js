// The PostgreSQL pool: bounded in connections and in time, with transactions, and told apart when it is not there.

import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { sampled } from './metrics.js';
import { tracePool } from './tracing.js';

const INT8 = 20;
const MIGRATION_LOCK = 7_203_154; // any number; keeps two starting processes from running the schema at once
pg.types.setTypeParser(INT8, Number);

export const POOL_SETTINGS = {
  connectionTimeoutMillis: 2000,
  statement_timeout: 3000, // the server gives up
  query_timeout: 4000, // and we do, when the server can't be heard
  idle_in_transaction_session_timeout: 15_000,
  keepAlive: true,
};

export function createDatabase({ url, max, name, log, metrics }) {
  const pool = tracePool(new pg.Pool({ connectionString: url, max, application_name: name, ...POOL_SETTINGS }));
  pool.on('error', (error) => log.warn({ code: error.code, error: error.message }, 'idle database connection lost'));

  /** Run `work(client)` in one transaction; any error rolls it back. */
  async function transaction(work) {
    const client = await pool.connect();
    let broken;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      // A connection that can't even roll back must not return to the pool.
      await client.query('ROLLBACK').catch((failure) => { broken = failure; });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** Apply schema.sql; it changes nothing where it has run before. */
  async function migrate() {
    const schema = await readFile(new URL('../schema.sql', import.meta.url), 'utf8');
    await transaction(async (client) => {
      await client.query(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
      await client.query(schema);
    });
  }

  poolMetrics(metrics, pool);
  return { query: (text, values) => pool.query(text, values), transaction, migrate, close: () => pool.end() };
}

function poolMetrics(metrics, pool) {
  metrics.gauge('db_client_connection_count', 'Connections of the pool by state', {
    labelNames: ['db_client_connection_state'],
    collect() {
      this.set({ db_client_connection_state: 'idle' }, pool.idleCount);
      this.set({ db_client_connection_state: 'used' }, pool.totalCount - pool.idleCount);
    },
  });
  metrics.gauge('db_client_connection_pending_requests', 'Requests that wait for a connection', {
    collect() { this.set(pool.waitingCount); },
  });
  metrics.gauge('db_client_connection_max', 'Connections that the pool may open').set(pool.options.max);
  metrics.gauge('db_size_bytes', 'Size of the database on disk', {
    collect: sampled(30_000, async (gauge) => {
      const { rows } = await pool.query('SELECT pg_database_size(current_database()) AS bytes');
      gauge.set(rows[0].bytes);
    }),
  });
}

const UNAVAILABLE = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND',
  '57014', // statement timeout
  '57P01', '57P02', '57P03', // the server ends, has crashed, or starts
  '53300', // too many connections
  '25P03', // idle in transaction
]);

/** Tell whether an error says that the database can't be used now, so that the request may be tried again. */
export function isUnavailable(error) {
  if (UNAVAILABLE.has(error.code) || /^08/.test(error.code ?? '')) return true;
  return /timeout exceeded when trying to connect|Connection terminated|Query read timeout|not queryable/.test(error.message);
}
