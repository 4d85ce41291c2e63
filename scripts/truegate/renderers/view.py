"""Findings put in order and into words, the same way in every report."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import quote, unquote

from truegate.model import SEVERITIES, CriterionOutcome, Finding, Location, Meta, Policy, Result, Verdict

MAX_SHOWN = 500  # a page or summary with more is not read; result.json has the rest
_RANK = {severity: rank for rank, severity in enumerate(SEVERITIES)}
_ADVISORY_ID = re.compile(r"(?:CVE|GHSA|PYSEC|MAL|GO|RUSTSEC)-[0-9A-Za-z-]{4,40}", re.ASCII)


def worst_first(result: Result, verdict: Verdict) -> list[Finding]:
    """Give the findings worst first: waived ones last, malware ahead of any severity, run time ahead of dev."""
    waived = {waiver.identity for waiver in verdict.waived}

    def key(finding: Finding) -> tuple[bool, bool, int, bool, str, str]:
        rank = _RANK.get(finding.severity, 0)  # a severity that we don't know is taken for the worst
        names = (finding.package or "", finding.identity)
        return finding.identity in waived, not finding.malware, rank, finding.scope == "dev", *names

    return sorted(result.findings, key=key)


def severity_of(finding: Finding) -> str:
    return "malware" if finding.malware else finding.severity


def package_name(package: str | None) -> str:
    """Give the name in the package URL `package` as its ecosystem writes it: `pkg:npm/%40babel/core` is @babel/core."""
    return unquote((package or "").partition("/")[2]) or package or ""


def versions(finding: Finding) -> str:
    return ", ".join(sorted({place.version for place in finding.locations if place.version}))


def brought_in_by(places: tuple[Location, ...]) -> list[str]:
    """Give the direct dependencies that bring a finding in, each once."""
    return list(dict.fromkeys(name for place in places for name in place.introduced_by))


def way_in(finding: Finding) -> str:
    """Say in words how the package gets in: directly, through whom, or that we can't tell."""
    names = brought_in_by(finding.locations)
    if names == [package_name(finding.package)]:
        return "direct"
    return ", ".join(names) or "not known"


def place_of(location: Location) -> str:
    return location.path if location.line is None else f"{location.path}:{location.line}"


def url_path(path: str) -> str:
    """Give the relative URL of the file `path`; a colon or query mark in a name can't make it anything else."""
    return quote(path, safe="/", errors="replace")


def advisory_url(advisory: str) -> str | None:
    """Give the public page of a well-formed advisory id, None for any other text."""
    return f"https://osv.dev/vulnerability/{advisory}" if _ADVISORY_ID.fullmatch(advisory) else None


def limit_of(outcome: CriterionOutcome) -> str:
    return "no limit" if outcome.limit is None else f"{outcome.op} {outcome.limit} {outcome.unit}".strip()


def measured_of(outcome: CriterionOutcome) -> str:
    return "not known" if outcome.measured is None else str(outcome.measured)


def status_of(outcome: CriterionOutcome) -> str:
    return "not gated" if outcome.limit is None else outcome.status


def version_of(meta: Meta, verdict: Verdict) -> str:
    """Give the target's version, unless that is only its commit."""
    return verdict.version if verdict.version and verdict.version != meta.target.commit else ""


def exclusions(policy: Policy) -> list[str]:
    """Say what the team keeps from every check, with who answers for it."""
    return [
        f"{it.path}: {it.reason} (excluded by {it.approver} until {it.expires}, {it.origin})"
        for it in policy.exclusions
    ]


def status_line(verdict: Verdict) -> str:
    return f"{verdict.status} ({verdict.qualifier})" if verdict.qualifier else verdict.status


def claims(result: Result, verdict: Verdict) -> list[str]:
    """Give what this run can show for itself, one short sentence each: criteria, controls, proof of looking."""
    gated = [outcome for outcome in verdict.criteria if outcome.limit is not None]
    met = sum(outcome.status == "pass" for outcome in gated)
    caught = sum(control.seen >= control.expected for control in result.controls)
    enough = sum(looked.seen >= looked.minimum for looked in result.looked)
    return [
        f"{met} of {len(gated)} criteria met" if gated else "no criterion was judged",
        f"{caught} of {len(result.controls)} controls caught" if result.controls else "no control was run",
        f"{enough} of {len(result.looked)} proofs of looking hold" if result.looked else "no proof of looking",
    ]


def count_by_severity(result: Result, verdict: Verdict) -> dict[str, Counter[str]]:
    """Count findings by severity, malware apart, in the groups runtime, dev and waived; worst first, no empty rows."""
    waived = {waiver.identity for waiver in verdict.waived}
    counts: dict[str, Counter[str]] = {}
    for finding in worst_first(result, verdict):
        group = "waived" if finding.identity in waived else finding.scope
        counts.setdefault(severity_of(finding), Counter())[group] += 1
    order = ["malware", *SEVERITIES]
    return dict(sorted(counts.items(), key=lambda item: order.index(item[0]) if item[0] in order else 0))
