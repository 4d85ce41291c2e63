"""What a check says on the screen: plain text that no terminal, markup or CI runner takes for anything else."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from truegate.model import Finding, Result, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_FINDINGS = 10
MAX_LINES = 20
MIN_WIDTH = 40
WAYS = {"direct": "direct", "not known": "via ?"}


def render_screen(
    verdict: Verdict, result: Result, seconds: float, run_folder: str, report_path: str, width: int
) -> str:
    """Give the text for a screen of `width` columns; the last two lines are never wrapped or cut."""
    width = max(width, MIN_WIDTH)
    reasons = [
        line
        for reason in verdict.reasons[:MAX_LINES]
        for line in (f"{reason.kind}: {clean(reason.message)}", f"  next: {clean(reason.next_step)}")
    ]
    remarks = [*result.notes[1:], *(f"warning: {text}" for text in verdict.warnings)]
    blocks = [
        _wrap(map(clean, result.notes[:1]), width),
        _criteria(verdict, width),
        _wrap(reasons, width) + _more(len(verdict.reasons) - MAX_LINES, "reasons"),
        _findings(result, verdict, width),
        _wrap(map(clean, remarks[:MAX_LINES]), width) + _more(len(remarks) - MAX_LINES, "remarks"),
        [
            f"{clean(verdict.check)} {clean(view.status_line(verdict))} {seconds:.1f}s {clean(run_folder, 4_000)}",
            f"report {clean(report_path, 4_000)}",
        ],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _criteria(verdict: Verdict, width: int) -> list[str]:
    if not verdict.criteria:
        return []
    rows = [
        [
            _cell(outcome.id, 34),
            _cell(view.limit_of(outcome), 24),
            _cell(view.measured_of(outcome), 14),
            view.status_of(outcome),
        ]
        for outcome in verdict.criteria[: 2 * MAX_LINES]
    ]
    looser = [
        f"looser than the default: {clean(item.id)} {clean(view.limit_of(item))}"
        for item in verdict.criteria
        if item.looser_than_default
    ]
    lines = _table(rows, "simple", ["criterion", "limit", "measured", "status"])
    lines += _more(len(verdict.criteria) - len(rows), "criteria") + _wrap(looser[:MAX_LINES], width)
    return lines + _more(len(looser) - MAX_LINES, "criteria looser than the default")


def _findings(result: Result, verdict: Verdict, width: int) -> list[str]:
    waived = {waiver.identity for waiver in verdict.waived}
    open_ones = [finding for finding in view.worst_first(result, verdict) if finding.identity not in waived]
    if not result.findings:
        return []
    title = f"findings: {len(open_ones):,}, worst first; waived: {len(result.findings) - len(open_ones):,}"
    lines = _table(map(_finding, open_ones[:MAX_FINDINGS]), "plain") if open_ones else []
    shown = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
    return [title, *shown, *_more(len(open_ones) - MAX_FINDINGS, "findings")]


def _finding(finding: Finding) -> list[str]:
    package = f"{view.package_name(finding.package)} {view.versions(finding)}".strip()
    fixed = finding.upgrade_to or ", ".join(finding.fixed_in[:2])
    fix = "remove it" if finding.malware else f"-> {fixed}" if fixed else "no fix"
    way = view.way_in(finding)
    return [
        _cell(view.severity_of(finding), 10),
        _cell(finding.ids[0] if finding.ids else finding.identity, 24),
        _cell(package or (view.place_of(finding.locations[0]) if finding.locations else ""), 30),
        _cell(fix, 18),
        _cell(("dev, " if finding.scope == "dev" else "") + WAYS.get(way, f"via {way}"), 60),
    ]


def _cell(value: object, width: int) -> str:
    text = clean(value).replace("|", "\\|")
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _table(rows: Iterable[list[str]], style: str, headers: Iterable[str] = ()) -> list[str]:
    from tabulate import tabulate

    table = tabulate(list(rows), headers=list(headers), tablefmt=style, disable_numparse=True)
    return [line.rstrip() for line in table.splitlines()]


def _wrap(lines: Iterable[str], width: int) -> list[str]:
    indented = (
        (line, " " * (4 + len(line) - len(line.lstrip())))  # a line that goes on stands further in than the next one
        for line in lines
    )
    return [
        piece
        for line, hang in indented
        for piece in textwrap.wrap(line, width, subsequent_indent=hang, break_long_words=False, break_on_hyphens=False)
    ]


def _more(count: int, what: str) -> list[str]:
    return [f"{count:,} more {what} are in the report"] if count > 0 else []
