"""osv-scanner's report: recorded ones are read right, and any other shape is an error that names what is odd."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from truegate.errors import ReportError
from truegate.parsers import osv_scanner
from truegate.parsers.engine import EngineReport

SAMPLES = Path(__file__).parents[1] / "samples" / "osv-scanner"
ROOT = "/scan/input"


def sample(case: str) -> Any:
    return json.loads((SAMPLES / case / "report.json").read_bytes())


def row(report: Any, name: str = "lodash", place: str = "/target/") -> Any:
    return next(
        package
        for result in report["results"]
        if place in result["source"]["path"]
        for package in result["packages"]
        if package["package"]["name"] == name
    )


def parsed(mutate: Any = lambda _: None) -> EngineReport:
    report = copy.deepcopy(sample("findings"))
    mutate(report)
    return osv_scanner.parse(report, ROOT)


def hit(report: EngineReport, identifier: str) -> Any:
    return next(hit for hit in report.hits if hit.path.startswith("target/") and identifier in hit.ids)


def test_packages_and_findings_are_read_by_file_and_by_registry_name() -> None:
    report = parsed()
    assert report.packages is not None
    assert report.packages["target/requirements.txt"] == {("flask", "2.2.4"), ("pyyaml", "5.3.1")}
    assert len(report.packages["control/pypi/requirements.txt"]) == 5
    flask = hit(report, "CVE-2023-30861")
    assert (flask.name, flask.version, flask.severity) == ("flask", "2.2.4", "high")
    assert flask.ids == ("GHSA-m2qf-hxjv-5gpq", "CVE-2023-30861")
    assert flask.severity_source == "GHSA-m2qf-hxjv-5gpq"
    assert set(flask.fixed_in) == {"2.2.5", "2.3.2"}
    lodash = hit(report, "CVE-2020-8203")
    assert lodash.fixed_in == ("4.17.19",)  # and none of lodash-es, of which the record speaks too
    assert hit(report, "GHSA-mh6f-8j2x-4483").malware
    assert not lodash.malware


def test_packages_without_a_finding_are_seen_packages() -> None:
    report = osv_scanner.parse(sample("nothing-found"), ROOT)
    assert report.packages is not None
    assert report.packages["target/requirements.txt"] == {("flask", "2.2.5")}
    assert not [hit for hit in report.hits if hit.path.startswith("target/")]


def test_without_a_word_the_score_grades_and_without_both_nothing_does() -> None:
    def no_word(report: Any) -> None:
        for record in row(report)["vulnerabilities"]:
            record.pop("database_specific")

    graded = hit(parsed(no_word), "CVE-2019-10744")
    assert (graded.severity, graded.severity_source) == ("critical", "cvss")

    def neither(report: Any) -> None:
        no_word(report)
        for group in row(report)["groups"]:
            group["max_severity"] = ""

    assert hit(parsed(neither), "CVE-2019-10744").severity == "unknown"


def test_of_several_records_in_a_group_the_worst_word_counts() -> None:
    def joined(report: Any) -> None:
        package = row(report)
        milder = copy.deepcopy(package["vulnerabilities"][1]) | {
            "id": "PYSEC-1",
            "database_specific": {"severity": "LOW"},
        }
        package["vulnerabilities"].insert(0, milder)
        group = next(g for g in package["groups"] if "GHSA-jf85-cpcp-j695" in g["ids"])
        group["ids"].insert(0, "PYSEC-1")

    worst = hit(parsed(joined), "CVE-2019-10744")
    assert (worst.severity, worst.severity_source) == ("critical", "GHSA-jf85-cpcp-j695")
    assert "PYSEC-1" in worst.ids


def test_a_withdrawn_record_does_not_count_and_is_named() -> None:
    def withdrawn(report: Any) -> None:
        for record in row(report)["vulnerabilities"]:
            record["withdrawn"] = "2026-01-01T00:00:00Z"

    report = parsed(withdrawn)
    assert "GHSA-jf85-cpcp-j695" in report.withdrawn
    assert not [hit for hit in report.hits if hit.path == "target/web/package-lock.json" and hit.name == "lodash"]
    assert [hit for hit in report.hits if hit.path.startswith("listed/") and hit.name == "lodash"]


ODD: dict[str, tuple[Any, str]] = {
    "no results": (lambda r: r.pop("results"), "'results' is NoneType"),
    "results as object": (lambda r: r.update(results={}), "'results' is dict"),
    "elsewhere": (lambda r: r["results"][0]["source"].update(path="/etc/x"), "not in the folder that was scanned"),
    "no source": (lambda r: r["results"][0].pop("source"), "'source'"),
    "no packages": (lambda r: r["results"][0].pop("packages"), "'packages'"),
    "no name": (lambda r: row(r)["package"].pop("name"), "'name'"),
    "an empty name": (lambda r: row(r)["package"].update(name=""), "no package's name"),
    "no groups": (lambda r: row(r).pop("groups"), "stands in no group"),
    "no records": (lambda r: row(r).pop("vulnerabilities"), "is in a group but has no record"),
    "a record without id": (lambda r: row(r)["vulnerabilities"][0].pop("id"), "'id'"),
    "a record as text": (lambda r: row(r)["vulnerabilities"].append("x"), "'id'"),
    "ids as numbers": (lambda r: row(r)["groups"][0].update(ids=[1]), "'ids' holds int"),
    "a score that is none": (
        lambda r: [x.pop("database_specific") for x in row(r)["vulnerabilities"]]
        and row(r)["groups"][0].update(max_severity="nan"),
        "max_severity 'nan' is no number",
    ),
    "a negative score": (
        lambda r: [x.pop("database_specific") for x in row(r)["vulnerabilities"]]
        and row(r)["groups"][0].update(max_severity="-9.8"),
        "max_severity '-9.8' is no number",
    ),
    "a new word": (lambda r: row(r)["vulnerabilities"][0]["database_specific"].update(severity="SEVERE"), "'SEVERE'"),
    "withdrawn as truth": (lambda r: row(r)["vulnerabilities"][0].update(withdrawn=True), "'withdrawn' is bool"),
    "events as text": (
        lambda r: row(r)["vulnerabilities"][0]["affected"][0]["ranges"][0].update(events=["x"]),
        "'fixed' is looked for in str",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mutate", "sentence"), ODD.values(), ids=ODD)
def test_another_shape_is_an_error_that_names_it(mutate: Any, sentence: str) -> None:
    with pytest.raises(ReportError) as caught:
        parsed(mutate)
    assert sentence in caught.value.message
    assert "raw/osv-scanner.json" in caught.value.message


def test_the_root_of_a_report_made_elsewhere_is_found_by_our_lockfiles() -> None:
    files = ["requirements.txt", "web/package-lock.json"]
    report = {"results": [{"source": {"path": f"/builds/web/{file}"}} for file in files]}
    assert osv_scanner.common_root(report, files) == "/builds/web"
    assert osv_scanner.common_root({"results": []}, files) == "/"
    assert osv_scanner.common_root({"results": [{"source": {"path": "/x/y"}}]}, files) == "/"
