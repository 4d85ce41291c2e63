"""The supervisor: its configuration, and questions and orders over its socket."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Mapping
from typing import Any

from truegate import runner
from truegate.errors import InconclusiveError
from truegate.masking import Masker
from truegate.progress import Progress
from truegate_staging.parts import Part
from truegate_staging.ports import belongs_to, holders
from truegate_staging.site import OFFSETS, Site

READY_SECONDS = 60.0
STOP_SECONDS = 30.0
EVERY_SECONDS = 0.05  # between two questions about the same condition

HEAD = """\
[unix_http_server]
file={socket}
chmod=0700
[supervisord]
logfile={folder}/log/supervisor.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile={folder}/supervisor.pid
directory={folder}
minfds=4096
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """\
[program:{name}]
command={command}
autostart=false
autorestart=true
stopsignal={stop}
stopwaitsecs=15
killasgroup=true
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def write_configuration(site: Site, parts: Collection[Part]) -> None:
    """Write supervisord.conf for `parts`."""
    text = HEAD.format(socket=site.socket, folder=site.folder)
    for part in parts:
        command = runner.shown(part.command(site)).replace("%", "%%")
        text += PROGRAM.format(name=part.name, command=command, stop=part.stop, log=site.log(part.name))
        text += f"user={site.user}\n" if site.user else ""
    (site.folder / "conf" / "supervisord.conf").write_text(text, encoding="utf-8")


def start(site: Site, variables: Mapping[str, str]) -> None:
    """Start the supervisor as a daemon with `variables`; its parts inherit them."""
    env = runner.clean_environment(site.folder / "home") | dict(variables)
    env |= {"ROOT_ACCESS_KEY": variables["S3_ACCESS_KEY_ID"], "ROOT_SECRET_KEY": variables["S3_SECRET_ACCESS_KEY"]}
    pid_file = site.folder / "supervisor.pid"
    for left in (site.socket, pid_file):  # of one that was killed
        left.unlink(missing_ok=True)
    # Whatever is left in the group of a process of the runner is killed; the daemon writes this when it has left it.
    argv = ["sh", "-c", '"$@" && until [ -s "$0" ]; do sleep 0.05; done', str(pid_file), sys.executable, "-m"]
    argv += ["supervisor.supervisord", "-c", str(site.folder / "conf" / "supervisord.conf")]
    done = runner.run(
        argv,
        cwd=site.folder,
        env=env | {"TRUEGATE_STAGING": str(site.folder)},
        timeout_seconds=READY_SECONDS,
        logs=site.folder / "log" / "supervisor-start",
        masker=Masker(variables),
    )
    if done.exit_code != 0:
        raise InconclusiveError(f"the supervisor did not start:\n{runner.tail(done.stderr)}", "mend what it says")
    until(lambda: None if states(site) is not None else "the supervisor does not answer", "the supervisor")


def _server(site: Site) -> Any:
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{site.socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def states(site: Site) -> dict[str, dict[str, Any]] | None:
    """Give what the supervisor says of each part: nothing while it ends, None when there is no supervisor."""
    try:
        return {row["name"]: row for row in _server(site).getAllProcessInfo()}
    except xmlrpc.client.Fault:
        return {}
    except (OSError, http.client.HTTPException):  # no socket, or nobody behind it
        return None


def start_part(site: Site, part: Part) -> None:
    """Start one part and wait until it can be used; raises InconclusiveError with the end of its log."""
    server = _server(site)

    def ask() -> str | None:
        state = server.getProcessInfo(part.name)["statename"]
        if state in {"STOPPED", "EXITED"}:
            server.startProcess(part.name, False)  # noqa: FBT003  the protocol has no names
        if state == "FATAL":
            raise InconclusiveError(f"{part.name} ended as soon as it was started", "")
        return part.ready(site)

    if server.getProcessInfo(part.name)["statename"] == "FATAL":
        server.startProcess(part.name, False)  # noqa: FBT003  the protocol has no names
    try:
        until(ask, part.name)
    except InconclusiveError as error:
        log = site.log(part.name)
        last = runner.tail(log) if log.exists() else "(it wrote nothing)"
        message = f"{part.name} did not come up: {error.message}\nthe end of {log}:\n{last}"
        raise InconclusiveError(message, "mend what it says, then run inv staging.up again") from error


def stop(site: Site) -> None:
    """End all parts and the supervisor, orphans of a supervisor that was killed too."""
    if states(site):
        _server(site).shutdown()
    until(lambda: "it still runs" if states(site) is not None else None, "the supervisor", STOP_SECONDS)
    end_orphans(site)
    site.socket.unlink(missing_ok=True)


def end_orphans(site: Site) -> list[str]:
    """End what a killed supervisor left running; gives their command lines."""
    ended = []
    for number in (signal.SIGTERM, signal.SIGKILL):
        for holder in own_holders(site):
            ended.append(holder.command)
            os.kill(holder.pid, number)
        try:
            until(lambda: f"{len(own_holders(site))} still run" if own_holders(site) else None, "orphans", 10)
        except InconclusiveError:
            continue
        break
    return list(dict.fromkeys(ended))


def own_holders(site: Site) -> list[Any]:
    """Give the processes on this environment's ports that were started for it."""
    ports = {site.port(name) for name in OFFSETS}
    return [holder for holder in holders(ports) if holder.pid and belongs_to(holder.pid, site.folder)]


def until(ask: Callable[[], str | None], what: str, seconds: float = READY_SECONDS) -> None:
    """Ask until the answer is None; raises InconclusiveError with the last answer when the time is over."""
    deadline = time.monotonic() + seconds
    with Progress(f"waiting for {what}", quiet=not sys.stderr.isatty()) as progress:
        while (answer := ask()) is not None:
            if time.monotonic() > deadline:
                raise InconclusiveError(f"not ready after {seconds:.0f} s: {answer}", "")
            progress.tick()
            time.sleep(EVERY_SECONDS)
