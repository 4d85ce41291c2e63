"""Accepted risks: what a waiver covers, when it counts, and which waivers are themselves a fault."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truegate import waivers
from truegate.model import Exclusion, Finding, Location, Policy, Waiver
from truegate.waivers import Ledger

TODAY = date(2030, 1, 15)
MAX_DAYS = {"critical": 30, "high": 60, "medium": 180, "low": 365, "unknown": 60, "info": 365}
WAIVER = Waiver(
    "security.sca", "CVE-2019-10744", "pkg:npm/lodash",
    "not reachable", "Ada", "2030-01-10", "2030-01-20", "", "waivers.toml", 7,
)  # fmt: skip
LODASH = Finding(
    "x", ("CVE-2019-10744", "GHSA-jf85-cpcp-j695"), "critical", "nvd", "runtime", "t", ("trivy",), "pkg:npm/lodash",
    (Location("package-lock.json", 3, "4.17.4"), Location("web/package-lock.json", 9, "4.17.11")),
)  # fmt: skip
SCOPED = replace(LODASH, identity="y", package="pkg:npm/%40babel/core")


def apply(waiver: Waiver | list[Waiver], *findings: Finding, **fields: Any) -> Ledger:
    held = tuple(waiver) if isinstance(waiver, list) else (waiver,)
    policy = Policy("security.sca", "Ada", (), held, fields.pop("max_days", MAX_DAYS), **fields)
    return waivers.apply(policy, findings, TODAY)


def faults(ledger: Ledger) -> list[str]:
    assert all(reason.kind == "failed" and reason.next_step for reason in ledger.reasons)
    return [reason.message for reason in ledger.reasons]


@pytest.mark.parametrize(
    "identifier", ["CVE-2019-10744", "cve-2019-10744", "GHSA-jf85-cpcp-j695", "ghsa-JF85-cpcp-j695"]
)
@pytest.mark.parametrize("package", ["pkg:npm/lodash", "pkg:npm/lodash@*", "pkg:npm/lodash@4.17.*", "pkg:npm/lod*"])
def test_a_waiver_covers_by_any_alias(identifier: str, package: str) -> None:
    ledger = apply(replace(WAIVER, id=identifier, package=package, ticket="SHOP-42"), LODASH)
    assert (ledger.reasons, ledger.warnings) == ((), ())
    [entry] = ledger.waived
    assert (entry.identity, entry.ids, entry.severity, entry.package) == ("x", LODASH.ids, "critical", "pkg:npm/lodash")
    assert (entry.reason, entry.approver, entry.expires, entry.ticket) == (
        "not reachable", "Ada", "2030-01-20", "SHOP-42",
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"id": "CVE-2019-1074"},
        {"id": "CVE-2020-8203"},
        {"package": "pkg:npm/lodash-es"},
        {"package": "pkg:npm/lodas"},
        {"package": "pkg:pypi/lodash"},
        {"package": "pkg:npm/Lodash"},
        {"package": "pkg:npm/lodash@4.17.4"},
        {"package": "pkg:npm/lodash@4.17.5"},
    ],
)
def test_a_waiver_for_something_else_covers_nothing(change: dict[str, str]) -> None:
    """The one for 4.17.4 does not cover a finding that 4.17.11 has too."""
    ledger = apply(replace(WAIVER, **change), LODASH)  # type: ignore[arg-type]
    assert ledger.waived == ()
    [warning] = ledger.warnings
    assert warning.startswith("waivers.toml:7: waiver for ")
    assert warning.endswith("matches nothing; remove it")


def test_a_versioned_package_is_covered_where_that_is_every_version() -> None:
    waiver = replace(WAIVER, package="pkg:npm/lodash@4.17.4")
    only = replace(LODASH, locations=LODASH.locations[:1])
    assert len(apply(waiver, only).waived) == 1
    assert apply(waiver, replace(LODASH, locations=())).waived == ()
    assert apply(waiver, replace(LODASH, locations=(Location("a", 1),))).waived == ()


def test_a_scoped_package_is_named_as_the_report_names_it() -> None:
    assert len(apply(replace(WAIVER, package="pkg:npm/%40babel/core"), SCOPED, LODASH).waived) == 1


@pytest.mark.parametrize(
    ("opened", "expires", "told"),
    [
        ("2030-01-10", "2030-01-15", None),
        ("2030-01-15", "2030-01-15", None),
        ("2030-01-10", "2030-01-14", "expired on 2030-01-14"),
        ("2029-01-10", "2029-01-14", "expired on 2029-01-14"),
        ("2030-01-16", "2030-01-20", "begins only on 2030-01-16"),
        ("2030-01-20", "2030-01-16", "begins only on 2030-01-20"),
        ("2030-01-01", "2030-01-31", None),
        ("2030-01-01", "2030-02-01", "runs 31 days, longer than the 30 allowed"),
        ("2000-01-01", "2099-01-01", "longer than the 30 allowed"),
    ],
)
def test_a_waiver_counts_from_its_first_to_its_last_day_and_no_longer_than_allowed(
    opened: str, expires: str, told: str | None
) -> None:
    ledger = apply(replace(WAIVER, opened=opened, expires=expires), LODASH)
    assert (len(ledger.waived), len(ledger.reasons)) == ((1, 0) if told is None else (0, 1))
    if told:
        assert faults(ledger)[0].startswith("waivers.toml:7: waiver for CVE-2019-10744 in pkg:npm/lodash ")
        assert told in faults(ledger)[0]


@pytest.mark.parametrize(("severity", "days"), MAX_DAYS.items())
def test_the_longest_term_goes_by_severity(severity: Any, days: int) -> None:
    finding, expires = replace(LODASH, severity=severity), TODAY + timedelta(days=days)
    waiver = replace(WAIVER, opened=TODAY.isoformat(), expires=expires.isoformat())
    assert len(apply(waiver, finding).waived) == 1
    longer = replace(waiver, expires=(expires + timedelta(days=1)).isoformat())
    assert f"longer than the {days} allowed" in faults(apply(longer, finding))[0]
    worse = replace(LODASH, identity="z", severity="critical")
    assert len(apply(waiver, finding, worse).waived) == (2 if days <= 30 else 0)
    assert len(apply(waiver).reasons) == 0  # nothing matches: the longest term of all counts


@pytest.mark.parametrize(
    ("identifier", "package"),
    [
        ("*", "pkg:npm/lodash"),
        ("CVE-*", "pkg:npm/lodash"),
        ("CVE-2019-1074?", "pkg:npm/lodash"),
        ("CVE-2019-1074[4]", "pkg:npm/lodash"),
        *[("CVE-2019-10744", package) for package in (
            "****", "pkg:*", "pkg:npm*", "pkg:npm/*", "pkg:npm/**", "pkg:npm/lo*", "pkg:npm/??????", "pkg:*/lodash",
            "pkg:npm/[a-z]*", "pkg:npm/[!x]*", "pkg:npm/[abc", "*://lodash", "*/lodash", "pkg:npm/%40*",
            "pkg:npm/%40*/core", "pkg:npm/@*", "pkg:npm/@", "pkg:npm/*@4.17.4", "pkg:n?m/lodash", "lodash", "pkg:npm/",
            "https://*/admin", "https://*.example.org/admin", "https://example.org/*", "ht*p://example.org/admin",
        )],
    ],
)  # fmt: skip
def test_an_over_broad_waiver_is_a_fault_and_covers_nothing(identifier: str, package: str) -> None:
    ledger = apply(replace(WAIVER, id=identifier, package=package), LODASH, SCOPED)
    assert ledger.waived == ()
    [message] = faults(ledger)
    assert "is over-broad: spell out the id and the package" in message


@pytest.mark.parametrize(
    "package", ["pkg:npm/%40babel/core", "pkg:npm/%40babel/cor*", "pkg:golang/github.com/x/yaml.v?",
                "https://example.org/users/*/admin", "https://example.org/admin?tab=*"]
)  # fmt: skip
def test_a_pattern_with_a_name_in_it_is_not_over_broad(package: str) -> None:
    assert apply(replace(WAIVER, package=package)).reasons == ()


@given(st.text("*?[]abz@/:.%40", min_size=1, max_size=12))
def test_no_pattern_that_passes_covers_packages_of_two_ecosystems_or_any_name(tail: str) -> None:
    findings = [
        replace(LODASH, identity=place, package=place, locations=())
        for place in ("pkg:npm/zab", "pkg:npm/q", "pkg:pypi/zab", "pkg:npm/%40zab/zab", "pkg:golang/a.b/zab")
    ]
    for package in (tail, f"pkg:{tail}", f"pkg:npm/{tail}"):
        covered = {str(entry.package) for entry in apply(replace(WAIVER, package=package), *findings).waived}
        assert len({place.split("/")[0] for place in covered}) <= 1, package
        assert not {"pkg:npm/zab", "pkg:npm/q"} <= covered, package


def test_an_unused_waiver_warns_or_fails_as_configured() -> None:
    assert apply(WAIVER).reasons == ()
    ledger = apply(WAIVER, unused_waivers="fail")
    assert ledger.warnings == ()
    assert faults(ledger) == ["waivers.toml:7: CVE-2019-10744 in pkg:npm/lodash matches nothing"]


def test_a_faulty_waiver_takes_nothing_from_a_sound_one() -> None:
    expired = replace(WAIVER, expires="2030-01-11", line=1)
    ledger = apply([expired, WAIVER], LODASH)
    assert len(ledger.waived) == 1
    assert len(faults(ledger)) == 1


@pytest.mark.parametrize(("expires", "count"), [("2030-01-14", 1), ("2030-01-15", 0), ("2030-01-16", 0)])
def test_an_exclusion_counts_until_its_last_day(expires: str, count: int) -> None:
    exclusion = Exclusion("fixtures/**", "test fixtures only", "Ada", expires, "truegate.toml:9")
    ledger = apply([], exclusions=(exclusion,))
    assert len(ledger.reasons) == count
    if count:
        assert faults(ledger) == [f"truegate.toml:9: the exclusion of fixtures/** expired on {expires}"]


def test_an_exclusion_runs_no_longer_than_the_longest_waiver() -> None:
    allowed = Exclusion("fixtures/**", "test fixtures only", "Ada", "2031-01-15", "truegate.toml:9")
    assert apply([], exclusions=(allowed,)).reasons == ()
    ledger = apply([], exclusions=(replace(allowed, expires="9999-12-31"),))
    assert len(ledger.reasons) == 1
    assert "later than the 365 allowed" in ledger.reasons[0].message


@pytest.mark.parametrize(
    ("path", "package", "waived"),
    [
        ("config/app.py", "file:///config/app.py", True),
        ("config/app.py", "file:///config/other.py", False),
        ("https://shop.example.org/cart", "https://shop.example.org/cart", True),
        ("https://shop.example.org/cart", "https://shop.example.org/log*", False),
    ],
)
def test_a_weakness_in_no_package_is_waived_by_its_address(path: str, package: str, waived: bool) -> None:  # noqa: FBT001  a table's column
    finding = replace(LODASH, package=None, locations=(Location(path, 1),))
    ledger = apply(replace(WAIVER, package=package), finding)
    assert [entry.package for entry in ledger.waived] == ([package] if waived else [])
