"""The Markdown summary: within GitHub's limit, and no outside text becomes markup."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest
import test_renderers as samples  # type: ignore[import-not-found]
from markdown_it import MarkdownIt

from truegate.model import Reason
from truegate.renderers import render_all

OURS = {"h2", "h3", "p", "strong", "ul", "li", "code", "table", "thead", "tbody", "tr", "th", "td"}


class Reader(HTMLParser):
    """Collects the tags, and the text inside and outside of code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.rows = 0
        self.cells: list[int] = []
        self.prose = ""
        self.code = ""
        self._in_code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name != "style" or tag not in {"th", "td"}]
        self.tags.add(tag)
        self._in_code += tag == "code"
        if tag == "tr":
            self.cells.append(0)
        if tag in {"td", "th"}:
            self.cells[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        self._in_code -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.code += data
        else:
            self.prose += data


def summary_of(*run: object) -> bytes:
    summary: bytes = render_all(*run)["summary.md"]  # type: ignore[arg-type]
    return summary


def read(summary: bytes) -> Reader:
    reader = Reader()
    # html as GitHub has it: a tag that got through would become one
    reader.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(summary.decode()))
    return reader


def test_a_failed_run_reads_top_down() -> None:
    text = summary_of(*samples.sample_run("fail")).decode()
    order = [
        "security.sca: fail",
        "rests on private",
        "Why, and",
        "Acceptance",
        "Findings",
        "Waived",
        "Controls",
        "Not ",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    reader = read(text.encode())
    assert reader.tags == OURS
    assert "lodash 4.17.4" in reader.code
    assert "@babel/traverse 7.22.0" in reader.code
    assert "looser than the default (48)" in reader.prose
    assert reader.prose.count("CVE-2024-22195") == 1  # waived, so in the table of waivers alone
    assert "legacy/**: not deployed (excluded by Ada Lovelace" in reader.prose


@pytest.mark.parametrize("text", samples.HOSTILE)
def test_outside_text_becomes_neither_markup_nor_mention_nor_link(text: str) -> None:
    summary = summary_of(*samples.poisoned_run(text))
    reader = read(summary)
    clean_run = read(summary_of(*samples.sample_run("fail")))
    assert reader.tags <= OURS
    assert len(reader.cells) == len(clean_run.cells)
    assert sorted(reader.cells) == sorted(clean_run.cells)
    assert not re.search(r"[@#]\w", reader.prose)
    source = summary.decode()
    assert "@" not in source
    assert "`" not in re.sub(r"`[a-z ]+\.json`", "", source)
    assert not re.search(r"https?:|www\.|::", source)


def test_what_is_neutralised_can_still_be_read() -> None:
    reader = read(summary_of(*samples.poisoned_run("<b>a|b</b> [x](y) `c` ::d *e*")))
    assert "<b>a|b</b> [x](y) `c` : :d *e*" in reader.prose
    assert "<b>a|b</b> [x](y) `c` : :d *e*" in reader.code


@pytest.mark.parametrize("title", ["x" * 80, "|<>&" * 200, "\U0001f642" * 300])
def test_stays_within_the_limit_in_bytes_and_says_what_is_left_out(title: str) -> None:
    meta, policy, _, verdict = samples.sample_run()
    flood = tuple(Reason(f"code {i}", "failed", title, title) for i in range(3_000))
    criteria = verdict.criteria * 1_000
    loud = dataclasses.replace(
        verdict, reasons=flood, criteria=criteria, warnings=(title,) * 3_000, waived=verdict.waived * 3_000
    )
    result = dataclasses.replace(samples.many(3_000, title), not_looked=(title,) * 3_000)
    summary = summary_of(meta, policy, result, loud)
    assert len(summary) <= 900 * 1024
    left_out = re.findall(r"([\d,]+) of ([\d,]+) are left out", summary.decode())
    assert len(left_out) == 6
    assert {total for _, total in left_out} == {"3,000", "3,001", "5,000"}
    rows = re.findall(r"^\| (critical|high|medium|unknown|low|info) \|", summary.decode(), re.MULTILINE)
    assert set(rows) == {"critical"}
    assert len(rows) == 3_000 - next(int(left.replace(",", "")) for left, _ in left_out[2:3])
