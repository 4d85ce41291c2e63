"""The judge: green only for what was seen and met, red for what is proven, and neither for what can't be trusted."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truegate import gate, waivers
from truegate.model import (
    Control,
    Criterion,
    Exclusion,
    Finding,
    InputRecord,
    Looked,
    Measurement,
    Meta,
    Policy,
    Reason,
    ReasonKind,
    Result,
    Target,
    Verdict,
    Waiver,
)

META = Meta(
    "security.sca", "20300115_1000-abcdef", "complete", "2030-01-15T10:00:00Z", "2030-01-15T10:00:05Z", "0.1.0",
    Target("shop", "c0ffee", dirty=False, url=None), None,
)  # fmt: skip
HIGH = Criterion("runtime_high_max", "<=", 0, "findings", "failed", "default", 0, looser_than_default=False,
                 next_step="upgrade", select={"scope": ["runtime"], "severity": ["high"]})  # fmt: skip
AGE = Criterion("advisory_age_hours_max", "<=", 48, "hours", "incomplete", "default", 48, looser_than_default=False,
                next_step="update")  # fmt: skip
POLICY = Policy("security.sca", "Ada", (HIGH, AGE), waiver_max_days={"high": 60}, settings={"target.version": "1.0.0"})
CLEAN = Result(
    "findings",
    looked=(Looked("packages", 3, 1, "packages"),),
    controls=(Control("npm", 4, 5, 5),),
    measurements=(Measurement("advisory_age_hours_max", 5, "hours"),),
)
FINDING = Finding("CVE-1 pkg:npm/x runtime", ("CVE-1",), "high", "nvd", "runtime", "t", ("trivy",), "pkg:npm/xxx")
KINDS: tuple[ReasonKind, ...] = ("incomplete", "unreliable", "failed")


def judge(result: Result = CLEAN, policy: Policy = POLICY, meta: Meta = META) -> Verdict:
    return gate.judge(meta, policy, result, [InputRecord("meta.json", "0" * 64)])


def codes(verdict: Verdict) -> set[tuple[str, str]]:
    assert all(reason.message and reason.next_step for reason in verdict.reasons)
    return {(reason.code, reason.kind) for reason in verdict.reasons}


def problem(kind: ReasonKind, code: str = "x") -> Reason:
    return Reason(code, kind, f"{code} happened", "mend it")


def test_what_was_seen_and_met_passes_without_a_reason() -> None:
    verdict = judge()
    assert (verdict.status, verdict.reasons, verdict.warnings, verdict.qualifier) == ("pass", (), (), None)
    assert (verdict.check, verdict.run_id, verdict.timestamp) == ("security.sca", META.run_id, "20300115_1000")
    assert (verdict.version, verdict.owner) == ("1.0.0", "Ada")
    assert [(c.id, c.op, c.limit, c.measured, c.unit, c.status) for c in verdict.criteria] == [
        ("runtime_high_max", "<=", 0, 0, "findings", "pass"), ("advisory_age_hours_max", "<=", 48, 5, "hours", "pass"),
    ]  # fmt: skip
    assert verdict.inputs == (InputRecord("meta.json", "0" * 64),)
    assert judge(policy=replace(POLICY, settings=None)).version == "c0ffee"


@pytest.mark.parametrize("kinds", [c for n in range(4) for c in itertools.combinations(KINDS, n)])
def test_the_outcome_of_reasons(kinds: tuple[ReasonKind, ...]) -> None:
    wanted = "inconclusive" if "unreliable" in kinds or kinds == ("incomplete",) else "fail" if kinds else "pass"
    for order in itertools.permutations(kinds):
        assert gate.status_of([problem(kind) for kind in order * 2]) == wanted
        assert judge(replace(CLEAN, problems=tuple(map(problem, order)))).status == wanted


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (replace(CLEAN, looked=()), ("nothing-seen", "incomplete")),
        (replace(CLEAN, looked=(Looked("packages", 0, 1, "packages"),)), ("not-seen", "incomplete")),
        (replace(CLEAN, controls=()), ("no-control", "unreliable")),
        (replace(CLEAN, controls=(Control("npm", 4, 3, 5),)), ("control", "unreliable")),
        (replace(CLEAN, controls=(*CLEAN.controls, Control("pypi", 1, 0, 5))), ("control", "unreliable")),
        (replace(CLEAN, measurements=()), ("advisory_age_hours_max", "incomplete")),
        (replace(CLEAN, measurements=(Measurement("advisory_age_hours_max", None, "hours", reason="no date"),)),
         ("advisory_age_hours_max", "incomplete")),
        (replace(CLEAN, measurements=(Measurement("advisory_age_hours_max", 48.1, "hours"),)),
         ("advisory_age_hours_max", "incomplete")),
        (replace(CLEAN, findings=(FINDING,)), ("runtime_high_max", "failed")),
    ],
)  # fmt: skip
def test_each_lack_has_its_reason(result: Result, code: tuple[str, str]) -> None:
    verdict = judge(result)
    assert codes(verdict) == {code}
    assert verdict.status == ("fail" if code[1] == "failed" else "inconclusive")


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        (replace(META, state="running"), "interrupted"),
        (replace(META, state="interrupted"), "interrupted"),
        (replace(META, finished_at="2030-01-15T09:59:59Z"), "clock"),
        (replace(META, finished_at="2029-12-31T23:59:59Z"), "clock"),
    ],
)
def test_a_run_that_did_not_end_or_whose_clock_went_back_proves_nothing(meta: Meta, code: str) -> None:
    for result in (CLEAN, replace(CLEAN, findings=(FINDING,))):
        verdict = judge(result, meta=meta)
        assert verdict.status == "inconclusive"
        assert (code, "unreliable") in codes(verdict)


def test_a_policy_without_criteria_judges_nothing() -> None:
    verdict = judge(policy=replace(POLICY, criteria=()))
    assert verdict.status == "inconclusive"
    assert codes(verdict) == {("no-criteria", "unreliable")}


@pytest.mark.parametrize(("looser", "warned"), [(True, True), (False, False)])
def test_a_criterion_without_a_limit_is_measured_and_not_gated(*, looser: bool, warned: bool) -> None:
    free = replace(HIGH, limit=None, looser_than_default=looser)
    verdict = judge(replace(CLEAN, findings=(FINDING,)), replace(POLICY, criteria=(free, AGE)))
    assert verdict.status == "pass"
    assert (verdict.criteria[0].measured, verdict.criteria[0].looser_than_default) == (1, looser)
    assert verdict.warnings == (("runtime_high_max: 1 findings reported, no limit set",) if warned else ())


@pytest.mark.parametrize(
    ("op", "limit", "value", "met"),
    [("<=", 1, 1, True), ("<=", 1, 1.01, False), (">=", 0.99, 0.99, True), (">=", 0.99, 0.98, False),
     ("<=", 0, -1, True), (">=", 0, 0, True), ("<=", 0, float("nan"), False), (">=", 0, float("nan"), False)],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_inclusive_and_what_is_no_number_meets_none(
    op: Any, limit: float, value: float, *, met: bool, kind: ReasonKind
) -> None:
    criterion = replace(AGE, op=op, limit=limit, kind=kind)
    result = replace(CLEAN, measurements=(Measurement(AGE.id, value, "hours"),))
    verdict = judge(result, replace(POLICY, criteria=(criterion,)))
    assert verdict.status == ("pass" if met else "fail" if kind == "failed" else "inconclusive")
    assert codes(verdict) == (set() if met else {(AGE.id, kind)})


def test_a_finding_counts_where_every_field_of_the_selection_agrees() -> None:
    hostile = replace(FINDING, identity="m", severity="unknown", scope="dev", malware=True)
    malware = replace(HIGH, id="malware_max", select={"malware": [True]})
    policy = replace(POLICY, criteria=(HIGH, malware, AGE))
    verdict = judge(replace(CLEAN, findings=(hostile, replace(FINDING, scope="dev"))), policy)
    assert [outcome.measured for outcome in verdict.criteria] == [0, 1, 5]
    assert codes(verdict) == {("malware_max", "failed")}


WAIVER = Waiver(
    "security.sca", "CVE-1", "pkg:npm/xxx", "r", "Ada", "2030-01-10", "2030-01-15", "T-1", "waivers.toml", 3
)


@pytest.mark.parametrize(
    ("started", "status"),
    [("2030-01-09T23:59:59Z", "fail"), ("2030-01-10T00:00:00Z", "pass"), ("2030-01-15T23:59:59Z", "pass"),
     ("2030-01-16T00:00:00Z", "fail")],
)  # fmt: skip
def test_a_waived_finding_stays_and_the_day_is_the_day_of_the_run(started: str, status: str) -> None:
    result = replace(CLEAN, findings=(FINDING,))
    meta = replace(META, generated_at=started, finished_at=started)
    verdict = judge(result, replace(POLICY, waivers=(WAIVER,)), meta)
    assert verdict.status == status
    assert [entry.identity for entry in verdict.waived] == ([FINDING.identity] if status == "pass" else [])
    assert verdict.criteria[0].measured == (0 if status == "pass" else 1)
    assert result.findings == (FINDING,)


def test_an_expired_exclusion_and_a_faulty_waiver_fail_by_themselves() -> None:
    exclusion = Exclusion("old/**", "r", "Ada", "2030-01-14", "truegate.toml:4")
    verdict = judge(policy=replace(POLICY, exclusions=(exclusion,), waivers=(replace(WAIVER, package="pkg:npm/*"),)))
    assert verdict.status == "fail"
    assert codes(verdict) == {("exclusion", "failed"), ("waiver", "failed")}


@pytest.mark.parametrize(
    ("accept", "findings", "status"),
    [(False, (), "inconclusive"), (True, (), "pass"), (False, (FINDING,), "fail"), (True, (FINDING,), "fail")],
)
def test_a_report_made_elsewhere(*, accept: bool, findings: tuple[Finding, ...], status: str) -> None:
    meta, policy = replace(META, external=True), replace(POLICY, settings={"accept_external": accept})
    verdict = judge(replace(CLEAN, controls=(), findings=findings), policy, meta)
    assert verdict.status == status
    assert verdict.qualifier == "external, no control"
    assert (("external", "incomplete") in codes(verdict)) == (not accept)


def test_an_external_report_that_is_too_old_is_not_accepted() -> None:
    meta, policy = replace(META, external=True), replace(POLICY, settings={"accept_external": True})
    old = replace(CLEAN, controls=(), measurements=(Measurement(AGE.id, 1000, "hours"),))
    assert judge(old, policy, meta).status == "inconclusive"


def test_the_same_reason_is_told_once() -> None:
    assert len(judge(replace(CLEAN, problems=(problem("incomplete"),) * 3)).reasons) == 1


FINDINGS = st.lists(
    st.builds(
        replace,
        st.just(FINDING),
        identity=st.text("abc", min_size=1, max_size=3),
        severity=st.sampled_from(["critical", "high", "unknown"]),
        scope=st.sampled_from(["runtime", "dev"]),
        malware=st.booleans(),
    ),
    max_size=4,
).map(tuple)
REASONS = st.lists(st.builds(problem, st.sampled_from(KINDS), st.sampled_from("abc")), max_size=3).map(tuple)
LOOKED = st.lists(st.builds(Looked, st.just("l"), st.integers(0, 2), st.integers(0, 2), st.just("u")), max_size=2)
CONTROLS = st.lists(st.builds(Control, st.just("c"), st.integers(0, 2), st.integers(0, 2), st.just(3)), max_size=2)
AGES = st.lists(st.builds(Measurement, st.just(AGE.id), st.none() | st.floats(0, 100), st.just("hours")), max_size=2)
RESULTS = st.builds(
    Result, st.just("findings"), looked=LOOKED.map(tuple), controls=CONTROLS.map(tuple), findings=FINDINGS,
    measurements=AGES.map(tuple), problems=REASONS,
)  # fmt: skip
METAS = st.builds(
    replace, st.just(META), state=st.sampled_from(["complete", "running"]), external=st.booleans(),
    finished_at=st.sampled_from(["2030-01-15T10:00:05Z", "2030-01-15T09:00:00Z"]),
)  # fmt: skip
POLICIES = st.builds(
    replace, st.just(POLICY), waivers=st.sampled_from([(), (WAIVER,)]),
    settings=st.sampled_from([{}, {"accept_external": True}]),
    criteria=st.sampled_from([(), (HIGH,), (HIGH, AGE), (replace(HIGH, limit=None), AGE)]),
)  # fmt: skip


@given(RESULTS, POLICIES, METAS)
def test_green_means_that_somebody_looked(result: Result, policy: Policy, meta: Meta) -> None:
    verdict = judge(result, policy, meta)
    if verdict.status == "pass":
        assert meta.state == "complete"
        assert (meta.finished_at or "") >= meta.generated_at
        assert policy.criteria
        assert result.looked
        assert all(look.seen >= look.minimum for look in result.looked)
        assert not result.problems
        assert meta.external or result.controls
        assert meta.external or all(control.seen >= control.expected for control in result.controls)
        assert not meta.external or (policy.settings or {}).get("accept_external")
        for outcome in verdict.criteria:
            assert outcome.limit is None or (outcome.measured is not None and outcome.measured <= outcome.limit)
    assert (verdict.status == "pass") == (not verdict.reasons)
    assert judge(result, policy, meta) == verdict


WORSE: list[Callable[[Result], Result]] = [
    lambda result: replace(result, problems=(*result.problems, problem("incomplete", "more"))),
    lambda result: replace(result, looked=(*result.looked, Looked("more", 0, 5, "u"))),
    lambda result: replace(result, measurements=()),
]


@given(RESULTS, POLICIES, METAS, st.integers(0, len(WORSE) - 1))
def test_what_was_not_seen_never_improves_a_verdict(result: Result, policy: Policy, meta: Meta, index: int) -> None:
    before, after = judge(result, policy, meta).status, judge(WORSE[index](result), policy, meta).status
    if before != "pass":
        assert after != "pass"
    if before == "fail" and result.looked:
        assert after == "fail"


@given(RESULTS, POLICIES, METAS)
def test_what_cannot_be_trusted_always_wins(result: Result, policy: Policy, meta: Meta) -> None:
    doubtful = replace(result, problems=(*result.problems, problem("unreliable", "more")))
    assert judge(doubtful, policy, meta).status == "inconclusive"


@given(RESULTS, POLICIES, METAS, FINDINGS)
def test_a_further_finding_never_makes_it_green(
    result: Result, policy: Policy, meta: Meta, more: tuple[Finding, ...]
) -> None:
    if judge(result, policy, meta).status != "pass":
        assert judge(replace(result, findings=(*result.findings, *more)), policy, meta).status != "pass"


@pytest.mark.parametrize("module", [gate, waivers])
def test_the_judge_reads_no_clock_no_environment_and_no_file(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    asked = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    asked |= {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not asked & {"now", "today", "utcnow", "time", "environ", "getenv", "open", "read_text", "read_bytes"}
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= {
        "__future__", "collections.abc", "dataclasses", "datetime", "fnmatch", "re", "truegate", "truegate.model",
            "urllib.parse",
    }  # fmt: skip


def test_a_missed_criterion_names_what_it_counts() -> None:
    packages = ["pkg:npm/xxx", "pkg:npm/%40babel/core", None, "pkg:pypi/flask", "pkg:npm/xxx", "pkg:npm/late"]
    findings = tuple(replace(FINDING, identity=f"{i}", package=package) for i, package in enumerate(packages))
    (reason,) = judge(replace(CLEAN, findings=findings)).reasons
    assert reason.message == "runtime_high_max is 6 findings, wanted <= 0: xxx, @babel/core, 2 and 2 more"
