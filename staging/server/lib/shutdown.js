// Starts to listen, and ends so that no request is lost: readiness off, open requests and streams finished, then the pools closed.

const POLITE_MS = 500; // keep-alive clients learn by `Connection: close` on their next answer, before their connection ends

/** Express middleware: while draining, tell each client to come back on another connection. */
export function closeWhileDraining(isDraining) {
  return (req, res, next) => {
    if (isDraining()) res.setHeader('Connection', 'close');
    next();
  };
}

/** Stop a server: requests that are open get `seconds` to end; `hurry()` is called a second before that. */
export async function drain(server, seconds, hurry = () => {}) {
  await new Promise((resolve) => { setTimeout(resolve, POLITE_MS); });
  const timers = [
    setTimeout(hurry, Math.max(0, seconds - 1) * 1000),
    setTimeout(() => server.closeAllConnections(), seconds * 1000),
  ];
  await new Promise((resolve) => { server.close(resolve); });
  timers.forEach(clearTimeout);
}

/** Run `stop()` once, at the first SIGTERM or SIGINT, then end; a second signal ends at once. */
export function onSignal(log, stop) {
  let stopping = false;
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, async () => {
      if (stopping) process.exit(1);
      stopping = true;
      log.info({ signal }, 'stopping');
      try {
        await stop();
        process.exit(0);
      } catch (error) {
        process.stderr.write(`stopping: ${error.stack}\n`);
        process.exit(1);
      }
    });
  }
}

/** Listen, or say which port is taken and end with 1. */
export function listen(app, host, port) {
  return app.listen(port, host, (error) => {
    if (!error) return;
    process.stderr.write(error.code === 'EADDRINUSE' ? `port ${port} is taken; end what holds it or choose another\n` : `port ${port}: ${error.message}\n`);
    process.exit(1);
  });
}
