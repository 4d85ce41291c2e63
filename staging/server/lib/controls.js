// Known-bad behaviour on purpose: the gates must catch it, or their verdict is not to be trusted. Only where
// TRUEGATE_CONTROLS is 1; the configuration refuses that in prod. Nothing else links here.

import { Router } from 'express';
import { Problem } from './problems.js';
import { page } from './pages.js';

const MAX_MS = 60_000;

function readMilliseconds(req) {
  const milliseconds = Number(req.query.ms ?? 1000);
  if (!Number.isInteger(milliseconds) || milliseconds < 0 || milliseconds > MAX_MS) throw new Problem(400, `ms must be a whole number up to ${MAX_MS}`);
  return milliseconds;
}

export function controlRoutes() {
  const router = Router();

  router.get('/control/', (req, res) => {
    const links = ['reflect?q=hello', 'headers', 'slow?ms=500', 'fail'].map((to) => `<li><a href="/control/${to}">${to}</a></li>`);
    res.send(page('Planted flaws', `<ul>${links.join('')}</ul><form action="/control/reflect"><input name="q"><button>Send</button></form>`));
  });

  router.get('/control/slow', (req, res) => {
    const timer = setTimeout(() => res.json({ slow: true }), readMilliseconds(req));
    res.once('close', () => clearTimeout(timer));
  });

  router.get('/control/fail', () => { throw new Problem(500, 'Failed on purpose'); });

  router.get('/control/hang', (req, res) => { res.flushHeaders(); }); // never ends; the client must give up

  router.get('/control/cpu', (req, res) => {
    const end = performance.now() + readMilliseconds(req);
    while (performance.now() < end); // holds the event loop, so that every other request waits
    res.json({ busy: true });
  });

  router.get('/control/reflect', (req, res) => {
    res.set('Content-Security-Policy', "default-src 'self' 'unsafe-inline'");
    res.send(`<!doctype html><title>Reflected</title><p>You said: ${req.query.q ?? ''}</p>`);
  });

  router.get('/control/headers', (req, res) => {
    for (const name of res.getHeaderNames()) res.removeHeader(name);
    res.set('Set-Cookie', 'planted=1').send('<!doctype html><title>Bare</title><p>This page lacks its security headers.</p>');
  });

  return router;
}
