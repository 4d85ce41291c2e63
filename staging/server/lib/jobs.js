// Jobs over HTTP: queue one, look at it, and list those that failed for good.

import { Router } from 'express';
import { idempotent } from './idempotency.js';
import { Problem, unavailable } from './problems.js';
import { jobId } from './queue.js';

const NO_SUCH_JOB = 'There is no such job';

const describe = (job, state) => ({
  id: job.id, state, attempts: job.attemptsMade, result: job.returnvalue ?? null, failed_reason: job.failedReason ?? null,
});

function readJobId(req) {
  if (!/^job-[0-9a-f]{32}$/.test(req.params.id)) throw new Problem(400, 'The id is not one of a job');
  return req.params.id;
}

export function jobRoutes({ db, redis, queue, validator, controls }) {
  const router = Router();

  /** Run what needs the queue. Without this look a command would wait for a connection that may never come. */
  async function withQueue(work) {
    if (redis.status !== 'ready') throw unavailable('The queue can not be reached');
    try {
      return await work();
    } catch (error) {
      if (error instanceof Problem) throw error;
      throw Object.assign(unavailable('The queue can not be reached'), { cause: error });
    }
  }

  router.post('/api/jobs', validator.body('JobInput'), (req, res, next) => {
    if (req.body.control && !controls) throw new Problem(400, 'control is for the gates, and TRUEGATE_CONTROLS is not 1');
    next();
  }, idempotent(db, 'jobs', (req, tx, key) => withQueue(async () => {
    // An id that the queue knows is not added again: if our commit fails after this, the retry finds the same job.
    const { id } = await queue.add(req.body.type, req.body, { jobId: jobId(key) });
    return { status: 202, headers: { Location: `/api/jobs/${id}` }, body: JSON.stringify({ id, state: 'waiting' }) };
  })));

  router.get('/api/jobs/:id', async (req, res) => {
    const id = readJobId(req);
    const { rows: [mark] } = await db.query('SELECT result FROM job_marks WHERE job_id = $1', [id]);
    const job = mark && redis.status !== 'ready' ? undefined : await withQueue(async () => {
      const state = await queue.getJobState(id); // before the job: what is told of a finished one is then whole
      const found = await queue.getJob(id);
      return found && describe(found, state);
    });
    if (!job && !mark) throw new Problem(404, NO_SUCH_JOB);
    res.set('Cache-Control', 'no-store').json(job ?? { id, state: 'completed', attempts: 1, result: mark.result, failed_reason: null });
  });

  router.get('/api/dead-letters', validator.query('listDeadLetters'), async (req, res) => {
    const jobs = await withQueue(() => queue.getFailed(0, res.locals.query.limit - 1));
    res.set('Cache-Control', 'no-store').json({ jobs: jobs.map((job) => describe(job, 'failed')) });
  });

  router.post('/api/dead-letters/:id/retry', async (req, res) => {
    const id = readJobId(req);
    await withQueue(async () => {
      const job = await queue.getJob(id);
      if (!job) throw new Problem(404, NO_SUCH_JOB);
      if (!await job.isFailed()) throw new Problem(409, 'The job is not a dead letter');
      await job.retry('failed', { resetAttemptsMade: true });
    });
    res.status(202).location(`/api/jobs/${id}`).json({ id, state: 'waiting' });
  });

  return router;
}
