"""SARIF: required members, the hosts' limits, and alerts that keep their identity."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
import test_renderers as samples  # type: ignore[import-not-found]

from truegate.model import Location, Meta, Policy, Reason, Result, Verdict
from truegate.renderers import sarif


def sarif_of(meta: Meta, _: Policy, result: Result, verdict: Verdict) -> bytes:
    return sarif.render(meta, result, verdict)


def check(data: bytes) -> dict[str, Any]:
    """Assert what SARIF 2.1.0, GitHub and GitLab require of the file; give its one run."""
    log = json.loads(data)
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "Truegate"
    assert len(driver["rules"]) <= 25_000
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    for rule in driver["rules"]:
        check_rule(rule)
    assert len(run["results"]) <= 5_000
    for result in run["results"]:
        assert result["ruleId"] in ids
        check_result(result)
    category, _, run_id = run["automationDetails"]["id"].rpartition("/")
    assert category.startswith("truegate/")
    assert run_id
    (invocation,) = run["invocations"]
    assert isinstance(invocation["executionSuccessful"], bool)
    for note in invocation["toolExecutionNotifications"]:
        assert note["level"] in {"note", "warning", "error"}
        assert 0 < utf16(note["message"]["text"]) <= 1_024
    assert len(gzip.compress(data)) < 10_000_000
    assert len(data) < 10_000_000
    result_run: dict[str, Any] = run
    return result_run


def utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def check_rule(rule: dict[str, Any]) -> None:
    assert 0 < len(rule["id"]) <= 255
    for member in ("shortDescription", "fullDescription", "help"):
        assert 0 < utf16(rule[member]["text"]) <= 1_024, member
    assert rule["defaultConfiguration"]["level"] in {"note", "warning", "error"}
    assert rule["properties"]["tags"] == ["security"]
    score = rule["properties"].get("security-severity", "0.0")
    assert isinstance(score, str)
    assert 0.0 <= float(score) <= 10.0


def check_result(result: dict[str, Any]) -> None:
    assert 0 < utf16(result["message"]["text"]) <= 1_024
    assert result["level"] in {"note", "warning", "error"}
    assert re.fullmatch(r"[0-9a-f]{16}:1", result["partialFingerprints"]["primaryLocationLineHash"])
    assert 1 <= len(result["locations"]) <= 100
    for location in result["locations"]:
        place = location["physicalLocation"]
        assert re.fullmatch(r"[A-Za-z0-9._~%/-]+", place["artifactLocation"]["uri"])
        assert not place["artifactLocation"]["uri"].startswith("/")
        region = place["region"]
        assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
        assert all(type(number) is int and number >= 1 for number in region.values())
        assert region["endColumn"] > region["startColumn"]


def by_rule(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {result["ruleId"]: result for result in run["results"]}


def test_a_failed_run_is_anchored_scored_and_worst_first() -> None:
    run = check(sarif_of(*samples.sample_run("fail")))
    order = ["MAL-2024-1234", "CVE-2019-10744", "CVE-2023-45133", "CVE-2020-28500", "CVE-2024-22195"]
    assert [result["ruleId"] for result in run["results"]] == order
    lodash = by_rule(run)["CVE-2019-10744"]
    assert lodash["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "web/package-lock.json"
    assert lodash["locations"][0]["physicalLocation"]["region"]["startLine"] == 4210
    assert all(word in lodash["message"]["text"] for word in ("lodash 4.17.4", "4.17.21", "express-session"))
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    scores = {name: rule["properties"]["security-severity"] for name, rule in rules.items()}
    assert list(scores.values()) == ["10.0", "9.5", "8.0", "5.5", "8.0"]
    assert "GHSA-jf85-cpcp-j695" in rules["CVE-2019-10744"]["help"]["text"]
    assert rules["CVE-2019-10744"]["helpUri"] == "https://osv.dev/vulnerability/CVE-2019-10744"
    assert run["automationDetails"]["id"] == f"truegate/security.sca/payments-api/staging/{samples.RUN_ID}"
    assert run["invocations"][0]["executionSuccessful"] is True
    notes = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert notes[0] == "looser than the default: age of advisory data <= 168 hours"


def test_waived_findings_are_suppressed_with_their_reason() -> None:
    results = by_rule(check(sarif_of(*samples.sample_run("fail"))))
    (suppression,) = results["CVE-2024-22195"]["suppressions"]
    assert suppression["kind"] == "external"
    assert suppression["status"] == "accepted"
    assert all(word in suppression["justification"] for word in ("not used", "Ada Lovelace", "2026-12-04", "SEC-41"))
    assert "suppressions" not in results["CVE-2019-10744"]


def test_an_inconclusive_run_says_that_it_did_not_succeed() -> None:
    run = check(sarif_of(*samples.sample_run("inconclusive")))
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    errors = [note for note in invocation["toolExecutionNotifications"] if note["level"] == "error"]
    assert [note["descriptor"]["id"] for note in errors] == ["control-missed"]
    assert "inv security.db.update" in errors[0]["message"]["text"]
    assert run["results"] == []


def test_severity_wording_and_lines_do_not_move_the_fingerprint() -> None:
    meta, policy, result, verdict = samples.sample_run()
    changed = dataclasses.replace(
        samples.LODASH, severity="low", title="other words", locations=(Location("web/package-lock.json", 1, "4.17.4"),)
    )
    prints = [
        by_rule(check(sarif_of(meta, policy, dataclasses.replace(result, findings=(finding,)), verdict)))[
            "CVE-2019-10744"
        ]["partialFingerprints"]
        for finding in (samples.LODASH, changed)
    ]
    assert prints[0] == prints[1]


def test_unknown_severity_gets_no_score_and_no_place_falls_back_to_our_file() -> None:
    meta, policy, result, verdict = samples.sample_run()
    lost = samples.finding(9, "unknown", locations=(), ids=(), package=None)
    run = check(sarif_of(meta, policy, dataclasses.replace(result, findings=(lost,)), verdict))
    assert "security-severity" not in run["tool"]["driver"]["rules"][0]["properties"]
    assert run["results"][0]["level"] == "warning"
    location = run["results"][0]["locations"][0]
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "truegate.toml"


def test_a_url_is_no_file_of_the_repository_and_stands_in_the_message() -> None:
    meta, policy, result, verdict = samples.sample_run()
    place = Location("https://staging.example/search?q=1", None)
    flaw = samples.finding(1, ids=("zap-40012",), package=None, locations=(place,), fixed_in=(), upgrade_to=None)
    other = dataclasses.replace(flaw, identity="another page", locations=(Location("https://staging.example/", None),))
    run = check(sarif_of(meta, policy, dataclasses.replace(result, findings=(flaw, other)), verdict))
    locations = [entry["locations"][0]["physicalLocation"] for entry in run["results"]]
    assert [location["artifactLocation"]["uri"] for location in locations] == ["truegate.toml"] * 2
    assert len({entry["ruleId"] for entry in run["results"]}) == 2
    assert any("where: https://staging.example/search?q=1" in entry["message"]["text"] for entry in run["results"])
    assert "package" not in run["results"][0]["message"]["text"]


def test_two_findings_of_one_advisory_on_one_line_stay_two() -> None:
    meta, policy, result, verdict = samples.sample_run()
    place = (Location("requirements.txt", None, "1.0"),)
    pair = [samples.finding(i, ids=("CVE-2020-00001",), locations=place) for i in (1, 2)]
    run = check(sarif_of(meta, policy, dataclasses.replace(result, findings=tuple(pair)), verdict))
    assert len({entry["ruleId"] for entry in run["results"]}) == 2
    assert all(entry["ruleId"].startswith("CVE-2020-00001") for entry in run["results"])


def test_odd_paths_are_encoded_and_many_places_cut() -> None:
    meta, policy, result, verdict = samples.sample_run()
    path = "a b/c:d?#é[1]/\udcff%.lock"
    finding = samples.finding(1, locations=tuple(Location(path, i + 1, "1.0") for i in range(5_000)))
    run = check(sarif_of(meta, policy, dataclasses.replace(result, findings=(finding,)), verdict))
    locations = run["results"][0]["locations"]
    assert len(locations) == 10
    assert "where: 5,000 places: " in run["results"][0]["message"]["text"]
    assert unquote(locations[0]["physicalLocation"]["artifactLocation"]["uri"]).startswith("a b/c:d?#é[1]/")


@pytest.mark.parametrize("title", ["x" * 80, "\u4e2d" * 300, "\U0001f642" * 1_000])
def test_a_cut_keeps_the_worst_and_is_stated(title: str) -> None:
    meta, policy, _, verdict = samples.sample_run()
    result = samples.many(30_000, title)
    run = check(sarif_of(meta, policy, result, verdict))
    kept = len(run["results"])
    assert 1_000 < kept <= 5_000
    assert all("severity: critical" in entry["message"]["text"] for entry in run["results"])
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].startswith(f"{kept} of 30000")


@pytest.mark.parametrize("text", [*samples.HOSTILE, samples.LONG])
def test_hostile_text_keeps_the_file_sound_and_makes_no_links(text: str) -> None:
    meta, policy, result, verdict = samples.poisoned_run(text)
    loud = dataclasses.replace(verdict, reasons=(Reason(text, "incomplete", text, text),) * 500)
    run = check(sarif_of(meta, policy, result, loud))
    assert len(run["results"]) == 5
    notes = run["invocations"][0]["toolExecutionNotifications"]
    assert notes[-1]["message"]["text"] == "402 more reasons and warnings are in verdict.json of the run."
    assert not re.search(r'"text": "[^"]*\]\(', json.dumps(run))
