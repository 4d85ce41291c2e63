"""From hits to findings: joined by alias and package, told apart by scope, with places and the smallest upgrade."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from truegate.checks import sca_result
from truegate.checks.findings import merge
from truegate.checks.listed import LISTS, differences, write_lists
from truegate.checks.witness import compare, second_reading
from truegate.inventory.records import Inventory, LockfileReading
from truegate.model import Finding, LockedPackage, Meta, Target
from truegate.parsers.engine import EngineReport, Hit

LODASH = LockedPackage("npm", "lodash", "4.17.4", "runtime", "web/package-lock.json", 12, introduced_by=("express",))
LODASH_DEV = replace(LODASH, scope="dev", lockfile="tools/package-lock.json", line=7, introduced_by=("grunt",))
BABEL = LockedPackage("npm", "@babel/traverse", "7.22.0", "dev", "web/package-lock.json", 40)
FLASK = LockedPackage("pypi", "flask", "2.2.4", "runtime", "requirements.txt", 1)


def inventory(*packages: LockedPackage) -> Inventory:
    places = dict.fromkeys((package.lockfile, package.ecosystem) for package in packages)
    readings = (
        LockfileReading(path, "npm", ecosystem, tuple(p for p in packages if p.lockfile == path))
        for path, ecosystem in places
    )
    return Inventory(tuple(readings), ())


def hit(package: LockedPackage, *ids: str, **changes: Any) -> Hit:
    path = f"target/{package.lockfile}"
    plain = Hit(path, package.name, package.version, ids, "high", "ghsa", "a title", ("4.17.12",), malware=False)
    return replace(plain, **changes)


def report(*hits: Hit, engine: str = "trivy", packages: Any = None) -> EngineReport:
    return EngineReport(engine, packages or {}, hits)


def only(reports: list[EngineReport], read: Inventory) -> Finding:
    findings, _ = merge(reports, read)
    assert len(findings) == 1
    return findings[0]


def test_a_finding_names_package_place_scope_and_who_brings_it_in() -> None:
    found = only([report(hit(LODASH, "CVE-2019-10744", "GHSA-jf85-cpcp-j695"))], inventory(LODASH))
    assert found.identity == "CVE-2019-10744 pkg:npm/lodash runtime"
    assert (found.package, found.scope, found.tools) == ("pkg:npm/lodash", "runtime", ("trivy",))
    [place] = found.locations
    assert (place.path, place.line, place.version) == ("web/package-lock.json", 12, "4.17.4")
    assert place.introduced_by == ("express",)
    assert found.upgrade_to == "4.17.12"


def test_a_scoped_name_is_a_package_url() -> None:
    assert only([report(hit(BABEL, "CVE-2023-45133"))], inventory(BABEL)).package == "pkg:npm/%40babel/traverse"


def test_runtime_and_dev_are_two_findings_and_places_of_one_scope_are_one() -> None:
    elsewhere = replace(LODASH, lockfile="api/package-lock.json", line=3)
    hits = [hit(package, "CVE-2019-10744") for package in (LODASH, LODASH_DEV, elsewhere)]
    findings, _ = merge([report(*hits)], inventory(LODASH, LODASH_DEV, elsewhere))
    assert [(f.scope, [place.path for place in f.locations]) for f in findings] == [
        ("runtime", ["api/package-lock.json", "web/package-lock.json"]),
        ("dev", ["tools/package-lock.json"]),
    ]


def test_what_no_lockfile_of_ours_holds_counts_as_runtime() -> None:
    stranger = replace(LODASH_DEV, version="4.17.5")
    found = only([report(hit(stranger, "CVE-2019-10744"))], inventory(LODASH_DEV))
    assert (found.scope, found.locations[0].line, found.locations[0].introduced_by) == ("runtime", None, ())


def test_findings_of_the_control_are_not_the_targets() -> None:
    assert merge([report(hit(LODASH, "CVE-1", path="control/npm/package-lock.json"))], inventory(LODASH)) == ((), [])


def test_a_hit_in_our_list_stands_at_every_place_that_pins_the_package() -> None:
    read = inventory(LODASH, LODASH_DEV, FLASK)
    findings, _ = merge([report(hit(LODASH, "CVE-2019-10744", path=LISTS["npm"][0]))], read)
    assert [(f.scope, f.locations[0].path, f.locations[0].line) for f in findings] == [
        ("runtime", "web/package-lock.json", 12),
        ("dev", "tools/package-lock.json", 7),
    ]


def test_two_engines_are_joined_by_any_alias() -> None:
    one = report(hit(LODASH, "CVE-2019-10744", "GHSA-jf85-cpcp-j695"))
    other = report(hit(LODASH, "SNYK-JS-1", "GHSA-jf85-cpcp-j695", fixed_in=("4.17.13",)), engine="osv-scanner")
    findings, dissent = merge([one, other], inventory(LODASH))
    [found] = findings
    assert found.ids == ("CVE-2019-10744", "GHSA-jf85-cpcp-j695", "SNYK-JS-1")
    assert found.tools == ("osv-scanner", "trivy")
    assert found.fixed_in == ("4.17.12", "4.17.13")
    assert dissent == []


def test_where_engines_disagree_the_report_says_so_and_the_worse_word_counts() -> None:
    one = report(hit(LODASH, "CVE-1", severity="medium"), hit(LODASH, "CVE-2"))
    other = report(hit(LODASH, "CVE-1", severity="critical"), engine="osv-scanner")
    findings, dissent = merge([one, other], inventory(LODASH))
    assert [(f.ids[0], f.severity) for f in findings] == [("CVE-1", "critical"), ("CVE-2", "high")]
    assert findings[0].severity_source == "osv-scanner says critical, trivy says medium"
    assert dissent == ["only trivy reports CVE-2 in pkg:npm/lodash"]
    ungraded = report(hit(LODASH, "CVE-1", severity="unknown"), engine="osv-scanner")
    assert only([report(hit(LODASH, "CVE-1", severity="low")), ungraded], inventory(LODASH)).severity == "unknown"


def test_the_same_id_in_two_packages_is_two_findings() -> None:
    findings, _ = merge([report(hit(LODASH, "CVE-1"), hit(FLASK, "CVE-1"))], inventory(LODASH, FLASK))
    assert {f.package for f in findings} == {"pkg:npm/lodash", "pkg:pypi/flask"}


def test_malware_of_one_word_is_malware_and_comes_first() -> None:
    findings, _ = merge(
        [report(hit(LODASH, "CVE-1", severity="critical"), hit(BABEL, "MAL-1", malware=True, severity="unknown"))],
        inventory(LODASH, BABEL),
    )
    assert [(f.ids[0], f.malware, f.scope) for f in findings] == [("MAL-1", True, "dev"), ("CVE-1", False, "runtime")]
    either = [report(hit(BABEL, "MAL-1", malware=True)), report(hit(BABEL, "MAL-1"), engine="osv-scanner")]
    assert only(either, inventory(BABEL)).malware


def test_one_upgrade_clears_all_findings_of_a_package() -> None:
    hits = [hit(LODASH, "CVE-1", fixed_in=("4.17.12",)), hit(LODASH, "CVE-2", fixed_in=("4.17.21",))]
    assert {f.upgrade_to for f in merge([report(*hits)], inventory(LODASH))[0]} == {"4.17.21"}
    without = [*hits, hit(LODASH, "CVE-3", fixed_in=())]
    assert {f.upgrade_to for f in merge([report(*without)], inventory(LODASH))[0]} == {None}


WORDS = st.sampled_from(["critical", "high", "medium", "unknown", "low", "info"])


@settings(deadline=None)
@given(
    severity=WORDS,
    title=st.text(),
    source=st.text(),
    line=st.none() | st.integers(1, 9999),
    version=st.text("0123.", min_size=1),
)
def test_an_identity_outlives_severity_wording_line_and_version(
    severity: Any, title: str, source: str, line: int | None, version: str
) -> None:
    before = only([report(hit(LODASH, "GHSA-1", "CVE-1"))], inventory(LODASH))
    package = replace(LODASH, line=line, version=version, introduced_by=("someone",))
    later = hit(package, "CVE-1", "GHSA-1", severity=severity, title=title, severity_source=source, fixed_in=())
    assert only([report(later)], inventory(package)).identity == before.identity


IDS = st.lists(
    st.sampled_from([f"CVE-{n}" for n in range(4)] + [f"GHSA-{n}" for n in range(4)]), min_size=1, max_size=3
)


@settings(deadline=None)
@given(st.lists(IDS, min_size=1, max_size=6), st.randoms())
def test_no_hit_is_lost_or_stands_in_two_findings_whatever_the_order(groups: list[list[str]], random: Any) -> None:
    hits = [hit(LODASH, *dict.fromkeys(ids)) for ids in groups]
    findings, _ = merge([report(*hits)], inventory(LODASH))
    assert {i for f in findings for i in f.ids} == {i for ids in groups for i in ids}
    assert len({i for f in findings for i in f.ids}) == sum(len(f.ids) for f in findings)
    random.shuffle(hits)
    again, _ = merge([report(*hits)], inventory(LODASH))
    assert [f.identity for f in again] == [f.identity for f in findings]


def test_our_lists_hold_every_package_once_under_its_real_name() -> None:
    older = replace(LODASH_DEV, version="4.17.3")
    lists = write_lists(inventory(LODASH, LODASH_DEV, older, BABEL, FLASK))
    assert lists["listed/pypi/requirements.txt"] == b"flask==2.2.4\n"
    rows = json.loads(lists["listed/npm/package-lock.json"])["packages"]
    packages = sorted((path.split("node_modules/", 2)[2], row["version"]) for path, row in rows.items())
    assert packages == [("@babel/traverse", "7.22.0"), ("lodash", "4.17.3"), ("lodash", "4.17.4")]
    assert write_lists(Inventory((), ())) == {}
    zope = replace(FLASK, name="zope-interface")
    spelt = write_lists(inventory(zope))["listed/pypi/requirements.txt"]
    assert spelt == b"zope-interface==2.2.4\nzope.interface==2.2.4\n"
    assert not list(differences(report(hit(zope, "CVE-1"), packages=seen(zope)), inventory(zope)))


def seen(*packages: LockedPackage, listed: bool = True) -> dict[str, frozenset[tuple[str, str]]]:
    places: dict[str, set[tuple[str, str]]] = {}
    for package in packages:
        for path in (f"target/{package.lockfile}", *([LISTS[package.ecosystem][0]] if listed else [])):
            places.setdefault(path, set()).add((package.name, package.version))
    return {path: frozenset(names) for path, names in places.items()}


def test_a_finding_in_one_of_two_showings_is_a_difference() -> None:
    here, there = hit(LODASH, "CVE-1"), hit(LODASH, "CVE-1", path=LISTS["npm"][0])
    read, packages = inventory(LODASH), seen(LODASH)
    assert not list(differences(report(here, there, packages=packages), read))
    for lost in (here, there):
        [reason] = differences(report(lost, packages=packages), read)
        assert (reason.code, reason.kind) == ("disagree", "incomplete")
        assert reason.message.startswith("trivy reports CVE-1 in lodash 4.17.4 only once")
    assert not list(
        differences(report(there, packages=seen(FLASK) | {LISTS["npm"][0]: packages[LISTS["npm"][0]]}), read)
    )


def test_a_package_counts_as_seen_in_the_lockfile_or_else_in_our_list() -> None:
    read = inventory(LODASH, BABEL)
    looked, problems, notes = compare([report(packages=seen(LODASH, BABEL))], read, with_lists=True)
    assert (problems, notes) == ([], [])
    assert all(look.seen >= look.minimum for look in looked)
    partly = seen(LODASH) | {LISTS["npm"][0]: seen(LODASH, BABEL)[LISTS["npm"][0]]}
    looked, problems, notes = compare([report(packages=partly)], read, with_lists=True)
    assert problems == []
    assert notes == [
        "trivy did not see 1 of 2 packages of web/package-lock.json: @babel/traverse 7.22.0; they count by our list"
    ]
    skipped = {LISTS["npm"][0]: partly[LISTS["npm"][0]]}
    looked, [problem], _ = compare([report(packages=skipped)], read, with_lists=True)
    assert problem.message == "trivy skipped web/package-lock.json: it saw none of its 2 packages"
    assert any(look.seen < look.minimum for look in looked)
    _, problems, _ = compare([report(packages=partly)], read, with_lists=False)
    assert len(problems) == 1


def test_what_one_engine_misses_another_may_see() -> None:
    read = inventory(LODASH, FLASK)
    one, other = report(packages=seen(LODASH)), report(engine="osv-scanner", packages=seen(LODASH, FLASK))
    _, problems, notes = compare([one, other], read, with_lists=True)
    assert problems == []
    assert any(note.startswith("trivy skipped requirements.txt") for note in notes)
    _, problems, _ = compare([one], read, with_lists=True)
    assert {problem.code for problem in problems} == {"package-unseen"}
    unlisted = EngineReport("snyk", None, ())
    assert [problem.code for problem in compare([unlisted], read, with_lists=True)[1]] == ["unlisted"]
    assert compare([unlisted, other], read, with_lists=True)[1] == []


def test_what_the_engine_reads_and_we_do_not_is_told_for_the_bill_of_materials() -> None:
    read = inventory(LODASH)
    extra = replace(LODASH, name="left", version="1.0.0")
    own = replace(LODASH, name="web", version="1.0.0")
    local = replace(LODASH, name="part", version="file:part")
    packages = seen(LODASH, extra, own, local, listed=False)
    looked, [problem], _ = second_reading(report(packages=packages), read, {"web"})
    assert problem.message == "trivy sees in web/package-lock.json what we do not read there: left 1.0.0"
    assert [(look.seen, look.minimum) for look in looked] == [(1, 1)]
    looked, problems, _ = second_reading(report(packages={}), read, set())
    assert problems == []
    assert [(look.seen, look.minimum) for look in looked] == [(0, 1)]


def test_an_engine_that_does_not_date_its_data_is_named(tmp_path: Path) -> None:
    target = Target("shop", None, None, None)
    meta = Meta("security.sca", "x", "complete", "2030-01-15T10:00:00Z", None, "0.1.0", target, None)
    age = sca_result._advisories(tmp_path, meta, [EngineReport("snyk", None, ())])[0]
    assert (age.value, age.reason) == (None, "snyk does not date its data")
