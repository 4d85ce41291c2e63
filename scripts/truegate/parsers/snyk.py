"""Snyk's JSON report as its documentation shows it: unverified until someone has run it here."""

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

REPORT = "raw/snyk.json"
PYTHON = frozenset({"pip", "pipenv", "poetry"})


def parse(report: Any) -> EngineReport:
    """Read a report of `snyk test --all-projects --json`; raises ReportError for another shape or an error object.

    Snyk does not list the packages that it saw, only their number, so `packages` is None.
    """
    hits: list[Hit] = []
    for project in report if isinstance(report, list) else [report]:
        if isinstance(project, dict) and "error" in project:
            raise wrong_shape(REPORT, str(project["error"])[:300])
        path = take(project, "displayTargetFile", str, REPORT)
        take(project, "dependencyCount", int, REPORT)
        ecosystem = "pypi" if take(project, "packageManager", str, REPORT) in PYTHON else "npm"
        ignored = take(take(project, "filtered", dict, REPORT, {}), "ignore", list, REPORT, [])  # by a policy not ours
        for row in (*take(project, "vulnerabilities", list, REPORT), *ignored):
            if take(row, "type", str, REPORT, "") == "license":  # that is another question
                continue
            identifiers = take(row, "identifiers", dict, REPORT, {})
            named = [i for kind in ("CVE", "GHSA") for i in take_texts(identifiers, kind, REPORT)]
            ids = tuple(dict.fromkeys((*named, take(row, "id", str, REPORT))))
            hits.append(
                Hit(
                    path=path,
                    name=take_name(row, "packageName", ecosystem, REPORT),
                    version=take(row, "version", str, REPORT),
                    ids=ids,
                    severity=severity_of(take(row, "severity", str, REPORT), REPORT),
                    severity_source="snyk",
                    title=take(row, "title", str, REPORT),
                    fixed_in=tuple(take_texts(row, "fixedIn", REPORT)),
                    malware=is_malware(ids, take_texts(identifiers, "CWE", REPORT)),
                )
            )
    return EngineReport("snyk", None, tuple(hits))
