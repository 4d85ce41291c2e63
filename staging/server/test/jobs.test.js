import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { createItem, isolate, json, newKey, readLog, scope, scopeOf, start, until } from './support.js';

describe('jobs', () => {
  const own = scope();
  let place;
  let service;
  let worker;
  before(async () => {
    place = await isolate(own, 11);
    service = await start(own, 'index.js', place.env);
    worker = await start(own, 'worker.js', place.env);
  });

  const post = (body, headers) => fetch(`${service.url}/api/jobs`, json('POST', body, headers));
  const read = async (id) => (await fetch(`${service.url}/api/jobs/${id}`)).json();
  const quantity = async (id) => (await (await fetch(`${service.url}/api/items/${id}`)).json()).quantity;
  async function queueJob(body, headers = newKey()) {
    const answer = await post({ type: 'restock', ...body }, headers);
    assert.equal(answer.status, 202);
    return (await answer.json()).id;
  }
  const finished = (id) => until(async () => {
    const job = await read(id);
    return ['completed', 'failed'].includes(job.state) && job;
  }, `job ${id}`);

  test('do their work and tell their result', async () => {
    const item = await createItem(service.url);
    const job = await finished(await queueJob({ item_id: item.id, amount: 4 }));
    assert.equal(job.state, 'completed');
    assert.deepEqual(job.result, { item_id: item.id, amount: 4 });
    assert.equal(await quantity(item.id), 4);
  });

  test('with one key happen once, and with another body are refused', async () => {
    const item = await createItem(service.url);
    const key = newKey();
    const id = await queueJob({ item_id: item.id, amount: 2 }, key);
    await finished(id);
    assert.equal(await queueJob({ item_id: item.id, amount: 2 }, key), id);
    assert.equal((await post({ type: 'restock', item_id: item.id, amount: 3 }, key)).status, 422);
    assert.equal((await post({ type: 'restock', item_id: item.id, amount: 3 })).status, 400);
    assert.equal(await quantity(item.id), 2);
  });

  test('are tried again with growing pauses', async () => {
    const item = await createItem(service.url);
    const job = await finished(await queueJob({ item_id: item.id, amount: 1, control: { fail_times: 2 } }));
    assert.equal(job.state, 'completed');
    assert.equal(job.attempts, 3);
    assert.equal(await quantity(item.id), 1);
  });

  test('that fail for good are dead letters, can be tried again, and had no effect', async () => {
    const id = await queueJob({ item_id: 999_999_999, amount: 1 });
    const job = await finished(id);
    assert.deepEqual([job.state, job.attempts, job.failed_reason], ['failed', 1, 'there is no such item']);
    const dead = async () => (await (await fetch(`${service.url}/api/dead-letters`)).json()).jobs.map((one) => one.id);
    assert.ok((await dead()).includes(id));
    assert.equal((await place.client.query('SELECT 1 FROM job_marks WHERE job_id = $1', [id])).rowCount, 0);
    await until(async () => await service.metric('bullmq_job_count{queue="jobs",state="failed"}') === 1, 'the count of dead letters');
    await place.client.query('INSERT INTO items (id, name, price_cents) VALUES (999999999, $1, 1)', ['late']);
    assert.equal((await fetch(`${service.url}/api/dead-letters/${id}/retry`, { method: 'POST' })).status, 202);
    await until(async () => (await read(id)).state === 'completed', 'the job to be done');
    assert.ok(!(await dead()).includes(id));
    assert.equal((await fetch(`${service.url}/api/dead-letters/${id}/retry`, { method: 'POST' })).status, 409);
  });

  test('of a wrong form or id are refused', async () => {
    assert.equal((await post({ type: 'other', item_id: 1, amount: 1 }, newKey())).status, 400);
    assert.equal((await fetch(`${service.url}/api/jobs/nonsense`)).status, 400);
    assert.equal((await fetch(`${service.url}/api/jobs/job-${'0'.repeat(32)}`)).status, 404);
  });

  test('carry the trace of their request into the worker, its log and its spans', async () => {
    const item = await createItem(service.url);
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const id = await queueJob({ item_id: item.id, amount: 1 }, { ...newKey(), traceparent: `00-${traceId}-b7ad6b7169203331-01` });
    await finished(id);
    const inLog = (name, matches) => until(async () => (await readLog(place.env.LOG_DIR, name)).find(matches), `a line in ${name}`);
    await inLog('service', (line) => line.msg === 'request' && line.trace_id === traceId && line.path === '/api/jobs');
    await inLog('worker', (line) => line.job_id === id && line.trace_id === traceId);
    const { rows: [mark] } = await place.client.query('SELECT trace_id FROM job_marks WHERE job_id = $1', [id]);
    assert.equal(mark.trace_id, traceId);
    const spanNames = async (name) => (await readLog(place.env.LOG_DIR, name)).flatMap((line) => line.resourceSpans)
      .flatMap((resource) => resource.scopeSpans).flatMap((one) => one.spans).filter((span) => span.traceId === traceId).map((span) => span.name);
    await until(async () => (await spanNames('service-traces')).includes('POST /api/jobs'), 'the server span');
    const names = await until(async () => {
      const found = await spanNames('worker-traces');
      return found.includes('UPDATE postgresql') && found;
    }, 'the worker\'s spans');
    assert.ok(names.some((name) => /jobs/.test(name)), String(names));
    assert.ok((await spanNames('service-traces')).includes('INSERT postgresql'));
    assert.ok((await spanNames('service-traces')).some((name) => name.endsWith(' redis')));
  });

  test('whose worker is killed between effect and commit happen exactly once', async () => {
    const item = await createItem(service.url);
    const id = await queueJob({ item_id: item.id, amount: 5, control: { hold_ms: 3000 } });
    await until(async () => (await read(id)).state === 'active', 'the job to start');
    const held = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'worker' AND state = 'idle in transaction' AND query LIKE 'UPDATE items%'";
    await until(async () => (await place.client.query(held)).rowCount > 0, 'the effect before its commit');
    await worker.stop('SIGKILL');
    assert.equal(await quantity(item.id), 0);
    worker = await start(own, 'worker.js', place.env);
    const job = await finished(id);
    assert.equal(job.state, 'completed');
    assert.equal(await quantity(item.id), 5);
    await finished(await queueJob({ item_id: item.id, amount: 1 }));
    assert.equal(await quantity(item.id), 6);
  });

  test('in hand are finished by a worker that is told to stop', async () => {
    const item = await createItem(service.url);
    const id = await queueJob({ item_id: item.id, amount: 7, control: { hold_ms: 1000 } });
    await until(async () => (await read(id)).state === 'active', 'the job to start');
    assert.equal(await worker.stop(), 0);
    assert.equal((await read(id)).state, 'completed');
    assert.equal(await quantity(item.id), 7);
  });
});

test('control of a job is refused where controls are off', async (t) => {
  const own = scopeOf(t);
  const service = await start(own, 'index.js', { ...(await isolate(own, 12)).env, TRUEGATE_CONTROLS: '0' });
  const body = { type: 'restock', item_id: 1, amount: 1, control: { fail_times: 1 } };
  assert.equal((await fetch(`${service.url}/api/jobs`, json('POST', body, newKey()))).status, 400);
  assert.equal((await fetch(`${service.url}/control/fail`)).status, 404);
});
