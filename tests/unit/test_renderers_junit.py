"""JUnit: what did not pass is red, what we cannot say is an error, and the file stays sound XML."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree as ET

import pytest
import test_renderers as samples  # type: ignore[import-not-found]

from truegate.model import Reason
from truegate.renderers import render_all


def parse(run: samples.Run) -> ET.Element:
    root = ET.fromstring(render_all(*run)["junit.xml"])
    assert root.tag == "testsuites"
    for element in (root, root[0]):
        cases = root.findall(".//testcase")
        assert int(element.attrib["tests"]) == len(cases)
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert int(element.attrib[name]) == sum(case.find(tag) is not None for case in cases)
    return root


def outcomes(root: ET.Element) -> dict[tuple[str, str], str]:
    """Give what each testcase came to, by the last word of its class and its name."""
    found = {}
    for case in root.iter("testcase"):
        tags = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
        found[case.attrib["classname"].rpartition(".")[2], case.attrib["name"]] = tags[0] if tags else "pass"
    return found


def test_a_failed_run() -> None:
    assert outcomes(parse(samples.sample_run("fail"))) == {
        ("verdict", "security.sca"): "failure",
        ("reasons", "critical"): "failure",
        ("reasons", "no-lockfile"): "error",
        ("criteria", "critical at run time"): "failure",
        ("criteria", "malware"): "failure",
        ("criteria", "medium at run time"): "skipped",
        ("criteria", "high at run time"): "pass",
        ("criteria", "age of advisory data"): "pass",
    }


def test_a_missed_criterion_is_one_testcase_and_tells_why_and_what_to_do_next() -> None:
    root = parse(samples.sample_run("fail"))
    (case,) = [case for case in root.iter("testcase") if case.attrib["name"] == "malware"]
    assert case[0].attrib["message"] == "measured 1, limit <= 0 findings"
    assert case[0].text == "1 hostile package: reqeusts 2.0.1\nnext: remove it and rotate every secret"


def test_a_reason_by_the_name_of_a_criterion_that_was_met_stays_an_error() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    reasons = (Reason("malware", "incomplete", "the list of malware was cut", "fetch it again"),)
    found = outcomes(parse((meta, policy, result, dataclasses.replace(verdict, reasons=reasons))))
    assert found["reasons", "malware"] == "error"
    assert found["criteria", "malware"] == "pass"


def test_the_verdict_names_the_findings_the_waivers_and_what_is_looser() -> None:
    text = parse(samples.sample_run("fail")).find(".//testcase[@name='security.sca']/failure").text  # type: ignore[union-attr]
    parts = [
        "This verdict rests on private advisories alone.",
        "looser than the default: age of advisory data <= 168 hours",
        "waivers.toml:9 is not used by any finding",
        "severity malware, finding MAL-2024-1234, package reqeusts 2.0.1, remedy remove it",
        "severity critical, finding CVE-2019-10744, package lodash 4.17.4, remedy upgrade to 4.17.21",
        "Waived",
        "finding CVE-2024-22195, severity high, package jinja2, until 2026-12-04, approver Ada Lovelace",
    ]
    places = [(text or "").index(part) for part in parts]
    assert places == sorted(places)


def test_a_run_that_passed_has_neither_failure_nor_error() -> None:
    assert set(outcomes(parse(samples.sample_run("pass"))).values()) == {"pass", "skipped"}


def test_an_inconclusive_run_has_errors_and_no_failures() -> None:
    found = outcomes(parse(samples.sample_run("inconclusive")))
    assert found["verdict", "security.sca"] == found["reasons", "control-missed"] == "error"
    assert found["criteria", "critical at run time"] == "error"
    assert "failure" not in found.values()


def test_names_are_unique_within_their_class() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    same = (Reason("x\x1b", "incomplete", "m", "n"),) * 3
    root = parse((meta, policy, result, dataclasses.replace(verdict, reasons=same)))
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    assert ("security.sca.reasons", "x\\x1b (3)") in names


@pytest.mark.parametrize("text", [*samples.HOSTILE, samples.LONG])
def test_hostile_text_stays_text(text: str) -> None:
    root = parse(samples.poisoned_run(text))
    tags = {
        "testsuites",
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
        "error",
        "skipped",
        "system-out",
    }
    assert {element.tag for element in root.iter()} <= tags


def test_a_flood_of_testcases_is_cut_and_those_that_did_not_pass_are_kept() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    passed = tuple(dataclasses.replace(verdict.criteria[0], id=f"limit {number}") for number in range(20_000))
    flood = dataclasses.replace(verdict, criteria=(*passed, dataclasses.replace(passed[0], id="last", status="fail")))
    data = render_all(meta, policy, result, flood)["junit.xml"]
    assert len(data) < 30_000_000
    root = parse((meta, policy, result, flood))
    assert len(root.findall(".//testcase")) == 5_000
    assert outcomes(root)["criteria", "last"] == "failure"
    left_out = root.find(".//property[@name='left_out']")
    assert left_out is not None
    assert left_out.attrib["value"].startswith("15,002 of 20,002 testcases; all but the worst findings, controls")
