"""Turn engines' hits into findings: one for each weakness of a package, with scope, places and the smallest upgrade."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from packageurl import PackageURL

from truegate.checks.listed import homes
from truegate.inventory.records import Inventory
from truegate.model import SEVERITIES, Finding, Location, LockedPackage, Scope
from truegate.parsers.engine import EngineReport, Hit
from truegate.versions import smallest_fix

Placed = tuple[str, Hit, LockedPackage | None]


def merge(reports: Sequence[EngineReport], inventory: Inventory) -> tuple[tuple[Finding, ...], list[str]]:
    """Join the hits in the target by alias set, package and scope, worst first; gives findings and what was dissent."""
    ecosystems = {f"target/{reading.path}": reading.ecosystem for reading in inventory.readings}
    packages = homes(inventory)
    by_package: dict[tuple[str, Scope], list[Placed]] = defaultdict(list)
    for engine, hit in ((report.engine, hit) for report in reports for hit in report.hits):
        places: list[tuple[str, LockedPackage | None]] = [
            (f"target/{package.lockfile}", package) for package in packages.get((hit.path, hit.name, hit.version), [])
        ]
        if not places and hit.path.startswith("target/"):
            places = [(hit.path, None)]  # the engine reads there what we do not
        for path, ours in places:
            found = hit if path == hit.path else replace(hit, path=path)
            purl = _purl(ecosystems.get(path, "generic"), hit.name)
            by_package[purl, ours.scope if ours else "runtime"].append((engine, found, ours))
    findings = []
    for (purl, scope), placed in by_package.items():
        group = [_finding(purl, scope, same) for same in _by_alias(placed)]
        findings += _with_upgrade(purl, group)
    findings.sort(key=lambda f: (not f.malware, f.scope != "runtime", SEVERITIES.index(f.severity), f.identity))
    return tuple(findings), _dissent(findings, [report.engine for report in reports])


@cache
def _purl(ecosystem: str, name: str) -> str:
    namespace, _, last = name.rpartition("/")
    return PackageURL(ecosystem, namespace or None, last).to_string()


def _by_alias(placed: Sequence[Placed]) -> list[list[Placed]]:
    """Group hits whose alias sets touch (union-find over the ids)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    for _, hit, _ in placed:
        for other in hit.ids[1:]:
            parent[root(other)] = root(hit.ids[0])
    groups: dict[str, list[Placed]] = defaultdict(list)
    for entry in placed:
        groups[root(entry[1].ids[0])].append(entry)
    return list(groups.values())


def _finding(purl: str, scope: Scope, placed: Sequence[Placed]) -> Finding:
    hits = [hit for _, hit, _ in placed]
    worst = min(hits, key=lambda hit: SEVERITIES.index(hit.severity))
    ids = tuple(sorted({i for hit in hits for i in hit.ids}, key=_id_order))
    words = {engine: hit.severity for engine, hit, _ in placed}
    source = worst.severity_source
    if len(set(words.values())) > 1:
        source = ", ".join(f"{engine} says {word}" for engine, word in sorted(words.items()))
    return Finding(
        identity=f"{ids[0]} {purl} {scope}",
        ids=ids,
        severity=worst.severity,
        severity_source=source,
        scope=scope,
        title=worst.title,
        tools=tuple(sorted(words)),
        package=purl,
        locations=_locations(placed),
        fixed_in=tuple(dict.fromkeys(version for hit in hits for version in hit.fixed_in)),
        malware=any(hit.malware for hit in hits),
    )


def _locations(placed: Sequence[Placed]) -> tuple[Location, ...]:
    places = {}
    for _, hit, ours in placed:
        path = hit.path.removeprefix("target/")
        via = ours.introduced_by if ours else ()
        places[path, hit.version] = Location(path, ours.line if ours else None, hit.version, via)
    return tuple(places[key] for key in sorted(places))


def _id_order(name: str) -> tuple[int, str]:
    """Prefer the names that most people search for."""
    return {"CVE": 0, "GHSA": 1, "MAL": 2}.get(name.split("-", 1)[0], 3), name


def _with_upgrade(purl: str, findings: Sequence[Finding]) -> list[Finding]:
    """Add the one upgrade of the package that clears all its findings."""
    installed = {location.version or "" for finding in findings for location in finding.locations}
    ecosystem = purl.removeprefix("pkg:").partition("/")[0]
    target = smallest_fix(ecosystem, sorted(installed), {finding.fixed_in for finding in findings})
    return [replace(finding, upgrade_to=target) for finding in findings]


def _dissent(findings: Sequence[Finding], engines: Sequence[str]) -> list[str]:
    if len(engines) == 1:
        return []
    return [
        f"only {', '.join(finding.tools)} reports {finding.ids[0]} in {finding.package}"
        for finding in findings
        if len(finding.tools) < len(engines)
    ]
