// Every error answer is application/problem+json (RFC 9457).

import { STATUS_CODES } from 'node:http';
import { isUnavailable } from './db.js';

const RETRY_AFTER_SECONDS = 2;

export class Problem extends Error {
  /** `extra` becomes members of the document; `headers` of the answer. */
  constructor(status, detail, extra = {}, headers = {}) {
    super(detail);
    Object.assign(this, { status, extra, headers });
  }
}

export const unavailable = (detail) => new Problem(503, detail, {}, { 'Retry-After': String(RETRY_AFTER_SECONDS) });

/** What Express, its body parsers and the drivers throw, as a Problem. */
function asProblem(error) {
  if (error instanceof Problem) return error;
  if (error.code === 'ENOSPC' || error.code === 'EDQUOT') return new Problem(507, 'The disk is full');
  if (isUnavailable(error)) return unavailable('The database can not be reached');
  if (error.type === 'entity.parse.failed') return new Problem(400, 'The body is not valid JSON');
  if (error.type === 'entity.too.large') return new Problem(413, `The body is larger than ${error.limit} bytes`);
  if (error.status >= 400 && error.status < 500) return new Problem(error.status, STATUS_CODES[error.status]);
  return new Problem(500, 'An unexpected error happened; the log has it under this request id');
}

/** Express handler for what nothing else took: 405 with Allow where the contract has the path, else 404. */
export function notFound(contract) {
  const known = Object.entries(contract.paths).map(([path, operations]) => {
    const methods = Object.keys(operations).map((method) => method.toUpperCase());
    return { pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`), allow: methods.join(', ') };
  });
  return (req) => {
    const path = known.find(({ pattern }) => pattern.test(req.path));
    if (path) throw new Problem(405, `Allowed here: ${path.allow}`, {}, { Allow: path.allow });
    throw new Problem(404, 'There is nothing at this address');
  };
}

/** Express error handler. */
export function problemAnswer(log, traceIds) {
  // Express tells an error handler by its four parameters.
  return (error, req, res, _next) => { // eslint-disable-line no-unused-vars
    const problem = asProblem(error);
    if (problem.status >= 500) log.error({ err: error, status: problem.status }, problem.message);
    if (res.headersSent) {
      res.destroy(); // half an answer must not look whole
      return;
    }
    res.status(problem.status).set({ 'Cache-Control': 'no-store', ...problem.headers }).type('application/problem+json');
    res.send(JSON.stringify({
      type: 'about:blank',
      title: STATUS_CODES[problem.status],
      status: problem.status,
      detail: problem.message,
      ...problem.extra,
      request_id: res.getHeader('X-Request-Id'),
      trace_id: traceIds()?.trace_id,
    }));
  };
}
