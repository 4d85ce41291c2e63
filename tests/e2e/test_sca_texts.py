"""What an advisory says reaches screen, page, Markdown, SARIF and JUnit as text, and what it means is judged."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import support  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

HOSTILE = (
    "\x1b]0;owned\x07\x1b[31mred\x9b2J\x08\x08",
    "[bold]rich[/bold] [/etc/passwd] [link=http://evil.example]x[/link]",
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><style>*{display:none}</style>",
    "a | b `code` ``` [click](http://evil.example) ![i](http://evil.example/i.png)",
    "x\n::set-output name=x::y\r\n::error::z\n##[command]ls\n##vso[task.complete]\n::stop-commands::t",
    "admin\u202egnp.exe\u2066 zero\u200bwidth \x00 \x0b \ufffe \u2028::warning::u",
    "]]> &amp; &lt; %0A{{ 7*7 }}{% raw %}",
    "A" * 1_000_000,
)
ACTIVE_TAGS = frozenset({"script", "img", "iframe", "object", "embed", "form"})


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Path]:
    """Judge with an advisory for each text; gives the screen, the reports' folder and the run folder."""
    also = tuple(support.record(f"ACME-{number}", summary=text) for number, text in enumerate(HOSTILE))
    files = {
        "package-lock.json": support.npm_lock({"left": "1.0.0"}),
        "truegate.toml": support.toml(data=support.advisories(also=also)),
    }
    target = support.write(tmp_path_factory.mktemp("hostile"), files)
    done = support.inv("security.sca", cwd=target)
    assert done.returncode == 3, done.stdout[-2000:] + done.stderr[-2000:]
    report = target / done.stdout.splitlines()[-1].removeprefix("report ")
    return done.stdout + done.stderr, report.parent, support.run_folder(target)


def test_every_text_reached_the_result(hostile: tuple[str, Path, Path]) -> None:
    result = json.loads((hostile[2] / "result.json").read_bytes())
    titles = {finding["ids"][0]: finding["title"] for finding in result["findings"]}
    assert len(titles) == len(HOSTILE)
    assert len(titles["ACME-7"]) == 1_000_000
    assert titles["ACME-2"] == HOSTILE[2]


def harmless(text: str) -> None:
    """No control characters, no reordering of letters, no line that a CI runner takes for an order."""
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufffe]", text)
    assert not re.search(r"(?m)^\s*(::[a-z-]+|##\[|##vso\[)", text)


def test_the_screen_stays_a_screen(hostile: tuple[str, Path, Path]) -> None:
    screen = hostile[0]
    harmless(screen)
    assert len(screen) < 20_000
    for number in range(len(HOSTILE)):
        assert f"ACME-{number}" in screen
    assert "\nsecurity.sca fail " in screen


def test_the_page_holds_no_markup_of_theirs(hostile: tuple[str, Path, Path]) -> None:
    text = (hostile[1] / "index.html").read_text()
    harmless(text)
    tags = Tags(text)
    assert not ACTIVE_TAGS & set(tags.names)
    assert not [name for name in tags.attributes if name.startswith("on") or name == "style"]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "[bold]rich[/bold]" in text
    assert "{{ 7*7 }}" in text
    assert len(text) < 2_000_000


def test_markdown_sarif_and_junit_hold_it_as_text(hostile: tuple[str, Path, Path]) -> None:
    folder = hostile[1]
    markdown = (folder / "summary.md").read_text()
    harmless(markdown.replace("\u200b", ""))  # with it the renderer itself breaks mentions and links
    assert len(markdown.encode()) <= 900 * 1024
    assert not re.search(r"<(script|img|style)", markdown)
    assert not re.search(r"(?<!\\)\[click\]\(http", markdown)
    sarif = json.loads((folder / "results.sarif").read_bytes())
    rules = {rule["id"] for run in sarif["runs"] for rule in run["tool"]["driver"]["rules"]}
    assert {f"ACME-{number}" for number in range(len(HOSTILE))} <= {part for rule in rules for part in rule.split()}
    assert (folder / "results.sarif").stat().st_size < 2_000_000
    suites = ET.parse(folder / "junit.xml").getroot()
    harmless("".join(suites.itertext()))
    assert "ACME-7" in ET.tostring(suites, encoding="unicode")
    assert (folder / "junit.xml").stat().st_size < 2_000_000


def test_a_package_or_an_id_may_be_hostile_too(tmp_path: Path) -> None:
    names = {"<script>alert(1)<": "1.0.0", "a|b`c": "1.0.0", "::error::x": "1.0.0", "\x1b[31mred": "1.0.0"}
    files = {"package-lock.json": support.npm_lock(names), "truegate.toml": support.toml()}
    target = support.write(tmp_path, files)
    done = support.inv("security.sca", cwd=target)
    assert done.returncode in {0, 4}
    harmless(done.stdout)
    for path in support.files_below(target / "reports"):
        if path.suffix in {".html", ".md"}:
            harmless(path.read_text().replace("\u200b", ""))
            assert "<script" not in path.read_text()


@pytest.mark.parametrize(("word", "limit", "status"), [("fail", 0, "fail"), ("warn", None, "pass")])
def test_an_ungraded_finding_fails_or_warns_as_configured(
    word: str, limit: int | None, status: str, tmp_path: Path
) -> None:
    data = support.advisories(also=(support.record("ACME-1", database_specific={}),))
    target = support.write(tmp_path, {"package-lock.json": support.npm_lock({"left": "1.0.0"})})
    for engine in ("trivy", "osv-scanner"):
        done = support.judge(target, data=data, security_sca_engines=[engine], security_sca_criteria_unknown=word)
        assert done.verdict.status == status
        assert [(finding.severity, finding.ids) for finding in done.result.findings] == [("unknown", ("ACME-1",))]
        [outcome] = [outcome for outcome in done.verdict.criteria if outcome.id == "unknown"]
        assert (outcome.measured, outcome.limit, outcome.looser_than_default) == (1, limit, word == "warn")
        assert bool(done.verdict.warnings) is (word == "warn")


@pytest.mark.parametrize("engine", ["trivy", "osv-scanner"])
def test_malware_fails_in_any_scope(engine: str, tmp_path: Path) -> None:
    by_name = support.record("MAL-2026-1", database_specific={})
    lock = support.npm_lock({"lodash": "4.17.21"}, {"flatmap-stream": "0.1.1", "left": "1.0.0"})
    target = support.write(tmp_path, {"package-lock.json": lock})
    done = support.judge(target, data=support.advisories(also=(by_name,)), security_sca_engines=[engine])
    assert done.verdict.status == "fail"
    assert support.codes(done) == {"malware_max"}
    assert support.criteria(done)["malware_max"] == 2
    assert {(finding.scope, finding.malware) for finding in done.result.findings} == {("dev", True)}
    assert "treat the machines that installed it as compromised" in done.verdict.reasons[0].next_step


@pytest.mark.parametrize("engine", ["trivy", "osv-scanner"])
def test_a_withdrawn_record_is_listed_and_not_counted(engine: str, tmp_path: Path) -> None:
    target = support.write(
        tmp_path, {"package-lock.json": support.npm_lock({"jsonwebtoken": "9.0.0", "left": "1.0.0"})}
    )
    gone = support.record("ACME-1", withdrawn="2026-01-01T00:00:00Z")
    done = support.judge(target, data=support.advisories(also=(gone,)), security_sca_engines=[engine])
    assert done.verdict.status == "pass"
    assert not done.result.findings
    assert "withdrawn, not counted: ACME-1" in done.result.notes
    kept = support.judge(
        target, data=support.advisories(also=(support.record("ACME-1"),)), security_sca_engines=[engine]
    )
    assert kept.verdict.status == "fail"
