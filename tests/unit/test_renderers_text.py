"""The screen of a check, and the cleaning of text that every report rests on."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
import test_renderers as samples  # type: ignore[import-not-found]
from rich.console import Console
from rich.text import Text

from truegate.model import Location
from truegate.renderers.safe import clean
from truegate.renderers.text import render_screen

FOLDER = f"evidence/security/sca/{samples.RUN_ID}"
REPORT = f"reports/security/sca/{samples.RUN_ID}/index.html"


def screen(run: samples.Run, width: int = 80) -> str:
    _, _, result, verdict = run
    return render_screen(verdict, result, 1.26, FOLDER, REPORT, width)


def test_the_whole_screen_of_a_failed_run_fits_eighty_columns() -> None:
    text = screen(samples.sample_run("fail"))
    assert (
        text
        == f"""\
This verdict rests on private advisories alone.

criterion             limit          measured    status
--------------------  -------------  ----------  ---------
critical at run time  <= 0 findings  1           fail
high at run time      <= 0 findings  0           pass
malware               <= 0 findings  1           fail
medium at run time    no limit       1           not gated
age of advisory data  <= 168 hours   5.2         pass
looser than the default: age of advisory data <= 168 hours

failed: 1 critical finding at run time, at most 0 are allowed
  next: upgrade lodash
failed: 1 hostile package: reqeusts 2.0.1
  next: remove it and rotate every secret
incomplete: tools/package.json has no lockfile
  next: run npm install in tools/

findings: 4, worst first; waived: 1
malware   MAL-2024-1234   reqeusts 2.0.1          remove it   dev, via ?
critical  CVE-2019-10744  lodash 4.17.4           -> 4.17.21  via express-sessi…
high      CVE-2023-45133  @babel/traverse 7.22.0  -> 7.23.2   dev, direct
medium    CVE-2020-28500  lodash 4.17.4           -> 4.17.21  via express-sessi…

web/.trivyignore was found and not obeyed
warning: waivers.toml:9 is not used by any finding

security.sca fail 1.3s {FOLDER}
report {REPORT}
"""
    )
    assert max(map(len, text.splitlines())) <= 80


def test_a_criterion_that_could_not_be_told_says_so_in_full() -> None:
    text = screen(samples.sample_run("inconclusive"))
    assert len(re.findall(r"not known +inconclusive$", text, re.MULTILINE)) == 4
    assert "findings" not in text.partition("unreliable: ")[2]


def test_what_has_no_package_is_listed_by_its_place() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    place = (Location("https://staging.example/search", None),)
    flaw = samples.finding(1, ids=("zap-40012",), package=None, locations=place, fixed_in=(), upgrade_to=None)
    text = screen((meta, policy, dataclasses.replace(result, findings=(flaw,)), verdict))
    assert "high  zap-40012  https://staging.example/search  Prototype pollution number 1\n" in text


def test_last_two_lines_carry_the_qualifier_and_are_never_wrapped() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    external = dataclasses.replace(verdict, qualifier="external, no control")
    folder, report = "evidence/" + "deep/" * 40 + "run", "reports/" + "deep/" * 40 + "index.html"
    lines = render_screen(external, result, 12, folder, report, 40).splitlines()
    assert lines[-2:] == [f"security.sca pass (external, no control) 12.0s {folder}", f"report {report}"]
    assert meta.check == policy.check == external.check


def test_only_ten_findings_are_listed_one_line_each_the_worst() -> None:
    meta, policy, _, verdict = samples.sample_run()
    text = screen((meta, policy, samples.many(600), verdict))
    listed = [line for line in text.splitlines() if "CVE-2020-" in line]
    assert len(listed) == 10
    assert all(line.startswith("critical") for line in listed)
    assert "590 more findings are in the report" in text


def test_thousands_of_reasons_do_not_flood_the_screen() -> None:
    meta, policy, result, verdict = samples.sample_run()
    flood = dataclasses.replace(verdict, reasons=verdict.reasons * 1_000, criteria=verdict.criteria * 1_000)
    text = screen((meta, policy, result, flood))
    assert len(text.splitlines()) < 140
    assert "2,980 more reasons are in the report" in text
    assert "4,960 more criteria are in the report" in text


@pytest.mark.parametrize("text", [*samples.HOSTILE, samples.LONG])
@pytest.mark.parametrize("width", [0, 80, 120])
def test_no_outside_text_steers_terminal_or_runner(text: str, width: int) -> None:
    shown = screen(samples.poisoned_run(text), width)
    assert not samples.STEERS.search(shown)
    assert not re.search(r"^\s*::|##\w*\[", shown, re.MULTILINE)
    assert len(shown) < 60_000
    table = shown.partition("criterion ")[2].partition("looser than")[0]
    assert "---" in table
    assert not re.search(r"(?<!\\)\|", table)


def test_markup_reaches_the_screen_as_it_is_written() -> None:
    shown = screen(samples.poisoned_run(samples.HOSTILE[1]))
    assert "[bold]rich[/bold] [/etc/passwd]" in shown
    out = io.StringIO()
    Console(file=out, width=10_000, force_terminal=False).print(Text(shown))
    assert "[bold]rich[/bold] [/etc/passwd]" in out.getvalue()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 日本語 and émoji 🙂", "plain words, 日本語 and émoji 🙂"),
        ("two\nlines\tand\r\nmore", "two lines and more"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("c1 \x9b2J", "c1 \\x9b2J"),
        ("a\u202eb\u2066c\u200bd\ufeff", "a\\u202eb\\u2066c\\u200bd\\ufeff"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("lone \udc80", "lone \\udc80"),
        ("nul \x00 \ufffe", "nul \\x00 \\ufffe"),
        ("::error::x", ": :error::x"),
        ("see ::warning file=a::b", "see : :warning file=a::b"),
        ("std::vector", "std::vector"),
        ("x ##vso[task] ##[group] ## heading", "x # #vso[task] # #[group] ## heading"),
        (7, "7"),
    ],
)
def test_clean_makes_what_steers_visible_and_leaves_the_rest(text: object, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize("character", ["A", "\x1b", "\u202e", "::x ", "\udfff", "é"])
def test_clean_keeps_to_its_limit_and_says_how_long_the_whole_was(character: str) -> None:
    text = character * 400_000
    for limit in (60, 300, 2_000):
        cut = clean(text, limit)
        assert len(cut) == limit
        assert cut.endswith(f"… [{len(text):,} characters]")
