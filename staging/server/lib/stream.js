// Server-sent events that can be resumed, and that say when they end: a stream without its `end` was cut off.

import { Router } from 'express';
import { Problem, unavailable } from './problems.js';

const MAX_STREAMS = 5000; // each holds a socket and a timer
const RETRY_MS = 1000;

export function createStreams({ metrics, validator }) {
  const open = new Set();
  metrics.gauge('sse_streams_active', 'Streams that are open', { collect() { this.set(open.size); } });
  const ended = metrics.counter('sse_streams_total', 'Streams that have ended, by how', { labelNames: ['outcome'] });
  const sent = metrics.counter('sse_events_total', 'Events sent on streams');
  for (const outcome of ['complete', 'client_gone', 'shutdown']) ended.inc({ outcome }, 0);

  const router = Router();
  router.get('/api/stream', validator.query('stream'), (req, res) => {
    if (open.size >= MAX_STREAMS) throw unavailable('Too many streams are open');
    const resumeAfter = req.get('Last-Event-ID') ?? '0';
    if (!/^\d{1,9}$/.test(resumeAfter)) throw new Problem(400, 'Last-Event-ID must be the id of an event of this stream');
    start(res, Number(resumeAfter), res.locals.query);
  });

  function start(res, after, { events, interval_ms: intervalMs, heartbeat_ms: heartbeatMs }) {
    let id = after;
    let timer;
    const heartbeat = setInterval(() => res.write(': heartbeat\n\n'), heartbeatMs);
    const stream = { finish };
    open.add(stream);

    function finish(outcome) {
      if (!open.delete(stream)) return;
      clearTimeout(timer);
      clearImmediate(timer);
      clearInterval(heartbeat);
      ended.inc({ outcome });
      if (outcome === 'client_gone') return;
      const complete = outcome === 'complete';
      res.end(`event: end\nid: ${id}\ndata: ${JSON.stringify({ events: id, of: events, complete })}\n\n`);
    }

    function tick() {
      if (id >= events) return finish('complete');
      id += 1;
      sent.inc();
      const roomLeft = res.write(`event: tick\nid: ${id}\ndata: ${JSON.stringify({ id, of: events, at: new Date().toISOString() })}\n\n`);
      // A client that reads slowly slows its stream down, instead of filling our memory.
      if (roomLeft) schedule();
      else res.once('drain', schedule);
    }

    function schedule() {
      if (!open.has(stream)) return;
      timer = id >= events || intervalMs === 0 ? setImmediate(tick) : setTimeout(tick, intervalMs);
    }

    res.once('close', () => finish('client_gone'));
    res.writeHead(200, {
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'no-store',
      'X-Accel-Buffering': 'no',
    });
    res.write(`retry: ${RETRY_MS}\n\n`);
    schedule();
  }

  return { router, size: () => open.size, endAll: () => open.forEach((stream) => stream.finish('shutdown')) };
}
