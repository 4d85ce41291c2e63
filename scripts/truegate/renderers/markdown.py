"""The summary of one run in Markdown, within what GitHub takes for a job summary."""

from __future__ import annotations

import re

from truegate.model import Meta, Result, Verdict
from truegate.renderers import view
from truegate.renderers.safe import clean

MAX_BYTES = 900 * 1024  # GitHub drops a summary over 1 MiB whole, without failing the job
FINDINGS_BYTES, SECTION_BYTES = 250 * 1024, 60 * 1024  # the other sections are ten at most
_MARKS = {"pass": "✅", "fail": "❌", "inconclusive": "⚠️"}
_CODE = {"package", "where"}  # what one copies, free of the zero-width spaces that keep other text from linking
_PUNCTUATION = re.compile(r"""[\\`*_{}\[\]()<>#+!|~&:@=^$"]|(?i:(?<=www)\.)""")  # that dot would make a link
_REFERENCE = re.compile(r"([@#])(?=\w)")


def render(meta: Meta, result: Result, verdict: Verdict, sections: list[view.Section]) -> bytes:
    """Give summary.md, at most 900 KiB of UTF-8; what it leaves out it says, and where that is."""
    parts = [
        f"## {_MARKS[verdict.status]} {_text(verdict.check)}: {_text(view.status_line(verdict))}\n",
        f"{_text(view.target_of(meta, verdict))} · {' · '.join(view.claims(result, verdict))}\n",
        *(f"**{_text(note)}**\n" for note in result.notes[:1]),
        *map(_section, sections),
        f"To check this verdict against its evidence: {_code(f'inv evidence.verify --run {meta.run_id}')}\n",
    ]
    return "\n".join(parts).encode()


def _section(section: view.Section) -> str:
    """Give as many of the rows as there is room for, and say what is left out."""
    show = [_code if name in _CODE else _text for name in section.columns]
    open_row, close_row, head = "- ", "\n", ""
    if len(section.columns) > 1:
        open_row, close_row = "| ", " |\n"
        head = f"| {' | '.join(section.columns)} |\n|{' --- |' * len(section.columns)}\n"
    lines, room = [], FINDINGS_BYTES if section.title == view.FINDINGS else SECTION_BYTES
    for row in section.rows:
        lines.append(open_row + " | ".join(cell(text) for cell, text in zip(show, row, strict=True)) + close_row)
        room -= len(lines[-1].encode())
        if room < 0:
            lines.pop()
            break
    left = section.left_out(len(lines))
    body = head + "".join(lines) + (f"\n{left}\n" if left else "") if section.rows else f"{section.empty}\n"
    return f"### {section.title}\n\n{body}"


def _text(value: str) -> str:
    """Give outside text with all that Markdown, GitHub or a CI runner gives a meaning to as character references."""
    apart = _REFERENCE.sub("\\1\u200b", clean(value))  # no mention, no link to another issue
    return _PUNCTUATION.sub(_reference, apart)


def _code(value: str) -> str:
    # A <code> element, not back-ticks: inside those a character reference would stay as written.
    return f"<code>{_PUNCTUATION.sub(_reference, clean(value))}</code>" if value else ""


def _reference(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
