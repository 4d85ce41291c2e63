"""osv-scanner's JSON report, version 2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from truegate.model import SEVERITIES, Severity
from truegate.parsers.engine import (
    EngineReport,
    Hit,
    is_malware,
    severity_of,
    severity_of_score,
    take,
    take_name,
    take_texts,
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
            name = take_name(package, "name", ecosystem, REPORT)
            version = take(package, "version", str, REPORT, "")
            packages.setdefault(path, set()).add((name, version))
            records = {take(v, "id", str, REPORT): v for v in take(row, "vulnerabilities", list, REPORT, [])}
            withdrawn |= {key for key, record in records.items() if take(record, "withdrawn", str, REPORT, "")}
            groups = take(row, "groups", list, REPORT, [])
            hits += filter(None, (_hit((path, name, version), group, records) for group in groups))
            if missing := set(records) - {i for group in groups for i in take_texts(group, "ids", REPORT)}:
                raise wrong_shape(REPORT, f"{min(missing)} stands in no group")
    return EngineReport(
        "osv-scanner", {p: frozenset(n) for p, n in packages.items()}, tuple(hits), tuple(sorted(withdrawn))
    )


def common_root(report: Any, files: Sequence[str]) -> str:
    """Give the folder below which most of a report's paths are among `files`."""
    sources = [
        take(take(row, "source", dict, REPORT), "path", str, REPORT) for row in take(report, "results", list, REPORT)
    ]
    roots = [source.removesuffix(f"/{file}") for source in sources for file in files if source.endswith(f"/{file}")]
    return max(sorted(set(roots)), key=roots.count, default="/")


def _hit(place: tuple[str, str, str], group: Any, records: dict[str, Any]) -> Hit | None:
    path, name, version = place
    own = [i for i in take_texts(group, "ids", REPORT) if not records.get(i, {}).get("withdrawn")]
    if not own:
        return None
    if unknown := [i for i in own if i not in records]:
        raise wrong_shape(REPORT, f"{unknown[0]} is in a group but has no record")
    ids = tuple(dict.fromkeys((*own, *take_texts(group, "aliases", REPORT))))
    members = [records[i] for i in own]
    severity, source = _severity(members, take(group, "max_severity", str, REPORT, ""))
    details = [take(record, "database_specific", dict, REPORT, {}) for record in members]
    cwes = [cwe for detail in details for cwe in take_texts(detail, "cwe_ids", REPORT)]
    title = next((text for record in members if (text := take(record, "summary", str, REPORT, ""))), own[0])
    return Hit(path, name, version, ids, severity, source, title, _fixed(members, name), is_malware(ids, cwes))


def _severity(records: Sequence[Any], score: str) -> tuple[Severity, str]:
    """Give the worst word of the records, else the word for the score, which is empty where there is none."""
    details = [
        (take(record, "database_specific", dict, REPORT, {}), take(record, "id", str, REPORT)) for record in records
    ]
    words = [
        (severity_of(word, REPORT), i) for detail, i in details if (word := take(detail, "severity", str, REPORT, ""))
    ]
    if words:
        return min(words, key=lambda pair: SEVERITIES.index(pair[0]))
    if score and not re.fullmatch(r"\d+(\.\d+)?", score):  # float() would take "nan", which is above no bound
        raise wrong_shape(REPORT, f"max_severity {score!r} is no number")
    return (severity_of_score(float(score)), "cvss") if score else ("unknown", "none")


def _fixed(records: Sequence[Any], name: str) -> tuple[str, ...]:
    fixed = []
    for record in records:
        for affected in take(record, "affected", list, REPORT, []):
            package = take(affected, "package", dict, REPORT, {})
            ecosystem = ECOSYSTEMS.get(take(package, "ecosystem", str, REPORT, ""), "")
            if not package or take_name(package, "name", ecosystem, REPORT) != name:
                continue
            for span in take(affected, "ranges", list, REPORT, []):
                fixed += [take(event, "fixed", str, REPORT, "") for event in take(span, "events", list, REPORT, [])]
    return tuple(filter(None, dict.fromkeys(fixed)))
