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
WIDTHS = {"criterion": 34, "limit": 24, "measured": 14, "status": 12}  # of the columns of criteria that we show


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
    criteria = view.criteria(verdict)
    if not criteria.rows:
        return []
    rows = [[_cell(text, WIDTHS[name]) for name, text in zip(criteria.columns, row, strict=True) if name in WIDTHS]
            for row in criteria.rows[: 2 * MAX_LINES]]  # fmt: skip
    looser = view.looser(verdict)
    lines = _table(rows, "simple", WIDTHS) + _more(criteria.total - len(rows), "criteria")
    lines += _wrap(map(clean, looser[:MAX_LINES]), width)
    return lines + _more(len(looser) - MAX_LINES, "criteria looser than the default")


def _findings(result: Result, verdict: Verdict, width: int) -> list[str]:
    if not result.findings:
        return []
    open_ones = view.open_findings(result, verdict)
    title = f"findings: {len(open_ones):,}, worst first; waived: {len(result.findings) - len(open_ones):,}"
    lines = _table(map(_finding, open_ones[:MAX_FINDINGS]), "plain")
    shown = [line if len(line) <= width else f"{line[: width - 1]}…" for line in lines]
    return [title, *shown, *_more(len(open_ones) - MAX_FINDINGS, "findings")]


def _finding(finding: Finding) -> list[str]:
    it = view.cells_of(finding)
    start = [_cell(it["severity"], 10), _cell(it["finding"], 24)]
    if not it["package"]:
        return [*start, _cell(it["where"], 40), _cell(it["what"], 60)]
    fix = "no fix" if it["remedy"] == "no fix known" else it["remedy"].replace("upgrade to", "->")
    way = {"directly": "direct", "not known how": "via ?"}.get(it["brought in"], f"via {it['brought in'][3:]}")
    dev = "dev, " if it["scope"] else ""
    return [*start, _cell(it["package"], 30), _cell(fix, 18), _cell(dev + way, 60)]


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
