// OpenTelemetry traces without a loader hook: spans for HTTP, pg and ioredis; BullMQ carries them on through bullmq-otel.
// An unsampled request costs a few microseconds: nothing below its server span is made. A caller that sends a sampled
// `traceparent` is always recorded.

import { tracingChannel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { JsonTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider, ParentBasedSampler, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node';

const tracer = trace.getTracer('service');

/** Start tracing, to `endpoint` (OTLP over HTTP) or, without one, as OTLP JSON lines into the stream `file`; gives a closer. */
export function startTracing({ service, version, ratio, endpoint, file }) {
  const exporter = endpoint ? new OTLPTraceExporter({ url: `${endpoint.replace(/\/$/, '')}/v1/traces` }) : fileExporter(file);
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': service, 'service.version': version }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 1000, maxQueueSize: 4096 })],
  });
  provider.register();
  traceIoredis();
  return () => provider.shutdown();
}

function fileExporter(stream) {
  return {
    export(spans, done) {
      stream.write(`${Buffer.from(JsonTraceSerializer.serializeRequest(spans)).toString()}\n`);
      done({ code: 0 });
    },
    async shutdown() {
      stream.end();
      await once(stream, 'close');
    },
  };
}

/** Give the ids of the span that runs now, for log lines. */
export function traceIds() {
  const span = trace.getActiveSpan()?.spanContext();
  return span && { trace_id: span.traceId, span_id: span.spanId };
}

/** Express middleware: one server span a request, named by its route template, a child of the caller's `traceparent`. */
export function httpSpans() {
  return (req, res, next) => {
    const parent = propagation.extract(context.active(), req.headers);
    const span = tracer.startSpan(req.method, { kind: SpanKind.SERVER }, parent);
    if (span.isRecording()) {
      res.once('close', () => {
        const route = req.route && `${req.baseUrl}${req.route.path}`;
        if (route) span.updateName(`${req.method} ${route}`);
        span.setAttributes({
          'http.request.method': req.method,
          'url.scheme': req.protocol,
          'url.path': req.originalUrl.split('?', 1)[0],
          'http.route': route,
          'http.response.status_code': res.statusCode,
        });
        if (res.statusCode >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      });
    }
    context.with(trace.setSpan(parent, span), next);
  };
}

function startClientSpan(name, attributes) {
  return trace.getActiveSpan()?.isRecording() ? tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }) : undefined;
}

function endWith(span, error) {
  if (error) {
    span.recordException(error);
    span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
  }
  span.end();
}

/** Make each query of a `pg` pool, and of the clients that it lends, a span; the text is kept, the values are not. */
export function tracePool(pool) {
  traceQueries(pool);
  pool.on('connect', traceQueries);
  return pool;
}

function traceQueries(target) {
  const query = target.query.bind(target);
  target.query = (text, ...rest) => {
    const inner = typeof rest.at(-1) === 'function'; // the pool's own call of its client: the pool's span covers it
    const statement = typeof text === 'string' ? text : text.text;
    const span = inner ? undefined : startClientSpan(`${statement.trim().split(/\s/, 1)[0].toUpperCase()} postgresql`, {
      'db.system.name': 'postgresql',
      'db.query.text': statement,
    });
    const answer = query(text, ...rest);
    if (span) answer.then(() => span.end(), (error) => endWith(span, error));
    return answer;
  };
}

/** ioredis tells of each command on a diagnostics channel. */
function traceIoredis() {
  const spans = new WeakMap();
  tracingChannel('ioredis:command').subscribe({
    start(message) {
      const span = startClientSpan(`${message.command} redis`, { 'db.system.name': 'redis', 'db.operation.name': message.command });
      if (span) spans.set(message, span);
    },
    asyncEnd: (message) => spans.get(message)?.end(),
    error(message) {
      const span = spans.get(message);
      spans.delete(message);
      if (span) endWith(span, message.error);
    },
  });
}
