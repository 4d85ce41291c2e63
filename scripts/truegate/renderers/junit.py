"""The verdict of one run as JUnit: a testcase for the verdict, for each criterion, and for each other reason.

A missed criterion is a failure, one without a limit is skipped, and all that keeps us from saying is an error. GitLab
drops testcases of equal names and takes 30 MB a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree as ET  # we write only; what reads foreign XML is defusedxml

from truegate.model import Meta, Result, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_CASES = 5_000  # at most some 1.5 KB each: far below 30 MB
MAX_LINES = 20
_TAGS = {"fail": "failure", "inconclusive": "error", "not gated": "skipped"}


class Case(NamedTuple):
    """One testcase; `tag` is None when it passed, `lines` say more than `message`."""

    group: str
    name: str
    tag: str | None
    message: str
    lines: list[str]


def render(meta: Meta, result: Result, verdict: Verdict, sections: list[view.Section]) -> bytes:
    """Give junit.xml; testcases that did not pass come first, and a property says what is left out."""
    cases = sorted(_cases(result, verdict, sections), key=lambda case: case.tag is None)
    kept = cases[:MAX_CASES]
    tags = Counter(case.tag for case in kept)
    counts = {"tests": str(len(kept)), "time": f"{sum(step.seconds for step in meta.steps):.3f}"}
    counts |= {"failures": str(tags["failure"]), "errors": str(tags["error"]), "skipped": str(tags["skipped"])}
    root = ET.Element("testsuites", {"name": "truegate", **counts})
    about = {"name": clean(meta.check), "timestamp": clean(meta.generated_at)}
    suite = ET.SubElement(root, "testsuite", {**about, **counts})
    properties = ET.SubElement(suite, "properties")
    left_out = "all but the worst findings, controls and proofs of looking: see index.html beside this file"
    if len(cases) > len(kept):
        left_out = f"{len(cases) - len(kept):,} of {len(cases):,} testcases; {left_out}"
    facts = {"run_id": meta.run_id, "status": view.status_line(verdict), "target": meta.target.name}
    for name, value in {**facts, "left_out": left_out}.items():
        ET.SubElement(properties, "property", {"name": name, "value": clean(value)})
    seen: Counter[tuple[str, str]] = Counter()
    for case in kept:
        name = clean(case.name, 200)
        seen[case.group, name] += 1
        name += f" ({seen[case.group, name]})" if seen[case.group, name] > 1 else ""
        classname = f"{clean(meta.check)}.{case.group}"
        element = ET.SubElement(suite, "testcase", {"classname": classname, "name": name, "time": "0"})
        lines = case.lines if case.tag else [case.message, *case.lines]
        attributes = {"message": clean(case.message), "type": case.group} if case.tag else {}
        body = ET.SubElement(element, case.tag or "system-out", attributes)
        body.text = "\n".join(clean(line) for line in lines if line)
    ET.indent(root)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode").encode() + b"\n"


def _cases(result: Result, verdict: Verdict, sections: list[view.Section]) -> Iterator[Case]:
    lines = [*result.notes[:1], *view.looser(verdict), *verdict.warnings[:MAX_LINES]]
    for section in (it for it in sections if it.title in {view.FINDINGS, view.WAIVED}):
        shown = section.rows[:MAX_LINES]
        lines += [section.title] if shown else []
        for row in shown:
            lines.append(", ".join(f"{name} {text}" for name, text in zip(section.columns, row, strict=True) if text))
        lines.append(section.left_out(len(shown)))
    yield Case("verdict", verdict.check, _TAGS.get(verdict.status), view.status_line(verdict), lines)
    why: dict[str, list[str]] = {outcome.id: [] for outcome in verdict.criteria if outcome.status != "pass"}
    for reason in verdict.reasons:
        if reason.code in why:  # a missed criterion has one testcase, by one name in every run
            why[reason.code] += [reason.message, f"next: {reason.next_step}"]
        else:
            tag = "failure" if reason.kind == "failed" else "error"
            yield Case("reasons", reason.code, tag, reason.message, [f"next: {reason.next_step}"])
    for outcome in verdict.criteria:
        message = f"measured {view.known(outcome.measured)}, limit {view.limit_of(outcome)}"
        yield Case("criteria", outcome.id, _TAGS.get(view.status_of(outcome)), message, why.get(outcome.id, []))
