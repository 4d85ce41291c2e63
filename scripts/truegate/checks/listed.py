"""Show the engine every package twice: in the lockfile that pins it, and in a plain list of ours.

What it misses in a lockfile's own spelling it sees in the list, and a finding lost from its report is a difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from truegate import jsonio
from truegate.inventory.records import Inventory
from truegate.model import LockedPackage, Reason
from truegate.parsers.engine import EngineReport

# By ecosystem: where the list lies in input/, and the format of that file.
LISTS = {"npm": ("listed/npm/package-lock.json", "npm"), "pypi": ("listed/pypi/requirements.txt", "requirements")}


def packages_by_list(inventory: Inventory) -> Mapping[str, set[tuple[str, str]]]:
    """Give the name and version of every package that we read, by the list in which it is shown."""
    places: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for package in _packages(inventory):
        places[LISTS[package.ecosystem][0]].add((package.name, package.version))
    return places


def write_lists(inventory: Inventory) -> dict[str, bytes]:
    """Give each list's content by its path: every package once, under its real name, in the plainest form."""
    written = {}
    for path, packages in packages_by_list(inventory).items():
        if path.endswith(".json"):  # each in a folder of its own: several versions of one name stand side by side
            rows = {f"node_modules/{i}/node_modules/{n}": {"version": v} for i, (n, v) in enumerate(sorted(packages))}
            written[path] = jsonio.dumps({"lockfileVersion": 3, "packages": rows})
        else:  # Trivy looks for `zope.interface` and `zope-interface` under different keys, though PyPI has one of them
            lines = {f"{spelt}=={v}\n" for n, v in packages for spelt in (n, n.replace("-", "."))}
            written[path] = "".join(sorted(lines)).encode()
    return written


def differences(report: EngineReport, inventory: Inventory) -> Iterator[Reason]:
    """Name each package that the engine saw in a lockfile and in our list, with other advisories in the one.

    What stands in one of them counts, so nothing is lost by that. A Python name of several spellings may well differ.
    """
    if report.packages is None:
        return
    found: dict[tuple[str, str, str], set[frozenset[str]]] = defaultdict(set)
    for hit in report.hits:
        found[hit.path, hit.name, hit.version].add(frozenset(hit.ids))
    for package in _packages(inventory):
        path, listed = f"target/{package.lockfile}", LISTS[package.ecosystem][0]
        key = (package.name, package.version)
        both = key in report.packages.get(path, ()) and key in report.packages.get(listed, ())
        if package.ecosystem == "pypi" and "-" in package.name:
            continue
        if both and (odd := found[path, *key] ^ found[listed, *key]):
            message = f"{report.engine} reports {min(map(min, odd))} in {package.name} {package.version} only once"
            message += f", though it saw that package in {package.lockfile} and in our list"
            yield Reason("disagree", "incomplete", message, f"look at raw/{report.engine}.json, then run again")


def homes(inventory: Inventory) -> Mapping[tuple[str, str, str], list[LockedPackage]]:
    """Give the lockfiles' packages by each path at which they were shown, name and version."""
    found: dict[tuple[str, str, str], list[LockedPackage]] = defaultdict(list)
    for package in _packages(inventory):
        for path in (f"target/{package.lockfile}", LISTS[package.ecosystem][0]):
            found[path, package.name, package.version].append(package)
    return found


def _packages(inventory: Inventory) -> Iterator[LockedPackage]:
    for reading in inventory.readings:
        yield from reading.packages
