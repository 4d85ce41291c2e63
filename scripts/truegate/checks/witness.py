"""Hold the engines' package lists against our own reading of the lockfiles: what none of them saw is incomplete."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from truegate.checks.listed import LISTS, packages_by_list
from truegate.inventory.records import Inventory
from truegate.model import Looked, Reason
from truegate.parsers.engine import EngineReport
from truegate.versions import is_version

MAX_NAMED = 5
STEP = "write the lockfile anew with its package manager, or add the other engine under [security.sca] engines"
Witnessed = tuple[tuple[Looked, ...], list[Reason], list[str]]


def compare(reports: Sequence[EngineReport], inventory: Inventory, *, with_lists: bool) -> Witnessed:
    """Give the proof of looking, file by file, what no engine saw, and notes on what only some way showed.

    A lockfile must be seen as such. What an engine misses in its spelling (an alias, a group) it may see in our list.
    """
    total = sum(len(reading.packages) for reading in inventory.readings)
    looked, problems, notes = [Looked("packages in lockfiles", total, 1, "packages")], list[Reason](), list[str]()
    engines = {report.engine: report.packages for report in reports if report.packages is not None}
    if not engines:
        message = f"{' and '.join(report.engine for report in reports)} does not list the packages that it saw"
        problems.append(Reason("unlisted", "incomplete", message, "run it beside trivy or osv-scanner"))
        return tuple(looked), problems, notes
    for reading in inventory.readings:
        odd = [package.key for package in reading.packages if not is_version(reading.ecosystem, package.version)]
        if odd:
            message = f"{reading.path}: no advisory can be compared with {', '.join(odd[:MAX_NAMED])}"
            problems.append(Reason("no-version", "incomplete", message, STEP))
    wanted = [(f"target/{r.path}", {(p.name, p.version) for p in r.packages}, r.ecosystem) for r in inventory.readings]
    wanted += [(path, ours, "") for path, ours in packages_by_list(inventory).items() if with_lists]
    for path, ours, ecosystem in wanted:
        name, missing = path.removeprefix("target/"), ours
        for engine, packages in engines.items():
            unseen = ours - packages.get(path, frozenset())
            if unseen:
                notes.append(_unseen(engine, name, unseen, len(ours)))
            if with_lists and ecosystem and unseen != ours:
                unseen -= packages.get(LISTS[ecosystem][0], frozenset())
            missing = missing & unseen
        everyone = " and ".join(engines)
        looked.append(Looked(f"{everyone}: {name}", len(ours) - len(missing), len(ours), "packages"))
        if missing:
            problems.append(Reason("package-unseen", "incomplete", _unseen(everyone, name, missing, len(ours)), STEP))
    named = {problem.message for problem in problems}
    return tuple(looked), problems, [f"{note}; they count by our list" for note in notes if note not in named]


def second_reading(report: EngineReport, inventory: Inventory, own: Collection[str]) -> Witnessed:
    """Hold our reading against the engine's of the same files: what it lists and we do not, we may have overlooked.

    The projects of the target itself, whose names are `own`, and addresses in place of versions are no packages.
    """
    looked, problems = [], []
    for reading in inventory.readings:
        ours = {(package.name, package.version) for package in reading.packages}
        theirs = (report.packages or {}).get(f"target/{reading.path}", frozenset())
        looked.append(Looked(f"{report.engine}: {reading.path}", len(ours & theirs), min(1, len(ours)), "packages"))
        unread = [
            f"{name} {version}" for name, version in sorted(theirs - ours) if name not in own and ":" not in version
        ]
        if unread:
            message = (
                f"{report.engine} sees in {reading.path} what we do not read there: {', '.join(unread[:MAX_NAMED])}"
            )
            problems.append(
                Reason("package-unread", "incomplete", message, "report this: a reader of the kit may be wrong")
            )
    return tuple(looked), problems, []


def _unseen(engine: str, path: str, missing: Collection[tuple[str, str]], total: int) -> str:
    if len(missing) == total:
        return f"{engine} skipped {path}: it saw none of its {total} packages"
    named = ", ".join(f"{name} {version}" for name, version in sorted(missing)[:MAX_NAMED])
    more = f" and {len(missing) - MAX_NAMED} more" if len(missing) > MAX_NAMED else ""
    return f"{engine} did not see {len(missing)} of {total} packages of {path}: {named}{more}"
