"""Hold an engine's package list against our own reading of the lockfiles: what it did not see is incomplete."""

from __future__ import annotations

from collections.abc import Sequence

from truegate.inventory.records import Inventory
from truegate.model import Looked, Reason
from truegate.parsers.engine import EngineReport

MAX_NAMED = 5


def compare(reports: Sequence[EngineReport], inventory: Inventory) -> tuple[tuple[Looked, ...], list[Reason]]:
    """Give the proof of looking, lockfile by lockfile, and what each engine missed."""
    total = sum(len(reading.packages) for reading in inventory.readings)
    looked = [Looked("packages in lockfiles", total, 1, "packages")]
    problems = []
    for report in reports:
        if report.packages is None:
            message = f"{report.engine} does not list the packages that it saw"
            problems.append(Reason("unlisted", "incomplete", message, "run it beside trivy or osv-scanner"))
            continue
        for reading in inventory.readings:
            seen = report.packages.get(f"target/{reading.path}", frozenset())
            ours = {(package.name, package.version) for package in reading.packages}
            missing = sorted(ours - seen)
            looked.append(Looked(f"{report.engine}: {reading.path}", len(ours) - len(missing), len(ours), "packages"))
            if missing:
                problems.append(_unseen(report.engine, reading.path, missing, len(ours)))
    return tuple(looked), problems


def _unseen(engine: str, path: str, missing: Sequence[tuple[str, str]], total: int) -> Reason:
    if len(missing) == total:
        message = f"{engine} skipped {path}: it saw none of its {total} packages"
    else:
        message = f"{engine} did not see {len(missing)} of {total} packages of {path}: {_named(missing)}"
    step = "write the lockfile anew with its package manager, or add the other engine under [security.sca] engines"
    return Reason("package-unseen", "incomplete", message, step)


def _named(packages: Sequence[tuple[str, str]]) -> str:
    more = f" and {len(packages) - MAX_NAMED} more" if len(packages) > MAX_NAMED else ""
    return ", ".join(f"{name} {version}" for name, version in packages[:MAX_NAMED]) + more
