// Prometheus metrics under OpenTelemetry's names, with route templates only: a raw path as a label would grow for ever.

import client from 'prom-client';

// OpenTelemetry's advice for http.server.request.duration; prom-client's own list differs.
const DURATION_BUCKETS_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']);
const UNMATCHED = 'unmatched';

/** Make a registry with the process's own figures (`process_*`, `nodejs_*`), and helpers that register in it. */
export function createMetrics({ service, version }) {
  const registry = new client.Registry();
  client.collectDefaultMetrics({ register: registry });
  const make = (Type) => (name, help, options = {}) => new Type({ name, help, registers: [registry], ...options });
  const metrics = {
    registry,
    counter: make(client.Counter),
    gauge: make(client.Gauge),
    histogram: (name, help, options) => make(client.Histogram)(name, help, { buckets: DURATION_BUCKETS_SECONDS, ...options }),
  };
  metrics.gauge('build_info', 'The version that runs', { labelNames: ['service', 'version'] }).set({ service, version }, 1);
  return metrics;
}

/** Express middleware: duration by method, route template and status, and requests in flight. */
export function httpMetrics(metrics) {
  const duration = metrics.histogram('http_server_request_duration_seconds', 'Duration of HTTP server requests', {
    labelNames: ['http_request_method', 'http_route', 'http_response_status_code'],
  });
  const active = metrics.gauge('http_server_active_requests', 'HTTP requests in flight');
  const middleware = (req, res, next) => {
    const started = performance.now();
    active.inc();
    res.once('close', () => {
      active.dec();
      duration.observe({
        http_request_method: METHODS.has(req.method) ? req.method : '_OTHER',
        http_route: req.route ? `${req.baseUrl}${req.route.path}` : UNMATCHED,
        http_response_status_code: res.statusCode,
      }, (performance.now() - started) / 1000);
    });
    next();
  };
  return { middleware, duration };
}

/** Set each series that an OpenAPI document promises to zero: a first error after a start is then visible to `rate()`. */
export function zeroFromOpenApi(duration, document) {
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      for (const status of Object.keys(operation.responses ?? {})) {
        duration.zero({
          http_request_method: method.toUpperCase(),
          http_route: path.replaceAll(/\{(\w+)\}/g, ':$1'),
          http_response_status_code: status,
        });
      }
    }
  }
}

/** Express handler of `/metrics`. */
export function metricsPage(metrics) {
  return async (req, res) => {
    res.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  };
}

/** Wrap what fills a gauge at each scrape: asked at most every `everyMs`, and a failure keeps the page alive. */
export function sampled(everyMs, sample) {
  let next = 0;
  let running;
  return async function collect() {
    if (Date.now() < next) return;
    running ??= Promise.resolve(sample(this)).catch(() => {}).finally(() => {
      next = Date.now() + everyMs;
      running = undefined;
    });
    await running;
  };
}

/** Give the `onResult` of a health module: 1 for pass, 0.5 for warn, 0 for fail, by check. */
export function healthGauge(metrics) {
  const status = metrics.gauge('health_check_status', 'State of each health check: 1 pass, 0.5 warn, 0 fail', { labelNames: ['check'] });
  return (check, result) => status.set({ check }, { pass: 1, warn: 0.5, fail: 0 }[result]);
}

/** Gauges of the disk that holds the data folder; `diskSpace` gives its `{ size, free }` in bytes. */
export function diskMetrics(metrics, diskSpace) {
  const free = metrics.gauge('data_disk_free_bytes', 'Free bytes of the disk with the data folder');
  metrics.gauge('data_disk_size_bytes', 'Size of the disk with the data folder', {
    collect: sampled(5000, async (gauge) => {
      const space = await diskSpace();
      gauge.set(space.size);
      free.set(space.free);
    }),
  });
}
