"""Hold the engines' package lists against our own reading of the lockfiles: what none of them saw is incomplete."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from truegate.checks.listed import Packages
from truegate.inventory.records import Inventory
from truegate.model import Looked, Reason
from truegate.parsers.engine import EngineReport

MAX_NAMED = 5
Witnessed = tuple[tuple[Looked, ...], list[Reason], list[str]]


def compare(reports: Sequence[EngineReport], inventory: Inventory, wanted: Packages) -> Witnessed:
    """Give the proof of looking, file by file of `wanted`, what no engine saw, and notes on what only some saw."""
    total = sum(len(reading.packages) for reading in inventory.readings)
    looked, problems, notes = [Looked("packages in lockfiles", total, 1, "packages")], list[Reason](), list[str]()
    lists = {report.engine: report.packages for report in reports if report.packages is not None}
    if not lists:
        message = f"{' and '.join(report.engine for report in reports)} does not list the packages that it saw"
        problems.append(Reason("unlisted", "incomplete", message, "run it beside trivy or osv-scanner"))
    for path, ours in wanted.items() if lists else ():
        name, engines = path.removeprefix("target/"), " and ".join(lists)
        unseen = {engine: ours - packages.get(path, frozenset()) for engine, packages in lists.items()}
        missing = set.intersection(*unseen.values())
        looked.append(Looked(f"{engines}: {name}", len(ours) - len(missing), len(ours), "packages"))
        if missing:
            step = (
                "write the lockfile anew with its package manager, or add the other engine under [security.sca] engines"
            )
            problems.append(Reason("package-unseen", "incomplete", _unseen(engines, name, missing, len(ours)), step))
        notes += [_unseen(engine, name, some, len(ours)) for engine, some in unseen.items() if some != missing]
    return tuple(looked), problems, notes


def _unseen(engine: str, path: str, missing: Collection[tuple[str, str]], total: int) -> str:
    if len(missing) == total:
        return f"{engine} skipped {path}: it saw none of its {total} packages"
    named = ", ".join(f"{name} {version}" for name, version in sorted(missing)[:MAX_NAMED])
    more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    return f"{engine} did not see {len(missing)} of {total} packages of {path}: {named}{more}"
