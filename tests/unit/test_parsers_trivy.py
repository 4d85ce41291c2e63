"""Trivy's report: recorded ones are read right, and any other shape is an error that names what is odd."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from truegate.errors import ReportError
from truegate.parsers import trivy
from truegate.parsers.engine import SEVERITY_WORDS, moment, severity_of, severity_of_score

SAMPLES = Path(__file__).parents[1] / "samples" / "trivy"


def sample(case: str) -> Any:
    return json.loads((SAMPLES / case / "report.json").read_bytes())


def hits(case: str, path: str) -> dict[tuple[str, str], Any]:
    return {(hit.name, hit.ids[0]): hit for hit in trivy.parse(sample(case)).hits if hit.path == path}


def test_packages_and_findings_are_read_by_file_and_by_registry_name() -> None:
    report = trivy.parse(sample("findings"))
    assert report.engine == "trivy"
    assert report.packages is not None
    assert report.packages["target/requirements.txt"] == {("flask", "2.2.4"), ("pyyaml", "5.3.1")}
    assert report.packages["target/web/package-lock.json"] == {
        ("@babel/traverse", "7.22.0"), ("flatmap-stream", "0.1.1"), ("lodash", "4.17.4"),
    }  # fmt: skip
    assert len(report.packages["control/npm/package-lock.json"]) == 5
    python = hits("findings", "target/requirements.txt")
    flask = python["flask", "CVE-2023-30861"]
    assert (flask.version, flask.severity, flask.severity_source) == ("2.2.4", "high", "ghsa")
    assert flask.ids == ("CVE-2023-30861", "GHSA-m2qf-hxjv-5gpq")
    assert flask.fixed_in == ("2.2.5", "2.3.2")
    assert ("pyyaml", "CVE-2020-14343") in python
    npm = hits("findings", "target/web/package-lock.json")
    assert {name for name, _ in npm} == {"@babel/traverse", "flatmap-stream", "lodash"}
    assert {name for (name, _), hit in npm.items() if hit.malware} == {"flatmap-stream"}


def test_packages_without_a_finding_are_seen_packages() -> None:
    report = trivy.parse(sample("nothing-found"))
    assert report.packages is not None
    assert report.packages["target/requirements.txt"] == {("flask", "2.2.5")}
    assert not [hit for hit in report.hits if hit.path.startswith("target/")]
    assert [hit for hit in report.hits if hit.path.startswith("control/")]


def test_a_report_without_results_saw_nothing() -> None:
    report = trivy.parse({key: value for key, value in sample("nothing-there").items() if key != "Results"})
    assert (report.packages, report.hits) == ({}, ())


def changed(mutate: Any) -> Any:
    report = copy.deepcopy(sample("findings"))
    mutate(report)
    return report


def first(report: Any) -> Any:
    return next(result for result in report["Results"] if result["Target"] == "target/requirements.txt")


ODD = {
    "older schema": (lambda r: r.update(SchemaVersion=1), "SchemaVersion 1"),
    "schema as text": (lambda r: r.update(SchemaVersion="2"), "'SchemaVersion' is str"),
    "schema as truth": (lambda r: r.update(SchemaVersion=True), "'SchemaVersion' is bool"),
    "no schema": (lambda r: r.pop("SchemaVersion"), "'SchemaVersion' is NoneType"),
    "an image": (lambda r: r.update(ArtifactType="container_image"), "ArtifactType 'container_image'"),
    "no date": (lambda r: r.pop("CreatedAt"), "'CreatedAt'"),
    "results as object": (lambda r: r.update(Results={}), "'Results' is dict"),
    "result as text": (lambda r: r["Results"].append("x"), "'Target'"),
    "packages as object": (lambda r: first(r).update(Packages={}), "'Packages' is dict"),
    "package without the name that a finding has": (lambda r: first(r)["Packages"][0].pop("Name"), "does not list"),
    "package with an empty name": (lambda r: first(r)["Packages"][0].update(Name="scope/"), "no package's name"),
    "id as number": (lambda r: first(r)["Vulnerabilities"][0].update(VulnerabilityID=1), "'VulnerabilityID' is int"),
    "alias as number": (lambda r: first(r)["Vulnerabilities"][0].update(VendorIDs=[1]), "'VendorIDs' holds int"),
    "weakness as null": (lambda r: first(r)["Vulnerabilities"][0].update(CweIDs=[None]), "'CweIDs' holds NoneType"),
    "no severity": (lambda r: first(r)["Vulnerabilities"][0].pop("Severity"), "'Severity'"),
    "a new severity": (lambda r: first(r)["Vulnerabilities"][0].update(Severity="SEVERE"), "'SEVERE' is unknown"),
    "unlisted package": (lambda r: first(r)["Vulnerabilities"][0].update(PkgName="left"), "does not list"),
    "unlisted version": (lambda r: first(r)["Vulnerabilities"][0].update(InstalledVersion="9"), "does not list"),
    "suppressed": (lambda r: first(r).update(ExperimentalModifiedFindings=[{}]), "suppressed"),
}


@pytest.mark.parametrize(("mutate", "sentence"), ODD.values(), ids=ODD)
def test_another_shape_is_an_error_that_names_it(mutate: Any, sentence: str) -> None:
    with pytest.raises(ReportError) as caught:
        trivy.parse(changed(mutate))
    assert sentence in caught.value.message
    assert "raw/trivy.json" in caught.value.message
    assert caught.value.next_step


@pytest.mark.parametrize("other", [None, True, 7, "x", [], [{}]])
def test_what_is_no_object_is_no_report(other: Any) -> None:
    with pytest.raises(ReportError):
        trivy.parse(other)


def test_the_date_of_the_data_is_read_or_absent() -> None:
    assert trivy.advisories_dated(sample("version")) == "2025-06-24T00:00:00Z"
    assert trivy.advisories_dated({"Version": "0.76.0"}) is None
    with pytest.raises(ReportError):
        trivy.advisories_dated({"VulnerabilityDB": {"UpdatedAt": 5}})
    assert moment("2026-11-24T06:12:34.123456789Z", "x").year == 2026  # as Go writes nanoseconds
    for text in ("yesterday", "2026-11-24", "2026-11-24T00:00:00", ""):
        with pytest.raises(ReportError):
            moment(text, "x")


def test_severities_are_mapped_word_by_word_and_band_by_band() -> None:
    assert {severity_of(word.upper(), "x") for word in SEVERITY_WORDS} == set(SEVERITY_WORDS.values())
    assert severity_of(None, "x") == "unknown"
    bands = {
        0.0: "info",
        0.1: "low",
        3.9: "low",
        4.0: "medium",
        6.9: "medium",
        7.0: "high",
        8.9: "high",
        9.0: "critical",
    }
    assert {score: severity_of_score(score) for score in bands} == bands
