"""Snyk's report as documented: findings count, ignored ones too; errors and other shapes are no empty list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from truegate.errors import ReportError
from truegate.parsers import snyk

SAMPLES = Path(__file__).parents[1] / "samples" / "snyk"


def sample(case: str) -> Any:
    return json.loads((SAMPLES / case / "report.json").read_bytes())


def test_findings_of_all_projects_are_read() -> None:
    report = snyk.parse(sample("documented"))
    assert report.packages is None  # Snyk tells their number only
    assert len(report.hits) == 11
    [flask] = [hit for hit in report.hits if hit.path == "target/requirements.txt"]
    assert (flask.name, flask.version, flask.severity) == ("flask", "2.2.4", "high")
    assert flask.ids == ("CVE-2023-30861", "GHSA-m2qf-hxjv-5gpq", "SNYK-PYTHON-FLASK-1")
    assert flask.fixed_in == ("2.2.5", "2.3.2")
    assert "pyyaml" in {hit.name for hit in report.hits}


def test_a_single_project_is_no_list_and_licences_are_another_question() -> None:
    report = snyk.parse(sample("licence-and-ignored"))
    assert [(hit.name, hit.ids[0]) for hit in report.hits] == [
        ("lodash", "CVE-2019-10744")
    ]  # ignored by others, not us


def test_an_error_object_is_an_error() -> None:
    with pytest.raises(ReportError, match="Authentication failed"):
        snyk.parse(sample("error"))
    with pytest.raises(ReportError, match="Authentication failed"):
        snyk.parse([*sample("documented"), sample("error")])


@pytest.mark.parametrize("key", ["displayTargetFile", "dependencyCount", "packageManager", "vulnerabilities"])
def test_a_project_without_a_documented_key_is_an_error(key: str) -> None:
    report = sample("documented")
    report[0].pop(key)
    with pytest.raises(ReportError, match=key):
        snyk.parse(report)


@pytest.mark.parametrize("key", ["id", "packageName", "version", "severity", "title"])
def test_a_finding_without_a_documented_key_is_an_error(key: str) -> None:
    report = sample("documented")
    report[0]["vulnerabilities"][0].pop(key)
    with pytest.raises(ReportError, match=key):
        snyk.parse(report)


@pytest.mark.parametrize("other", [None, True, 7, "x", {}, [None], [[]], ["x"]])
def test_something_else_is_no_report(other: Any) -> None:
    with pytest.raises(ReportError):
        snyk.parse(other)
