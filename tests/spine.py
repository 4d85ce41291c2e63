"""What the tests of the spine share: real run folders, small ones without a tool, and `inv` in a process of its own."""

from __future__ import annotations

import atexit
import base64
import functools
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from truegate.advisories.compile import CompiledAdvisories, compile_advisories
from truegate.advisories.stores import SEED, compile_private
from truegate.checks.pipeline import Finished, run_check
from truegate.config import Config, load_config

KIT = Path(__file__).resolve().parents[1]
FLASK_OLD = "flask==2.2.4\n"  # CVE-2023-30861, high
EMPTY_REPORT = {"SchemaVersion": 2, "CreatedAt": "2026-01-01T00:00:00Z", "ArtifactType": "filesystem", "Results": []}
LENIENT = {
    "security.sca.criteria.accept_private_advisories": True,
    "security.sca.criteria.advisory_age_hours_max": 1_000_000,  # the seed is from 2025
}


def compile_into(out: Path, records: Path) -> CompiledAdvisories:
    """Compile `records` and write the files that the engines read."""
    made = compile_advisories(records)
    for path, data in made.files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(data)
    return made


def temporary_folder() -> Path:
    """Give a folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="truegate-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@functools.cache
def advisories() -> Path:
    """Compile the seed that the kit ships."""
    folder = temporary_folder() / "advisories"
    compile_private(SEED, folder, "seed")
    return folder


def configured(target: Path, **overrides: Any) -> Config:
    """Give the configuration of `target`; an override `security_sca_engines` stands for `security.sca.engines`."""
    from truegate.config import leaves

    keys = {key.replace(".", "_"): key for key, _ in leaves()}
    given = {"security.db.dir": str(advisories()), **LENIENT}
    return load_config(str(target), None, given | {keys[name]: value for name, value in overrides.items()})


def judge(target: Path, tool: Path, check: str = "security.sca", **overrides: Any) -> Finished:
    """Judge `target` with `tool` in the place of Trivy."""
    target.mkdir(exist_ok=True)
    if not any(target.glob("requirements*.txt")):
        (target / "requirements.txt").write_text(FLASK_OLD)
    return run_check(check, configured(target, tools={"trivy": str(tool)}, **overrides), quiet=True)


@functools.cache
def kept_run(tool: Path, check: str = "security.sca") -> Path:
    """Give the run folder of a real run, made once: copy it to change it."""
    return judge(temporary_folder() / "target", tool, check).run_folder


def small_run(folder: Path, *, accept_external: bool = True) -> Finished:
    """Judge a report that was made elsewhere: a complete run folder of a few files, without any tool."""
    target, reports = folder / "target", folder / "reports"
    for place in (target, reports):
        place.mkdir(parents=True, exist_ok=True)
    (target / "requirements.txt").write_text(FLASK_OLD)
    (reports / "trivy.json").write_text(json.dumps(EMPTY_REPORT))
    return run_check(
        "security.sca", configured(target), from_report=reports, accept_external=accept_external, quiet=True
    )


def copy_of(run: Path, folder: Path) -> Path:
    """Copy a run folder to where `inv evidence.list --evidence FOLDER` finds it."""
    return Path(shutil.copytree(run, folder / Path(*run.parts[-3:]), symlinks=True))


def inv_argv(*arguments: str, kit: Path = KIT) -> list[str]:
    return [str(Path(sys.executable).with_name("inv")), "--search-root", str(kit), *arguments]


def inv(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, kit: Path = KIT, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    """Type `inv` in the folder `cwd`, as a user does; `before` is a command that starts it in its own way."""
    return subprocess.run(
        [*before, *inv_argv(*arguments, kit=kit)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def as_ordinary_user() -> list[str]:
    """Give the command that takes from root what an ordinary user lacks: to write where permissions forbid it."""
    if os.geteuid() != 0:
        return []
    lacking = "-dac_override,-dac_read_search,-fowner"
    return ["setpriv", f"--bounding-set={lacking}", f"--inh-caps={lacking}"]


def has_ended(pid: int, within_seconds: float = 30) -> bool:
    """Tell whether a process, killed a moment ago perhaps, is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], within_seconds)[0])
    finally:
        os.close(handle)


def spellings(secret: str) -> dict[str, str]:
    """Give the ways in which tools echo a secret, each with what of it may be found nowhere afterwards."""
    raw = secret.encode()
    urls = {quote(secret, safe=""), quote(secret), re.sub("%..", lambda code: code[0].lower(), quote(secret, safe=""))}
    whole = {secret, raw.hex(), raw.hex().upper(), json.dumps(secret)[1:-1], *urls}
    coded = {base64.b64encode(before + raw).decode() for before in (b"", b"bot:", b"x", b"xy")}
    return {text: text for text in whole} | {text: text.rstrip("=")[8:-4] for text in coded}


def toml(tool: Path, more: str = "") -> str:
    """Give a truegate.toml that judges by the seed, with `tool` in the place of Trivy."""
    return (
        f'[tools]\ntrivy = "{tool}"\n[security.db]\ndir = "{advisories()}"\n[security.sca.criteria]\n'
        f"accept_private_advisories = true\nadvisory_age_hours_max = 1_000_000\n{more}"
    )
