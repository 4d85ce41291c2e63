"""The summary of one run in Markdown, within what GitHub takes for a job summary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from truegate.model import Finding, Meta, Policy, Result, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_BYTES = 900 * 1024  # GitHub drops a summary over 1 MiB whole, without failing the job
SECTION_BYTES = 60 * 1024  # for each section but the findings, which take what is left
_MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}
_PUNCTUATION = re.compile(r"""[\\`*_{}\[\]()<>#+!|~&:@=^$"]|(?i:(?<=www)\.)""")  # that dot would make a link
_REFERENCE = re.compile(r"([@#])(?=\w)")


def render(meta: Meta, policy: Policy, result: Result, verdict: Verdict) -> bytes:
    """Give summary.md, at most 900 KiB of UTF-8; what it leaves out it says, and where that is."""
    target = f"{meta.target.name} {view.version_of(meta, verdict)}"
    head = [
        f"## {_MARKS[verdict.status]} {_text(verdict.check)}: {_text(view.status_line(verdict))}\n",
        f"{_text(target)} · {' · '.join(view.claims(result, verdict))}\n",
        *(f"**{_text(note)}**\n" for note in result.notes[:1]),
    ]
    reasons = [f"**{it.kind}**: {_text(it.message)}<br>Next: {_text(it.next_step)}" for it in verdict.reasons]
    remarks = [_text(text) for text in (*verdict.warnings, *result.notes[1:])]
    before = [*head, _bullets("Why, and what to do next", reasons), _criteria(policy, verdict)]
    after = [
        _waived(verdict),
        *_proofs(result),
        _bullets("Not looked at", [_text(text) for text in (*result.not_looked, *view.exclusions(policy))]),
        _bullets("Worth knowing", remarks),
        f"To check this verdict against its evidence: {_code(f'inv evidence.verify --run {meta.run_id}')}\n",
    ]
    room = MAX_BYTES - sum(len(part.encode()) + 1 for part in (*before, *after))
    return "\n".join(filter(None, (*before, _findings(result, verdict, room), *after))).encode()


def _criteria(policy: Policy, verdict: Verdict) -> str:
    defaults = {criterion.id: criterion.default for criterion in policy.criteria}
    rows = [
        (it.id, view.limit_of(it), view.measured_of(it), view.status_of(it))
        + ((f"looser than the default ({defaults.get(it.id)})",) if it.looser_than_default else ("",))
        for it in verdict.criteria[: view.MAX_SHOWN]
    ]
    return _table("Acceptance criteria", "criterion|limit|measured|status|", rows, len(verdict.criteria))


def _findings(result: Result, verdict: Verdict, room: int) -> str:
    waived = {waiver.identity for waiver in verdict.waived}
    findings = [it for it in view.worst_first(result, verdict) if it.identity not in waived]
    columns = "severity|finding|package|upgrade to|brought in by|where|title"
    rows = [_finding(it) for it in findings[: view.MAX_SHOWN]]
    return _table("Findings, worst first", columns, rows, len(findings), room)


def _finding(it: Finding) -> tuple[object, ...]:
    package = f"{view.package_name(it.package)} {view.versions(it)}"
    fix = it.upgrade_to or ", ".join(it.fixed_in) or "no fix known"
    where = view.place_of(it.locations[0]) if it.locations else ""
    return view.severity_of(it), ", ".join(it.ids[:4]), package, fix, view.way_in(it), where, it.title


def _waived(verdict: Verdict) -> str:
    rows = [
        (
            ", ".join(it.ids[:4]),
            it.severity,
            view.package_name(it.package),
            it.expires,
            it.approver,
            it.reason,
            it.ticket,
        )
        for it in verdict.waived[: view.MAX_SHOWN]
    ]
    return _table("Waived", "finding|severity|package|until|approver|reason|ticket", rows, len(verdict.waived))


def _proofs(result: Result) -> list[str]:
    measured = [
        (it.id, "not known" if it.value is None else it.value, it.unit, it.reason or "") for it in result.measurements
    ]
    controls = [
        (it.id, it.planted, it.expected, it.seen, "caught" if it.seen >= it.expected else "missed")
        for it in result.controls
    ]
    looked = [(it.id, it.seen, it.minimum, it.unit) for it in result.looked]
    return [
        _table("Measurements", "measurement|value|unit|remark", measured, len(measured)),
        _table("Controls", "control|planted|expected|seen|outcome", controls, len(controls)),
        _table("Proof of looking", "what|seen|at least|unit", looked, len(looked)),
    ]


def _table(title: str, columns: str, rows: Sequence[tuple[object, ...]], total: int, room: int = SECTION_BYTES) -> str:
    names = columns.split("|")
    # what one copies from is code, free of the zero-width spaces that keep other text from linking
    show = [_code if name in {"package", "where"} else _text for name in names]
    lines = ["| " + " | ".join(cell(value) for cell, value in zip(show, row, strict=True)) + " |" for row in rows]
    head = f"| {' | '.join(names)} |\n|{' --- |' * len(names)}\n"
    return _section(title, head, lines, total, room)


def _bullets(title: str, texts: Sequence[str]) -> str:
    return _section(title, "", [f"- {text}" for text in texts[: view.MAX_SHOWN]], len(texts), SECTION_BYTES)


def _section(title: str, head: str, lines: Sequence[str], total: int, room: int) -> str:
    """Give as many of the lines as `room` bytes hold, and say how many of `total` are left out; "" for none."""
    kept, used = 0, len(title) + len(head) + 200  # 200 for the note
    for line in lines:
        used += len(line.encode()) + 1
        if used > room:
            break
        kept += 1
    left = f"\n{total - kept:,} of {total:,} are left out here; the run's JSON files have them all.\n"
    body = "".join(f"{line}\n" for line in lines[:kept]) + (left if kept < total else "")
    return f"### {title}\n\n{head}{body}" if total else ""


def _text(value: object) -> str:
    """Give outside text with all that Markdown, GitHub or a CI runner gives a meaning to as character references."""
    apart = _REFERENCE.sub("\\1\u200b", clean(value))  # no mention, no link to another issue
    return _PUNCTUATION.sub(_reference, apart)


def _code(value: object) -> str:
    # A <code> element, not back-ticks: inside those a character reference would stay as written.
    return f"<code>{_PUNCTUATION.sub(_reference, clean(value))}</code>"


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
