"""The findings of one run as SARIF 2.1.0, within what GitHub and GitLab keep.

Limits: docs.github.com "SARIF support for code scanning", docs.gitlab.com "SARIF reports". GitLab skips a result with a
text over its limit and takes 10 MB in all, GitHub keeps 5,000 results which need not be the worst: so we cut ourselves.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from truegate.model import Finding, Location, Meta, Result, Verdict, WaivedFinding
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_RESULTS = 5_000
MAX_BYTES = 9_500_000  # before compression, so under both hosts' 10 MB whichever way they count
MAX_LOCATIONS = 10
MAX_NOTIFICATIONS = 100
MAX_TEXT = 500  # characters; the hosts' 1,024 may count UTF-16 units
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "unknown": "warning", "malware": "error"}
# The hosts' bands: over 9.0 critical, 7.0 high, 4.0 medium, 0.1 low, 0.0 none. Unknown stays unknown: no score.
_SCORES = {"malware": "10.0", "critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0", "info": "0.0"}
_NO_PLACE = "truegate.toml"  # an upload without a file of the repository is refused


def render(meta: Meta, result: Result, verdict: Verdict) -> bytes:
    """Give results.sarif, worst first; a cut is stated as a notification of the tool."""
    findings = view.worst_first(result, verdict)
    rules, results = _results(findings, {waiver.identity: waiver for waiver in verdict.waived})
    category = "/".join(filter(None, ["truegate", meta.check, meta.target.name, meta.profile]))
    run = {
        "tool": {"driver": {"name": "Truegate", "version": clean(meta.kit_version, 100), "rules": rules}},
        "automationDetails": {"id": f"{clean(category)}/{clean(meta.run_id, 100)}"},
        "invocations": [
            {
                "executionSuccessful": verdict.status != "inconclusive",
                "startTimeUtc": clean(meta.generated_at),
                "toolExecutionNotifications": _notifications(verdict, len(findings), len(results)),
            }
        ],
        "columnKind": "utf16CodeUnits",
        "results": results,
        "properties": {"status": clean(view.status_line(verdict))},
    }
    return _compact({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]})


def _compact(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _results(findings: list[Finding], waivers: dict[str, WaivedFinding]) -> tuple[list[Any], list[Any]]:
    rules: dict[str, dict[str, Any]] = {}
    results: list[dict[str, Any]] = []
    taken: set[tuple[str, str, int]] = set()
    used = 200_000  # bytes left for all that is not a rule or a result
    for finding in findings[:MAX_RESULTS]:
        digest = hashlib.sha256(finding.identity.encode("utf-8", "surrogatepass")).hexdigest()
        entry = _result(finding, waivers.get(finding.identity))
        place = entry["locations"][0]["physicalLocation"]
        anchor = place["artifactLocation"]["uri"], place["region"]["startLine"]
        rule_id = clean(finding.ids[0] if finding.ids else finding.identity, 200)
        if (rule_id, *anchor) in taken:  # GitLab would drop the second of a rule on a line
            rule_id = f"{rule_id}/{digest[:8]}"
        entry["ruleId"] = rule_id
        entry["partialFingerprints"] = {"primaryLocationLineHash": f"{digest[:16]}:1"}
        rule = rules.get(rule_id) or _rule(rule_id, finding)
        used += sum(len(_compact(item)) + 1 for item in ([entry] if rule_id in rules else [entry, rule]))
        if used > MAX_BYTES:
            break
        taken.add((rule_id, *anchor))
        rules[rule_id] = rule
        results.append(entry)
    return list(rules.values()), results


def _rule(rule_id: str, finding: Finding) -> dict[str, Any]:
    severity = view.severity_of(finding)
    about = {"text": _plain(f"{view.cells_of(finding)['what']}. Severity {severity}, from {finding.severity_source}.")}
    score = {"security-severity": _SCORES[severity]} if severity in _SCORES else {}
    url = view.advisory_url(finding.ids[0]) if finding.ids else None
    return {
        "id": rule_id,
        "shortDescription": {"text": _plain(finding.title) or rule_id},
        "fullDescription": about,
        "help": about,
        "defaultConfiguration": {"level": _LEVELS.get(severity, "note")},
        "properties": {"tags": ["security"], **score},
        **({"helpUri": url} if url else {}),
    }


def _result(finding: Finding, waiver: WaivedFinding | None) -> dict[str, Any]:
    cells = view.cells_of(finding)
    title = clean(cells.pop("what"), 150)
    words = "; ".join(f"{name}: {clean(text, 100)}" for name, text in cells.items() if text)
    message = f"{f'Waived until {waiver.expires}: ' if waiver else ''}{title}. {words}."
    entry: dict[str, Any] = {
        "level": _LEVELS.get(cells["severity"], "note"),
        "message": {"text": _plain(message)},
        "locations": [_location(place) for place in finding.locations[:MAX_LOCATIONS] or (Location("", None),)],
    }
    if waiver:
        reason = f"{waiver.reason} (approved by {waiver.approver}, until {waiver.expires}, {waiver.ticket})"
        entry["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _plain(reason)}]
    return entry


def _location(place: Location) -> dict[str, Any]:
    """Give `place` as a file and line; what is no file of the repository, such as a URL, stands in the message."""
    line = place.line or 1
    path = _NO_PLACE if "://" in place.path else place.path.lstrip("/")[:1_000] or _NO_PLACE
    region = {"startLine": line, "startColumn": 1, "endLine": line, "endColumn": 2}
    return {"physicalLocation": {"artifactLocation": {"uri": view.url_path(path)}, "region": region}}


def _notifications(verdict: Verdict, total: int, kept: int) -> list[dict[str, Any]]:
    cut = f"{kept} of {total} findings are here, the worst ones; all are in result.json of the run."
    rows = [("warning", "cut", cut)] if kept < total else []
    rows += [("warning", "looser-than-default", text) for text in view.looser(verdict)]
    for reason in verdict.reasons:
        level = "note" if reason.kind == "failed" else "error"
        rows.append((level, reason.code, f"{reason.message} - next: {reason.next_step}"))
    rows += [("warning", "warning", text) for text in verdict.warnings]
    if len(rows) > MAX_NOTIFICATIONS:
        more = f"{len(rows) - MAX_NOTIFICATIONS:,} more reasons and warnings are in verdict.json of the run."
        rows[MAX_NOTIFICATIONS:] = [("warning", "cut", more)]
    return [
        {"level": level, "descriptor": {"id": clean(code, 100)}, "message": {"text": _plain(text)}}
        for level, code, text in rows
    ]


def _plain(text: str) -> str:
    """Give `text` within the hosts' limits, with no link of SARIF's own `[words](target)` form in it."""
    return clean(text, MAX_TEXT).replace("](", "] (")
