"""Compare a bill of materials with the lockfiles, and with the same one in another format."""

from __future__ import annotations

from truegate.model import LockedPackage
from truegate.sbom.read import SbomDocument


def compare_with_lockfiles(document: SbomDocument, locked: dict[str, list[LockedPackage]]) -> dict[str, list[str]]:
    """Give what is wrong under each measurement's id; `locked` is `by_purl`. Copies of a component don't matter."""
    known = {part.key for part in document.components if not part.obstacle}
    missing, extra = locked.keys() - known, known - locked.keys()
    changed = {purl.rpartition("@")[0] for purl in missing} & {purl.rpartition("@")[0] for purl in extra}
    hidden, hashes = [], []
    for part in document.components:
        entries = locked.get(part.key, [])
        pairs = {pair for package in entries for pair in package.hashes}
        strange = {name for name, _ in part.hashes - pairs} & {name for name, _ in pairs}
        hashes += [f"{part.key} {name}" for name in sorted(strange)]
        hidden += [part.key] if part.scope == "excluded" and any(one.scope == "runtime" for one in entries) else []
    lockfiles = {package.lockfile for entries in locked.values() for package in entries}  # some tools list them
    strangers = [part for part in document.components if part.obstacle and part.key not in lockfiles]
    return {
        "lockfile_packages_missing": sorted(missing),
        "packages_not_in_lockfile": sorted(extra),
        "versions_different": sorted(changed),
        "hashes_not_in_lockfile": hashes,
        "runtime_packages_excluded": hidden,
        "components_not_comparable": [f"{part.key} {part.obstacle}" for part in strangers],
        "dangling_references": list(document.dangling),
        "vulnerability_entries": list(document.vulnerability_entries),
    }


def compare_documents(one: SbomDocument, other: SbomDocument) -> list[str]:
    """Give where two documents disagree: components, dependencies, hashes (scope is only in CycloneDX)."""
    ours, theirs = _statements(one), _statements(other)
    return sorted(f"{text} is only in {one.name if text in ours else other.name}" for text in ours ^ theirs)


def _statements(document: SbomDocument) -> set[str]:
    parts = [part for part in (document.subject, *document.components) if part]
    edges = {f"{part.key} -> {target}" for part in parts for target in part.depends_on}
    hashes = {f"{part.key} {name} {digest}" for part in parts for name, digest in part.hashes}
    return {part.key for part in parts} | edges | hashes
