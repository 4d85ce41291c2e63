"""The findings of one run as SARIF 2.1.0, within what GitHub and GitLab keep.

Limits: docs.github.com "SARIF support for code scanning", docs.gitlab.com "SARIF reports". GitLab skips a result with a
text over its limit and takes 10 MB in all, GitHub keeps 5,000 results which need not be the worst: so we cut ourselves.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from truegate.model import Finding, Location, Meta, Policy, Result, Verdict, WaivedFinding
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_RESULTS = 5_000
MAX_BYTES = 9_500_000  # before compression, so under both hosts' 10 MB whichever way they count
MAX_LOCATIONS = 10
MAX_TAGS = 10
MAX_TEXT = 500  # characters; the hosts' 1,024 may count UTF-16 units
_LEVELS = {"critical": "error", "high": "error", "medium": "warning", "unknown": "warning", "malware": "error"}
# The hosts' bands: over 9.0 critical, 7.0 high, 4.0 medium, 0.1 low, 0.0 none. Unknown stays unknown: no score.
_SCORES = {"malware": 10.0, "critical": 9.5, "high": 8.0, "medium": 5.5, "low": 2.0, "info": 0.0}
_NO_PLACE = Location("truegate.toml", None)  # an upload without a file of the repository is refused


def render(meta: Meta, policy: Policy, result: Result, verdict: Verdict) -> bytes:
    """Give results.sarif, worst first; a cut is stated as a notification of the tool."""
    findings = view.worst_first(result, verdict)
    rules, results = _results(findings, {waiver.identity: waiver for waiver in verdict.waived})
    category = "/".join(filter(None, ["truegate", meta.check, meta.target.name, meta.profile]))
    run = {
        "tool": {
            "driver": {
                "name": "Truegate",
                "organization": "Truegate",
                "version": clean(meta.kit_version, 100),
                "rules": rules,
            },
            "extensions": _tools(meta),
        },
        "automationDetails": {"id": f"{clean(category)}/{clean(meta.run_id, 100)}"},
        "invocations": [
            {
                "executionSuccessful": verdict.status != "inconclusive",
                "startTimeUtc": clean(meta.generated_at),
                **({"endTimeUtc": clean(meta.finished_at)} if meta.finished_at else {}),
                "toolExecutionNotifications": _notifications(policy, verdict, len(findings), len(results)),
            }
        ],
        "columnKind": "utf16CodeUnits",
        "results": results,
        "properties": {"status": clean(view.status_line(verdict)), "owner": clean(verdict.owner)},
    }
    log = {"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]}
    return _compact(log)


def _compact(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _results(
    findings: list[Finding], waivers: dict[str, WaivedFinding]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    positions: dict[str, int] = {}
    rules: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    taken: set[tuple[str, str, int]] = set()
    used = 200_000  # bytes left for all that is not a rule or a result
    for finding in findings[:MAX_RESULTS]:
        digest = hashlib.sha256(finding.identity.encode("utf-8", "surrogatepass")).hexdigest()
        rule_id = clean(finding.ids[0] if finding.ids else finding.identity, 200)
        anchor = (finding.locations or (_NO_PLACE,))[0]
        if (rule_id, anchor.path, anchor.line or 1) in taken:  # GitLab would drop the second of a rule on a line
            rule_id = f"{rule_id}/{digest[:8]}"
        new_rules = [] if rule_id in positions else [_rule(rule_id, finding)]
        waiver = waivers.get(finding.identity)
        entry = _result(finding, waiver) | {
            "ruleId": rule_id,
            "ruleIndex": positions.setdefault(rule_id, len(rules)),
            "partialFingerprints": {"primaryLocationLineHash": f"{digest[:16]}:1"},
        }
        used += sum(len(_compact(item)) + 1 for item in (*new_rules, entry))
        if used > MAX_BYTES:
            break
        taken.add((rule_id, anchor.path, anchor.line or 1))
        rules += new_rules
        results.append(entry)
    return rules, results


def _rule(rule_id: str, finding: Finding) -> dict[str, Any]:
    severity = view.severity_of(finding)
    title = _plain(finding.title) or rule_id
    known = [name.lower() for name in finding.ids if view.advisory_url(name) or name.upper().startswith("CWE-")]
    tags = dict.fromkeys(["security", severity, *(clean(name, 60) for name in known)])
    properties: dict[str, Any] = {"tags": list(tags)[:MAX_TAGS]}
    if severity in _SCORES:
        properties["security-severity"] = str(_SCORES[severity])
    also = f" Also known as {', '.join(finding.ids[1:5])}." if finding.ids[1:] else ""
    rule = {
        "id": rule_id,
        "name": rule_id,
        "shortDescription": {"text": title},
        "fullDescription": {"text": _plain(f"{title}.{also}")},
        "help": {"text": _plain(f"{_remedy(finding)} Severity {severity}, from {finding.severity_source}.{also}")},
        "defaultConfiguration": {"level": _LEVELS.get(severity, "note")},
        "properties": properties,
    }
    url = view.advisory_url(finding.ids[0]) if finding.ids else None
    return rule | ({"helpUri": url} if url else {})


def _result(finding: Finding, waiver: WaivedFinding | None) -> dict[str, Any]:
    severity = view.severity_of(finding)
    package = f"{view.package_name(finding.package)} {view.versions(finding)}".strip()
    name = package or finding.identity
    prefix = f"Waived until {waiver.expires}: " if waiver else ""
    more = len(finding.locations) - MAX_LOCATIONS
    left_out = f" In {more} more places, see result.json." if more > 0 else ""
    message = (
        f"{prefix}{name} ({finding.scope}, {severity}): {clean(finding.title, 200)}. {_remedy(finding)} "
        f"Brought in by: {view.way_in(finding)}.{left_out}"
    )
    places = finding.locations[:MAX_LOCATIONS] or (_NO_PLACE,)
    entry: dict[str, Any] = {
        "level": _LEVELS.get(severity, "note"),
        "message": {"text": _plain(message)},
        "locations": [_location(place) for place in places],
        "properties": {"scope": finding.scope, "severity": severity},
    }
    if severity in _SCORES:
        entry["rank"] = _SCORES[severity] * 10
    if waiver:
        ticket = f", {waiver.ticket}" if waiver.ticket else ""
        reason = f"{waiver.reason} (approved by {waiver.approver}, until {waiver.expires}{ticket})"
        entry["suppressions"] = [{"kind": "external", "status": "accepted", "justification": _plain(reason)}]
    return entry


def _remedy(finding: Finding) -> str:
    if finding.malware:
        return "Remove the package: it is hostile as a whole."
    if finding.upgrade_to:
        return f"Upgrade to {clean(finding.upgrade_to, 100)}."
    return f"Fixed in {clean(', '.join(finding.fixed_in), 100)}." if finding.fixed_in else "No fixed version is known."


def _location(place: Location) -> dict[str, Any]:
    line = place.line or 1
    region = {"startLine": line, "startColumn": 1, "endLine": line, "endColumn": 2}
    uri = view.url_path(place.path.lstrip("/")[:1_000] or _NO_PLACE.path)
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": region}}
    if place.line is None:
        location["message"] = {"text": "The line in this file is not known."}
    return location


def _tools(meta: Meta) -> list[dict[str, Any]]:
    tools = dict.fromkeys((clean(step.tool, 100), clean(step.tool_version, 100)) for step in meta.steps)
    return [{"name": name, "version": version} for name, version in list(tools)[:100]]


def _notifications(policy: Policy, verdict: Verdict, total: int, kept: int) -> list[dict[str, Any]]:
    defaults = {criterion.id: criterion.default for criterion in policy.criteria}
    rows = [
        ("note" if reason.kind == "failed" else "error", reason.code, f"{reason.message} - next: {reason.next_step}")
        for reason in verdict.reasons
    ]
    rows += [
        ("warning", "looser-than-default", f"{item.id} {view.limit_of(item)}; the default is {defaults.get(item.id)}")
        for item in verdict.criteria
        if item.looser_than_default
    ]
    rows += [("warning", "warning", text) for text in verdict.warnings]
    if kept < total:
        cut = f"{kept} of {total} findings are here, the worst ones; all are in result.json of the run."
        rows.insert(0, ("warning", "cut", cut))
    return [
        {"level": level, "descriptor": {"id": clean(code, 100)}, "message": {"text": _plain(text)}}
        for level, code, text in rows[:100]
    ]


def _plain(text: str) -> str:
    """Give `text` within the hosts' limits, with no link of SARIF's own `[words](target)` form in it."""
    return clean(text, MAX_TEXT).replace("](", "] (")
