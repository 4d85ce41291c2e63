// Health as three questions: /livez (is the process alive; touches nothing else), /readyz (may it get requests) and
// /health (how is everything), the last two in the health+json format. Bounded in time, and asked at most once a second.

import { statfs } from 'node:fs/promises';
import { Router } from 'express';

const WORSE = { pass: 0, warn: 1, fail: 2 };

/**
 * `checks`: a list of `{ name, componentType, critical, run }`; `run` gives `{ observedValue, observedUnit, status, output }`
 * or throws. A failing critical check fails the whole, another one only warns. `onResult(name, status)` is told of each.
 */
export function createHealth({ checks, version, timeoutMs = 1000, freshMs = 1000, onResult = () => {} }) {
  let draining = false;
  let last;
  let running;

  async function runCheck(check) {
    const entry = { componentType: check.componentType, time: new Date().toISOString() };
    try {
      Object.assign(entry, { status: 'pass' }, await within(timeoutMs, check.run()));
    } catch (error) {
      // The class of the fault, not its text: that may hold an address or a name that is nobody's business.
      Object.assign(entry, { status: 'fail', output: error.code ?? error.name });
    }
    onResult(check.name, entry.status);
    return entry;
  }

  async function ask() {
    const entries = await Promise.all(checks.map(runCheck));
    const result = { status: 'pass', version, checks: {} };
    entries.forEach((entry, index) => {
      const { name, critical } = checks[index];
      const counts = entry.status === 'fail' && !critical ? 'warn' : entry.status;
      if (WORSE[counts] > WORSE[result.status]) result.status = counts;
      result.checks[name] = [entry];
    });
    last = { result, until: Date.now() + freshMs };
    return result;
  }

  async function state() {
    if (last && Date.now() < last.until) return last.result;
    running ??= ask().finally(() => { running = undefined; });
    return running;
  }

  async function answer(req, res) {
    const known = await state();
    const result = draining ? { ...known, status: 'fail', output: 'draining' } : known;
    res.status(result.status === 'fail' ? 503 : 200);
    res.set({ 'Content-Type': 'application/health+json', 'Cache-Control': 'no-store' });
    res.end(JSON.stringify(result));
  }

  const router = Router();
  router.get('/livez', (req, res) => {
    res.set({ 'Content-Type': 'application/health+json', 'Cache-Control': 'no-store' }).end('{"status":"pass"}');
  });
  router.get('/readyz', answer);
  router.get('/health', answer);
  return { router, drain: () => { draining = true; }, isDraining: () => draining };
}

function within(milliseconds, promise) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('too slow'), { code: 'ETIMEDOUT' })), milliseconds);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A check that shows how long `work()` took. */
export function timed(name, work, { componentType = 'datastore', critical = false } = {}) {
  return {
    name,
    componentType,
    critical,
    async run() {
      const started = performance.now();
      await work();
      return { observedValue: Math.round(performance.now() - started), observedUnit: 'ms' };
    },
  };
}

/** Give the size and the free bytes of the disk that holds `folder`. */
export async function diskSpace(folder) {
  const { bsize, blocks, bavail } = await statfs(folder);
  return { size: blocks * bsize, free: bavail * bsize };
}

/** A check of the free part of a disk. */
export function diskCheck(folder, { warnBelow = 10, failBelow = 2 } = {}) {
  return {
    name: 'disk:free',
    componentType: 'system',
    async run() {
      const { size, free } = await diskSpace(folder);
      const percent = Math.round((1000 * free) / size) / 10;
      return { observedValue: percent, observedUnit: 'percent', status: percent < failBelow ? 'fail' : percent < warnBelow ? 'warn' : 'pass' };
    },
  };
}
