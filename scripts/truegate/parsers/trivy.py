"""Trivy's JSON report, schema version 2."""

from __future__ import annotations

from typing import Any

from truegate.parsers.engine import (
    EngineReport,
    Hit,
    is_malware,
    severity_of,
    take,
    take_name,
    take_texts,
    wrong_shape,
)

REPORT = "raw/trivy.json"
ECOSYSTEMS = {
    "npm": "npm", "yarn": "npm", "pnpm": "npm", "bun": "npm", "node-pkg": "npm",
    "pip": "pypi", "pipenv": "pypi", "poetry": "pypi", "uv": "pypi", "pylock": "pypi", "python-pkg": "pypi",
}  # fmt: skip


def parse(report: Any) -> EngineReport:
    """Read a report of `trivy fs --format json --list-all-pkgs`; raises ReportError for another shape."""
    if take(report, "SchemaVersion", int, REPORT) != 2:  # noqa: PLR2004  the version is the point
        raise wrong_shape(REPORT, f"SchemaVersion {report['SchemaVersion']}")
    if take(report, "ArtifactType", str, REPORT) != "filesystem":
        raise wrong_shape(REPORT, f"ArtifactType {report['ArtifactType']!r}")
    packages: dict[str, set[tuple[str, str]]] = {}
    hits: list[Hit] = []
    for result in take(report, "Results", list, REPORT, []):
        path = take(result, "Target", str, REPORT)
        ecosystem = ECOSYSTEMS.get(take(result, "Type", str, REPORT, ""), "")
        listed = packages.setdefault(path, set())
        for package in take(result, "Packages", list, REPORT, []):
            if not take(package, "Name", str, REPORT, ""):
                continue  # a broken lockfile gives such; what Trivy can't name it has not seen
            listed.add((take_name(package, "Name", ecosystem, REPORT), take(package, "Version", str, REPORT, "")))
        hits += [_hit(path, ecosystem, row) for row in take(result, "Vulnerabilities", list, REPORT, [])]
        if take(result, "ExperimentalModifiedFindings", list, REPORT, []):
            raise wrong_shape(REPORT, f"findings of {path} were suppressed by a file that is not ours")
    for hit in hits:
        if (hit.name, hit.version) not in packages[hit.path]:
            raise wrong_shape(
                REPORT, f"{hit.ids[0]} is in {hit.name} {hit.version}, which it does not list in {hit.path}"
            )
    seen = {path: frozenset(names) for path, names in packages.items()}
    return EngineReport("trivy", seen, tuple(hits), created=take(report, "CreatedAt", str, REPORT))


def _hit(path: str, ecosystem: str, row: Any) -> Hit:
    own = take(row, "VulnerabilityID", str, REPORT)
    ids = tuple(dict.fromkeys((own, *take_texts(row, "VendorIDs", REPORT))))
    fixed = take(row, "FixedVersion", str, REPORT, "")
    return Hit(
        path=path,
        name=take_name(row, "PkgName", ecosystem, REPORT),
        version=take(row, "InstalledVersion", str, REPORT),
        ids=ids,
        severity=severity_of(take(row, "Severity", str, REPORT), REPORT),
        severity_source=take(row, "SeveritySource", str, REPORT, "") or "none",
        title=take(row, "Title", str, REPORT, "") or own,
        fixed_in=tuple(part.strip() for part in fixed.split(",") if part.strip()),
        malware=is_malware(ids, take_texts(row, "CweIDs", REPORT)),
    )


def advisories_dated(report: Any) -> str | None:
    """Give the date of the vulnerability database from `trivy --version --format json` (RFC 3339), or None."""
    database = take(report, "VulnerabilityDB", dict, "raw/trivy-version.json", {})
    dated: str | None = take(database, "UpdatedAt", str, "raw/trivy-version.json", None)
    return dated
