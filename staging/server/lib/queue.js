// The queue as service and worker both see it. A job's effect happens once: its id comes from the Idempotency-Key, and
// the worker writes the effect and a mark with that id in one transaction (see worker.js).

import { createHash } from 'node:crypto';
import { Queue } from 'bullmq';
import { BullMQOtel } from 'bullmq-otel';
import { sampled } from './metrics.js';

export const QUEUE = 'jobs';
const STATES = ['waiting', 'active', 'delayed', 'completed', 'failed'];
const TOO_OLD_SECONDS = 30; // a job that waits this long: no worker, or one that sits idle after an outage

export const telemetry = () => new BullMQOtel({ tracerName: 'bullmq' });
export const jobId = (key) => `job-${createHash('sha256').update(key).digest('hex').slice(0, 32)}`;

export function createQueue({ redis, log }) {
  const queue = new Queue(QUEUE, {
    connection: redis,
    telemetry: telemetry(),
    defaultJobOptions: {
      attempts: 5,
      backoff: { type: 'exponential', delay: 200, jitter: 0.5 },
      removeOnComplete: { age: 3600, count: 1000 }, // later, the mark in the database still tells
      removeOnFail: { count: 1000 }, // BullMQ moves a dead job to this list in one step with its last failure
    },
  });
  queue.on('error', (error) => log.debug({ error: error.message }, 'queue'));
  return queue;
}

/** Give the seconds that the oldest waiting job has waited; 0 when none waits. */
export async function oldestWaitingSeconds(queue) {
  const [oldest] = await queue.getJobs(['waiting'], 0, 0, true);
  return oldest ? Math.max(0, (Date.now() - oldest.timestamp) / 1000) : 0;
}

export function queueMetrics(metrics, queue) {
  const age = metrics.gauge('bullmq_oldest_waiting_age_seconds', 'How long the oldest waiting job has waited', { labelNames: ['queue'] });
  age.set({ queue: QUEUE }, 0);
  const count = metrics.gauge('bullmq_job_count', 'Jobs by state; failed ones are the dead letters', {
    labelNames: ['queue', 'state'],
    collect: sampled(1000, async (gauge) => {
      const [counts, seconds] = await Promise.all([queue.getJobCounts(...STATES), oldestWaitingSeconds(queue)]);
      for (const state of STATES) gauge.set({ queue: QUEUE, state }, counts[state]);
      age.set({ queue: QUEUE }, seconds);
    }),
  });
  for (const state of STATES) count.set({ queue: QUEUE, state }, 0);
}

/** A health check: how long jobs wait, which also tells of a worker that does not work. */
export function queueCheck(queue) {
  return {
    name: 'queue:oldestWaiting',
    componentType: 'component',
    async run() {
      const seconds = await oldestWaitingSeconds(queue);
      return { observedValue: Math.round(seconds), observedUnit: 's', status: seconds > TOO_OLD_SECONDS ? 'warn' : 'pass' };
    },
  };
}
