"""The parts of the staging environment: what starts each, and how it is told that it can be used."""

from __future__ import annotations

import os
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from truegate import runner
from truegate_staging.site import STAGING, Site, publish

OPTIONAL = ("LOG_LEVEL", "LOG_FILE_KIB", "LOG_FILE_COUNT", "OTEL_TRACES_SAMPLER_ARG", "DB_POOL_MAX", "DRAIN_SECONDS",
            "RATE_LIMIT_PER_MINUTE")  # fmt: skip
TIMEOUT_SECONDS = 2.0  # of one question; who starts a part asks again until its own time is over
Ask = Callable[[Site], str | None]


@dataclass(frozen=True)
class Part:
    """One process under the supervisor.

    `command` gives its argv, `ready` a sentence on why it can't be used yet, or None; `stop` is the signal that ends
    it in good order. A part with an `optional` tool that is not there is left out.
    """

    name: str
    tool: str
    port: str
    command: Callable[[Site], list[str]]
    ready: Ask
    stop: str = "TERM"
    optional: bool = False


def program(site: Site, tool: str, name: str | None = None) -> str:
    """Give the path of a tool's program, or of another that lies beside it, where the site's user can run it."""
    found = site.tools[tool].path.resolve()
    home = next((folder for folder in found.parents if (folder / "installed").exists()), None)
    inside = (publish(site, home) / found.relative_to(home)) if home else found
    return str(inside.with_name(name or found.name))


def answers(port: str, path: str, status: int = 200) -> Ask:
    """Ask over HTTP."""

    def ask(site: Site) -> str | None:
        url = f"http://127.0.0.1:{site.port(port)}{path}"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
                got = answer.status
        except urllib.error.HTTPError as error:
            got = error.code
        except OSError as error:
            return f"{url}: {getattr(error, 'reason', error)}"
        return None if got == status else f"{url} answers {got}"

    return ask


def redis_answers(site: Site) -> str | None:
    """Ask Redis with its password; while it loads its data it says so."""
    return redis_says(site, "PING")


def redis_says(site: Site, command: str) -> str | None:
    """Give None when Redis answers a command with PONG, else what it said."""
    question = f"AUTH {site.password('REDIS_URL')}\r\n{command}\r\nQUIT\r\n"
    try:
        with socket.create_connection(("127.0.0.1", site.port("redis")), TIMEOUT_SECONDS) as connection:
            connection.sendall(question.encode())
            with connection.makefile("rb") as stream:
                answer = stream.read()
    except OSError as error:
        return f"redis: {error}"
    return None if b"PONG\r\n" in answer else f"redis: {answer.decode('utf-8', 'replace').strip()}"


def postgres_answers(site: Site) -> str | None:
    """Ask for one row, with a password; the service's own role comes once the server answers."""
    code, out, errors = psql(site, "select 1", role="postgres", database="postgres")
    return None if code == 0 and out.strip() == "1" else f"postgres: {errors.strip() or out.strip()}"


def psql(site: Site, *statements: str, role: str = "app", database: str = "app") -> tuple[int, str, str]:
    """Run SQL and psql's own commands as `role`; gives exit code, rows (unaligned, without header) and errors."""
    password = site.password("DATABASE_URL") if role == "app" else site.variables["POSTGRES_PASSWORD"]
    env = runner.clean_environment(site.folder / "home") | {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "2"}
    argv = [program(site, "postgres", "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    argv += ["--set", "ON_ERROR_STOP=1", "--host", "127.0.0.1", "--port", str(site.port("postgres"))]
    argv += ["--username", role, "--dbname", database]
    argv += [part for statement in statements for part in ("--command", statement)]
    return runner.output(argv, cwd=site.folder, env=env, timeout_seconds=300)


def _postgres(site: Site) -> list[str]:
    options = {"listen_addresses": "127.0.0.1", "port": str(site.port("postgres")), "unix_socket_directories": ""}
    settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    return [program(site, "postgres"), "-D", str(site.data("postgres")), *settings]


def _redis(site: Site) -> list[str]:
    return [program(site, "redis-server"), str(site.folder / "conf" / "redis.conf")]


def _storage(site: Site) -> list[str]:
    return [program(site, "versitygw"), "--port", f"127.0.0.1:{site.port('storage')}", "--quiet", "posix",
            str(site.data("storage"))]  # fmt: skip


def _toxiproxy(site: Site) -> list[str]:
    argv = [
        "env",
        "LOG_LEVEL=info",
        program(site, "toxiproxy-server"),
        "-host",
        "127.0.0.1",
        "-port",
        str(site.port("toxiproxy")),
    ]
    return [*argv, "-config", str(site.folder / "conf" / "toxiproxy.json")]


def _collector(site: Site) -> list[str]:
    return [program(site, "otelcol"), "--config", str(site.folder / "conf" / "collector.yaml")]


def _node(script: str) -> Callable[[Site], list[str]]:
    return lambda site: [program(site, "node"), str(publish(site, STAGING / "server") / script)]


def _nginx(site: Site) -> list[str]:
    return [program(site, "nginx"), "-p", str(site.data("edge")), "-c", str(site.folder / "conf" / "nginx.conf")]


PARTS = (
    Part("collector", "otelcol", "collector", _collector, answers("collector", "/", 404), optional=True),
    Part("postgres", "postgres", "postgres", _postgres, postgres_answers, stop="INT"),
    Part("redis", "redis-server", "redis", _redis, redis_answers),
    Part("storage", "versitygw", "storage", _storage, answers("storage", "/", 403)),
    Part("toxiproxy", "toxiproxy-server", "toxiproxy", _toxiproxy, answers("toxiproxy", "/version"), optional=True),
    Part("service", "node", "service", _node("index.js"), answers("service", "/readyz")),
    Part("worker", "node", "worker-metrics", _node("worker.js"), answers("worker-metrics", "/readyz")),
    Part("edge", "nginx", "edge", _nginx, answers("edge", "/livez"), stop="QUIT", optional=True),
)  # fmt: skip


def service_variables(site: Site, parts: set[str]) -> dict[str, str]:
    """Give the environment of service and worker; without the fault proxy they reach what they need directly."""
    variables = dict(site.variables)
    if "toxiproxy" not in parts:
        for name, part in (("DATABASE_URL", "postgres"), ("REDIS_URL", "redis"), ("S3_ENDPOINT", "storage")):
            variables[name] = variables[name].replace(f":{site.port(f'{part}-proxied')}", f":{site.port(part)}")
    collector = f"http://127.0.0.1:{site.port('collector')}" if "collector" in parts else ""
    log = site.folder / "log" / "service"
    variables |= {name: os.environ[name] for name in OPTIONAL if name in os.environ}
    return variables | {
        "TRUEGATE_PROFILE": "staging",
        "TRUEGATE_CONTROLS": os.environ.get("TRUEGATE_CONTROLS", ""),
        "OTEL_EXPORTER_OTLP_ENDPOINT": os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or collector,
        "PORT": str(site.port("service")),
        "METRICS_PORT": str(site.port("service-metrics")),
        "WORKER_METRICS_PORT": str(site.port("worker-metrics")),
        "EDGE_CACHE_DIR": str(site.data("edge") / "cache") if "edge" in parts else "",
        "DATA_DIR": str(site.data("service")),
        "LOG_DIR": str(log),
        "STAGING_LOG_DIR": str(log.parent),
        "COLLECTOR_PORT": str(site.port("collector")),
        "FLAGS_FILE": str(site.folder / "conf" / "flags.json"),
    }
