"""What the tests of whole checks share: targets, advisories, the real tools, and `inv` as a user types it."""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from truegate.advisories.stores import SEED, compile_private
from truegate.checks.pipeline import Finished, run_check
from truegate.config import load_config
from truegate.install import install
from truegate.remembered import TOOLS_DIR

KIT = Path(__file__).resolve().parents[2]
LOCKFILES = KIT / "tests" / "samples" / "lockfiles"
LENIENT = {
    "security.sca.criteria.accept_private_advisories": True,
    "security.sca.criteria.advisory_age_hours_max": 1_000_000,  # the seed is from 2025
    "target.owner": "the Payments team",
    "target.version": "1.0.0",
}
FLASK_OLD, FLASK_FIXED = "flask==2.2.4\n", "flask==2.2.5\n"  # CVE-2023-30861, high
Files = Mapping[str, str | bytes]


@functools.cache
def tool(name: str) -> str:
    """Install the real tool where it is missing, one process at a time, and give its path."""
    TOOLS_DIR.mkdir(exist_ok=True)
    with (TOOLS_DIR / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return str(install(name, quiet=True).path)


@functools.cache
def advisories(without: tuple[str, ...] = (), also: tuple[str, ...] = ()) -> Path:
    """Compile the seed, less the records `without`, and with further records `also` (OSV as JSON text)."""
    folder = Path(tempfile.mkdtemp(prefix="truegate-advisories-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    records = folder / "records"
    shutil.copytree(SEED, records)
    for name in without:
        (records / f"{name}.json").unlink()
    for text in also:
        (records / f"{json.loads(text)['id']}.json").write_text(text, encoding="utf-8")
    compile_private(records, folder / "data", "private" if without or also else "seed")
    return folder / "data"


def record(name: str, package: str = "left", *, ecosystem: str = "npm", **fields: Any) -> str:
    """Give an OSV record that affects every version of `package` below 2.0.0."""
    affected = {
        "package": {"ecosystem": ecosystem, "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0.0"}]}],
    }
    plain = {"id": name, "modified": "2025-01-01T00:00:00Z", "summary": "planted", "affected": [affected]}
    return json.dumps({**plain, "database_specific": {"severity": "HIGH"}, **fields})


def npm_lock(runtime: Mapping[str, str], dev: Mapping[str, str] | None = None) -> str:
    """Give a package-lock.json of version 3 with direct dependencies only."""
    root = {"name": "app", "version": "1.0.0", "dependencies": dict(runtime), "devDependencies": dict(dev or {})}
    rows: dict[str, Any] = {"": root}
    rows |= {f"node_modules/{name}": {"version": version} for name, version in runtime.items()}
    rows |= {f"node_modules/{name}": {"version": version, "dev": True} for name, version in (dev or {}).items()}
    return json.dumps({"name": "app", "version": "1.0.0", "lockfileVersion": 3, "packages": rows}, indent=1)


def write(folder: Path, files: Files) -> Path:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def sample_files(name: str) -> dict[str, bytes]:
    """Give the files of a lockfile that a real package manager made, by their real names."""
    paths = (LOCKFILES / name).rglob("*.sample")
    return {str(path.relative_to(LOCKFILES / name).with_suffix("")): path.read_bytes() for path in paths}


def sample(name: str, folder: Path) -> Path:
    """Write such files below a folder."""
    return write(folder, sample_files(name))


def judge(
    target: Path,
    check: str = "security.sca",
    *,
    data: Path | None = None,
    profile: str | None = None,
    report: Path | None = None,
    accept_external: bool = False,
    **overrides: Any,
) -> Finished:
    """Run a check in this process; an override `security_sca_engines` stands for `security.sca.engines`."""
    engines = overrides.get("security_sca_engines", ["trivy"])
    paths = {name: tool(name) for name in ("trivy", "osv-scanner") if name in engines or check == "security.sbom"}
    given = {"security.db.dir": str(data or advisories()), "tools": paths, **LENIENT}
    given |= {_dotted(name): value for name, value in overrides.items()}
    config = load_config(str(target), profile, given)
    return run_check(check, config, from_report=report, accept_external=accept_external, quiet=True)


def _dotted(name: str) -> str:
    from truegate.config import leaves

    return next(key for key, _ in leaves() if key.replace(".", "_") == name)


def toml(*, data: Path | None = None, criteria: str = "", more: str = "", accept: bool = True) -> str:
    """Give a truegate.toml that judges by `data` (default: the seed) with the real Trivy."""
    accepted = "accept_private_advisories = true\nadvisory_age_hours_max = 1_000_000\n" if accept else ""
    return (
        f'[target]\nowner = "the Payments team"\nversion = "1.0.0"\n[tools]\ntrivy = "{tool("trivy")}"\n'
        f'[security.db]\ndir = "{data or advisories()}"\n[security.sca.criteria]\n{accepted}{criteria}\n{more}'
    )


def inv(
    *arguments: str, cwd: Path, env: Mapping[str, str] | None = None, kit: Path = KIT
) -> subprocess.CompletedProcess[str]:
    """Type `inv` in the folder `cwd`, as a user does; `env` is added to an environment that steers nothing."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.run(
        [str(Path(sys.executable).with_name("inv")), "--search-root", str(kit), *arguments],
        cwd=cwd,
        env={**plain, **(env or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def waiver(identifier: str, package: str, opened: str, expires: str) -> str:
    return (
        f'[[waiver]]\ncheck = "security.sca"\nid = "{identifier}"\npackage = "{package}"\n'
        f'reason = "not reachable from outside"\napprover = "Ada"\nopened = "{opened}"\nexpires = "{expires}"\n'
    )


def today() -> datetime:
    return datetime.now(UTC)


def codes(done: Finished) -> set[str]:
    return {reason.code for reason in done.verdict.reasons}


def messages(done: Finished) -> str:
    return "\n".join(reason.message for reason in done.verdict.reasons)


def named(done: Finished) -> set[str]:
    """Give every id of every finding."""
    return {identifier for finding in done.result.findings for identifier in finding.ids}


def files_below(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in sorted(folder.rglob("*")) if path.is_file())


def run_folder(target: Path, check: str = "security/sca") -> Path:
    """Give the newest run folder below a target."""
    return max((target / "evidence" / check).iterdir(), key=lambda path: path.stat().st_mtime_ns)


def criteria(done: Finished) -> dict[str, Any]:
    return {outcome.id: outcome.measured for outcome in done.verdict.criteria}
