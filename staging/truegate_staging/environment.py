"""Bring the whole environment up, down, and back to nothing; say what it is made of."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping

from truegate import runner, tools
from truegate.config import Config
from truegate.errors import ConfigError, InconclusiveError
from truegate.install import install
from truegate.progress import Progress
from truegate.tools import FoundTool
from truegate_staging import prepare, supervise
from truegate_staging.parts import PARTS, Part, program, service_variables
from truegate_staging.ports import holders
from truegate_staging.site import OFFSETS, STAGING, Site, locate


def find_tools(config: Config, *, fetch: bool) -> dict[str, FoundTool]:
    """Find each part's tool; with `fetch` install what is missing. Optional ones may stay away."""
    found = {}
    for part in PARTS:
        try:
            found[part.tool] = tools.find(part.tool, config["tools"])
        except InconclusiveError:
            if fetch:
                with contextlib.suppress(*([InconclusiveError] if part.optional else [])):
                    found[part.tool] = install(part.tool)
    return found


def present(config: Config) -> Site:
    """Give the site as it is, with the tools that are there."""
    return locate(config, find_tools(config, fetch=False))


def parts_of(site: Site) -> list[Part]:
    """Give the parts that can run here, in the order in which they start."""
    return [part for part in PARTS if part.tool in site.tools]


def up(config: Config) -> tuple[Site, list[str]]:
    """Start what does not run yet and wait until each part can be used; gives notes on what was left out or ended.

    Raises ConfigError for a port that another program holds, InconclusiveError for a part that does not come up.
    """
    site = locate(config, find_tools(config, fetch=True))
    parts = parts_of(site)
    names = {part.name for part in parts}
    notes = [f"{part.name}: {part.tool} is not here; left out" for part in PARTS if part.name not in names]
    with _alone(site):
        install_packages(site)
        ending = "it is ending"
        supervise.until(lambda: ending if supervise.states(site) == {} else None, "the last supervisor")
        if supervise.states(site) is None:
            notes += [f"ended, left by a supervisor that was killed: {line}" for line in supervise.end_orphans(site)]
            _check_ports(site)
            prepare.prepare(site, names)
            supervise.write_configuration(site, parts)
            supervise.start(site, service_variables(site, names))
        for part in parts:
            supervise.start_part(site, part)
            if part.name == "postgres":
                prepare.make_database(site)
    return site, notes


def is_up(config: Config) -> bool:
    """Tell whether a supervisor runs here."""
    return supervise.states(present(config)) is not None


def down(config: Config) -> Site:
    """End every part and the supervisor, and see that no process of theirs is left."""
    site = present(config)
    if site.folder.exists():
        with _alone(site):
            supervise.stop(site)
    return site


def reset(config: Config) -> Site:
    """End everything and remove all that the environment has kept."""
    site = down(config)
    if site.folder.exists():
        shutil.rmtree(site.folder)
    return site


@contextlib.contextmanager
def _alone(site: Site) -> Iterator[None]:
    """Let one command at a time change the environment."""
    site.folder.mkdir(mode=0o711 if site.user else 0o700, parents=True, exist_ok=True)
    with (site.folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with Progress("waiting for another command that changes this environment"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def holders_of(site: Site) -> list[str]:
    """Say who listens on any port of the environment."""
    names = {site.port(name): name for name in OFFSETS}
    return [
        f"port {holder.port} ({names[holder.port]}) is held by "
        + (f"process {holder.pid}: {holder.command[:120]}" if holder.pid else holder.command)
        for holder in holders(names)
    ]


def left_over(site: Site) -> list[str]:
    """Say who listens on the environment's ports while no supervisor runs."""
    return holders_of(site) if supervise.states(site) is None else []


def _check_ports(site: Site) -> None:
    if taken := holders_of(site):
        raise ConfigError("\n".join(taken), "end it, or set [staging] base_port in truegate.toml and in .env.staging")


def install_packages(site: Site) -> None:
    """Install the service's locked npm packages once; raises InconclusiveError with npm's own words."""
    server = STAGING / "server"
    lock = hashlib.sha256((server / "package-lock.json").read_bytes()).hexdigest()
    marker = server / "node_modules" / ".truegate-lock"
    if marker.exists() and marker.read_text(encoding="ascii") == lock:
        return
    argv = [program(site, "node", "npm"), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    with Progress("installing the service's npm packages"):
        code, out, errors = runner.output(argv, cwd=server, env=npm_environment(site), timeout_seconds=600)
    if code != 0:
        raise InconclusiveError(f"npm ci ended with {code}:\n{(errors or out)[-2000:]}", "mend what it says")
    marker.write_text(lock, encoding="ascii")


def npm_environment(site: Site) -> Mapping[str, str]:
    """Give npm the machine's own settings: which registry it asks is not ours to say."""
    node = str(site.tools["node"].path.parent)
    mine = {name: value for name, value in os.environ.items() if name.lower().startswith("npm_config_")}
    home = os.environ.get("HOME") or str(site.folder / "home")
    clean = runner.clean_environment(site.folder / "home", runner.NETWORK_ENV)
    return clean | mine | {"HOME": home, "PATH": f"{node}:{clean['PATH']}"}


def describe(site: Site) -> list[list[str]]:
    """Give a row for each part: name, version, address, state, uptime, where its program came from."""
    known = supervise.states(site) or {}
    rows = []
    for part in PARTS:
        tool = site.tools.get(part.tool)
        state = known.get(part.name)
        word = "absent" if tool is None else "down"
        uptime = ""
        if state and state["statename"] in {"STARTING", "RUNNING"}:  # it counts as starting for its first second
            why = part.ready(site)
            word = f"not ready: {why}" if why else "ready"
            uptime = f"{max(0, int(time.time()) - state['start'])} s"
        elif state:
            word = state["statename"].lower()
        address = f"127.0.0.1:{site.port(part.port)}"
        rows.append([part.name, tool.version if tool else "", address, word, uptime, tool.source if tool else ""])
    return rows
