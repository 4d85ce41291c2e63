"""osv-scanner's JSON report, version 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from truegate.model import Severity
from truegate.parsers.engine import (
    EngineReport,
    Hit,
    is_malware,
    normal_name,
    severity_of,
    severity_of_score,
    take,
    wrong_shape,
)

REPORT = "raw/osv-scanner.json"
ECOSYSTEMS = {"npm": "npm", "PyPI": "pypi"}


def parse(report: Any, root: str) -> EngineReport:
    """Read a report of `osv-scanner scan source --format json --all-packages` on `root`.

    Raises ReportError for another shape, or for a path outside `root`.
    """
    packages: dict[str, set[tuple[str, str]]] = {}
    hits: list[Hit] = []
    withdrawn: set[str] = set()
    for result in take(report, "results", list, REPORT):
        source = take(take(result, "source", dict, REPORT), "path", str, REPORT)
        if not PurePath(source).is_relative_to(root):
            raise wrong_shape(REPORT, f"{source} is not in the folder that was scanned")
        path = PurePath(source).relative_to(root).as_posix()
        for row in take(result, "packages", list, REPORT):
            package = take(row, "package", dict, REPORT)
            ecosystem = ECOSYSTEMS.get(take(package, "ecosystem", str, REPORT, ""), "")
            name = normal_name(ecosystem, take(package, "name", str, REPORT))
            version = take(package, "version", str, REPORT, "")
            packages.setdefault(path, set()).add((name, version))
            records = {take(v, "id", str, REPORT): v for v in take(row, "vulnerabilities", list, REPORT, [])}
            withdrawn |= {key for key, record in records.items() if record.get("withdrawn")}
            for group in take(row, "groups", list, REPORT, []):
                hit = _hit((path, name, version), group, records)
                if hit:
                    hits.append(hit)
            grouped = {i for group in take(row, "groups", list, REPORT, []) for i in take(group, "ids", list, REPORT)}
            if missing := set(records) - grouped:
                raise wrong_shape(REPORT, f"{min(missing)} stands in no group")
    return EngineReport(
        "osv-scanner", {p: frozenset(n) for p, n in packages.items()}, tuple(hits), tuple(sorted(withdrawn))
    )


def _hit(place: tuple[str, str, str], group: Any, records: dict[str, Any]) -> Hit | None:
    path, name, version = place
    own = [i for i in take(group, "ids", list, REPORT) if not records.get(i, {}).get("withdrawn")]
    if not own:
        return None
    if unknown := [i for i in own if i not in records]:
        raise wrong_shape(REPORT, f"{unknown[0]} is in a group but has no record")
    ids = tuple(dict.fromkeys((*own, *take(group, "aliases", list, REPORT, []))))
    members = [records[i] for i in own]
    severity, source = _severity(members, take(group, "max_severity", str, REPORT, ""))
    details = [take(record, "database_specific", dict, REPORT, {}) for record in members]
    cwes = [cwe for detail in details for cwe in take(detail, "cwe_ids", list, REPORT, [])]
    title = next((text for record in members if (text := take(record, "summary", str, REPORT, ""))), own[0])
    return Hit(path, name, version, ids, severity, source, title, _fixed(members, name), is_malware(ids, cwes))


def _severity(records: Sequence[Any], score: str) -> tuple[Severity, str]:
    for record in records:
        word = take(take(record, "database_specific", dict, REPORT, {}), "severity", str, REPORT, "")
        if word:
            return severity_of(word, REPORT), take(record, "id", str, REPORT)
    try:
        return (severity_of_score(float(score)), "cvss") if score else ("unknown", "none")
    except ValueError as error:
        raise wrong_shape(REPORT, f"max_severity {score!r} is no number") from error


def _fixed(records: Sequence[Any], name: str) -> tuple[str, ...]:
    fixed = []
    for record in records:
        for affected in take(record, "affected", list, REPORT, []):
            package = take(affected, "package", dict, REPORT, {})
            ecosystem = ECOSYSTEMS.get(take(package, "ecosystem", str, REPORT, ""), "")
            if normal_name(ecosystem, take(package, "name", str, REPORT, "")) != name:
                continue
            for span in take(affected, "ranges", list, REPORT, []):
                fixed += [event["fixed"] for event in take(span, "events", list, REPORT, []) if event.get("fixed")]
    return tuple(dict.fromkeys(fixed))
