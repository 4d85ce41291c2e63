"""The verdict of one run as JUnit: a testcase for the verdict, each reason, criterion, control and proof of looking.

A missed criterion is a failure, one without a limit is skipped, and all that keeps us from saying is an error. GitLab
drops testcases of equal names and takes 30 MB a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET  # we write only; what reads foreign XML is defusedxml

from truegate.model import Meta, Policy, Result, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_CASES = 5_000  # at most some 1.5 KB each: far below 30 MB
MAX_LINES = 100
_TAGS: dict[str, Literal["failure", "error", "skipped"]] = {
    "fail": "failure",
    "inconclusive": "error",
    "not gated": "skipped",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One testcase; `tag` is None when it passed, `lines` say more than `message`."""

    group: str
    name: str
    tag: Literal["failure", "error", "skipped"] | None
    message: str
    lines: tuple[str, ...] = ()


def render(meta: Meta, policy: Policy, result: Result, verdict: Verdict) -> bytes:
    """Give junit.xml; testcases that did not pass come first, and a cut is stated in a property."""
    cases = sorted(_cases(policy, result, verdict), key=lambda case: case.tag is None)
    kept = cases[:MAX_CASES]
    counts = {
        "tests": str(len(kept)),
        "failures": str(sum(case.tag == "failure" for case in kept)),
        "errors": str(sum(case.tag == "error" for case in kept)),
        "skipped": str(sum(case.tag == "skipped" for case in kept)),
        "time": f"{sum(step.seconds for step in meta.steps):.3f}",
    }
    root = ET.Element("testsuites", {"name": "truegate", **counts})
    suite = ET.SubElement(
        root, "testsuite", {"name": clean(meta.check), "timestamp": clean(meta.generated_at), **counts}
    )
    properties = ET.SubElement(suite, "properties")
    facts = {"run_id": meta.run_id, "status": view.status_line(verdict), "target": meta.target.name}
    facts |= {"left_out": f"{len(cases) - len(kept)} testcases that passed"} if len(cases) > len(kept) else {}
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": name, "value": clean(value)})
    seen: Counter[tuple[str, str]] = Counter()
    for case in kept:
        _append(suite, meta.check, case, seen)
    ET.indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _append(suite: ET.Element, check: str, case: Case, seen: Counter[tuple[str, str]]) -> None:
    name = clean(case.name, 200)
    seen[case.group, name] += 1
    if seen[case.group, name] > 1:
        name = f"{name} ({seen[case.group, name]})"
    classname = f"{clean(check)}.{case.group}"
    element = ET.SubElement(suite, "testcase", {"classname": classname, "name": name, "time": "0"})
    body = "\n".join(clean(line) for line in case.lines[:MAX_LINES])
    if case.tag:
        ET.SubElement(element, case.tag, {"message": clean(case.message), "type": case.group}).text = body
    else:
        ET.SubElement(element, "system-out").text = "\n".join(filter(None, (clean(case.message), body)))


def _cases(policy: Policy, result: Result, verdict: Verdict) -> Iterator[Case]:
    yield Case("verdict", verdict.check, _TAGS.get(verdict.status), view.status_line(verdict), _story(result, verdict))
    for reason in verdict.reasons:
        if reason.kind != "failed":  # a missed criterion has its own testcase
            yield Case("reasons", reason.code, "error", reason.message, (f"next: {reason.next_step}",))
    next_steps = {criterion.id: criterion.next_step for criterion in policy.criteria}
    for outcome in verdict.criteria:
        looser = ("looser than the default",) if outcome.looser_than_default else ()
        message = f"measured {view.measured_of(outcome)}, limit {view.limit_of(outcome)}"
        lines = (*looser, f"next: {next_steps[outcome.id]}") if outcome.id in next_steps else looser
        yield Case("criteria", outcome.id, _TAGS.get(view.status_of(outcome)), message, lines)
    for control in result.controls:
        message = f"{control.seen} seen of {control.planted} planted, at least {control.expected} expected"
        yield Case("controls", control.id, None if control.seen >= control.expected else "error", message)
    for looked in result.looked:
        message = f"{looked.seen} {looked.unit} seen, at least {looked.minimum} expected"
        yield Case("looked", looked.id, None if looked.seen >= looked.minimum else "error", message)


def _story(result: Result, verdict: Verdict) -> tuple[str, ...]:
    waived = {waiver.identity: waiver for waiver in verdict.waived}
    lines = [*result.notes, *(f"{reason.message} next: {reason.next_step}" for reason in verdict.reasons[:20])]
    lines += [f"warning: {text}" for text in verdict.warnings[:20]]
    findings = view.worst_first(result, verdict)
    for finding in findings[:20]:
        name = f"{view.severity_of(finding)} {', '.join(finding.ids[:4])} {view.package_name(finding.package)}"
        waiver = waived.get(finding.identity)
        mark = f" (waived until {waiver.expires} by {waiver.approver}: {waiver.reason})" if waiver else ""
        lines.append(f"{name} {view.versions(finding)}{mark}")
    if findings[20:]:
        lines.append(f"{len(findings) - 20} more findings are in result.json of the run")
    lines += [f"not looked at: {text}" for text in result.not_looked[:20]]
    return tuple(lines)
