// Headers that every answer carries, and a limit for each client's address.

import { rateLimit } from 'express-rate-limit';
import { Problem } from './problems.js';

const HEADERS = {
  'Content-Security-Policy': "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), geolocation=(), microphone=()',
};

export function securityHeaders(publicUrl) {
  const entries = Object.entries(HEADERS);
  if (publicUrl.startsWith('https:')) entries.push(['Strict-Transport-Security', 'max-age=31536000; includeSubDomains']);
  return (req, res, next) => {
    for (const [name, value] of entries) res.setHeader(name, value);
    next();
  };
}

/** Counts in memory: the limit protects one process, and needs no Redis to do so. */
export function limitRate({ perMinute, ...options }) {
  return rateLimit({
    windowMs: 60_000,
    limit: perMinute,
    standardHeaders: false,
    legacyHeaders: false,
    ...options,
    handler(req, res, next) {
      const seconds = Math.max(1, Math.ceil((req.rateLimit.resetTime - Date.now()) / 1000));
      next(new Problem(429, 'Too many requests from this address', {}, { 'Retry-After': String(seconds) }));
    },
  });
}
