"""JUnit: what did not pass is red, what we cannot say is an error, and the file stays sound XML."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree as ET

import pytest
import test_renderers as samples  # type: ignore[import-not-found]

from truegate.model import Control, Looked
from truegate.renderers import junit


def parse(run: samples.Run) -> ET.Element:
    root = ET.fromstring(junit.render(*run))
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
        ("reasons", "no-lockfile"): "error",
        ("criteria", "critical at run time"): "failure",
        ("criteria", "malware"): "failure",
        ("criteria", "medium at run time"): "skipped",
        ("criteria", "high at run time"): "pass",
        ("criteria", "age of advisory data"): "pass",
        ("controls", "npm"): "pass",
        ("controls", "pypi"): "pass",
        ("looked", "lockfiles"): "pass",
        ("looked", "packages"): "pass",
    }


def test_a_run_that_passed_has_neither_failure_nor_error() -> None:
    assert set(outcomes(parse(samples.sample_run("pass"))).values()) == {"pass", "skipped"}


def test_an_inconclusive_run_has_errors_and_no_failures() -> None:
    found = outcomes(parse(samples.sample_run("inconclusive")))
    assert found["verdict", "security.sca"] == found["reasons", "control-missed"] == found["controls", "npm"] == "error"
    assert "failure" not in found.values()


def test_too_little_seen_is_an_error_even_where_nothing_else_says_so() -> None:
    meta, policy, result, verdict = samples.sample_run("pass")
    blind = dataclasses.replace(result, looked=(Looked("pages", 0, 1, "pages"),), controls=(Control("c", 2, 1, 2),))
    found = outcomes(parse((meta, policy, blind, verdict)))
    assert found["looked", "pages"] == found["controls", "c"] == "error"


def test_names_are_unique_within_their_class() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    same = dataclasses.replace(result, looked=result.looked * 3, controls=(Control("x\x1b", 1, 1, 1),) * 3)
    root = parse((meta, policy, same, dataclasses.replace(verdict, reasons=verdict.reasons * 3)))
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(names) == len(set(names))
    assert ("security.sca.controls", "x\\x1b (3)") in names


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
    assert {element.tag for element in root.iter()} == tags


def test_a_flood_of_testcases_is_cut_and_those_that_did_not_pass_are_kept() -> None:
    meta, policy, result, verdict = samples.sample_run("fail")
    looked = (*(Looked(f"file {i}", 1, 1, "files") for i in range(20_000)), Looked("last", 0, 1, "files"))
    data = junit.render(meta, policy, dataclasses.replace(result, looked=looked), verdict)
    assert len(data) < 30_000_000
    root = parse((meta, policy, dataclasses.replace(result, looked=looked), verdict))
    assert len(root.findall(".//testcase")) == 5_000
    assert outcomes(root)["looked", "last"] == "error"
    assert root.find(".//property[@name='left_out']") is not None
