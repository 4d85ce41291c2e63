"""Reading OSV records and compiling them, without the engines."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from truegate.advisories import osv
from truegate.advisories.compile import compile_advisories
from truegate.advisories.osv import Advisory, Interval, is_affected, load_advisories
from truegate.errors import ConfigError


def entry(*events: dict[str, str], ecosystem: str = "PyPI", name: str = "pkg", **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"package": {"ecosystem": ecosystem, "name": name}, "ranges": ranges} | more


def record(*affected: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "ACME-1", "modified": "2025-01-02T03:04:05Z", "affected": list(affected)} | more


def put(folder: Path, *records: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(records):
        (folder / f"{number}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def load_one(folder: Path, content: Any) -> Advisory:
    (advisory,) = load_advisories(put(folder / "records", content))
    return advisory


def introduced(version: str) -> dict[str, str]:
    return {"introduced": version}


def fixed(version: str) -> dict[str, str]:
    return {"fixed": version}


def last(version: str) -> dict[str, str]:
    return {"last_affected": version}


FROM_0_TO_2 = (introduced("0"), fixed("2.0"))


@pytest.mark.parametrize(
    ("events", "intervals"),
    [
        ((introduced("0"),), [Interval("0")]),
        ((introduced("0"), last("1.4")), [Interval("0", None, "1.4")]),
        # one range with several pairs, the later versions first
        (
            (introduced("2.0.0"), fixed("2.0.6"), introduced("0"), fixed("1.26.17")),
            [Interval("0", "1.26.17"), Interval("2.0.0", "2.0.6")],
        ),
        ((fixed("2"), introduced("1.0")), [Interval("1.0", "2")]),
        ((fixed("10"), introduced("9"), introduced("2"), fixed("3")), [Interval("2", "3"), Interval("9", "10")]),
        ((introduced("1"), fixed("2"), introduced("2"), fixed("3")), [Interval("1", "2"), Interval("2", "3")]),
        ((introduced("1"), last("1"), introduced("1.1")), [Interval("1", None, "1"), Interval("1.1")]),
        ((introduced("1.0-1"), fixed("2.0.RC1")), [Interval("1.0.post1", "2.0rc1")]),
    ],
)
def test_the_events_of_a_range_become_intervals(
    events: tuple[dict[str, str], ...], intervals: list[Interval], tmp_path: Path
) -> None:
    advisory = load_one(tmp_path, record(entry(*events)))
    assert advisory.affected == {("PyPI", "pkg"): intervals}
    assert advisory.skipped == ()


def test_entries_of_one_package_are_joined_and_short_npm_versions_filled_up(tmp_path: Path) -> None:
    first, second = ((introduced("0"), fixed("1.2")), (introduced("2.0.0-beta.1"), fixed("2")))
    content = record(*(entry(*events, ecosystem="npm", name="@a/B") for events in (first, second)))
    assert load_one(tmp_path, content).affected == {
        ("npm", "@a/B"): [Interval("0", "1.2.0"), Interval("2.0.0-beta.1", "2.0.0")]
    }


def test_versions_outside_the_ranges_become_intervals_of_their_own(tmp_path: Path) -> None:
    content = record(entry(*FROM_0_TO_2, versions=["1.0", "2.0", "2.0.0", "3.1-1"]))
    assert load_one(tmp_path, content).affected["PyPI", "pkg"] == [
        Interval("0", "2.0"), Interval("2.0", None, "2.0"), Interval("3.1.post1", None, "3.1.post1")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("affected", "reasons"),
    [
        ([], ["nothing is affected"]),
        ([entry(introduced("0"), ecosystem="NuGet", name="Moment.js")], ["Moment.js: NuGet is none of npm, PyPI"]),
        ([entry(introduced("0"), ecosystem="pypi")], ["pkg: pypi is none of npm, PyPI"]),
        ([{"ranges": []}], ["an entry without a package: no ecosystem is none of npm, PyPI"]),
        ([entry()], ["pkg: no version is named"]),
        (
            [entry(ranges=[{"type": "GIT", "repo": "r", "events": [{"introduced": "0"}, {"limit": "*"}]}])],
            ["pkg: a GIT range can't be compared with a locked version", "pkg: no version is named"],
        ),
        ([entry(versions=["2004d"])], ["pkg: Invalid version: '2004d'", "pkg: no version is named"]),
    ],
)
def test_what_cannot_be_compiled_is_listed_with_its_reason(
    affected: list[dict[str, Any]], reasons: list[str], tmp_path: Path
) -> None:
    advisory = load_one(tmp_path, record(*affected))
    assert (advisory.affected, list(advisory.skipped)) == ({}, reasons)
    # beside something that can be compiled, it stays listed
    (mixed,) = load_advisories(put(tmp_path / "mixed", record(entry(*FROM_0_TO_2, name="good"), *affected)))
    assert mixed.affected == {("PyPI", "good"): [Interval("0", "2.0")]}
    assert list(mixed.skipped) == (reasons if affected else [])
    with pytest.raises(ConfigError, match="all 1 records are withdrawn or skipped"):
        compile_advisories(tmp_path / "records")
    compiled = compile_advisories(tmp_path / "mixed")
    assert list(compiled.skipped) == [f"{mixed.id}: {reason}" for reason in mixed.skipped]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], 'is not of type "object"'),
        ({"id": "ACME-1"}, '"modified" is a required property'),
        (record(id="../x"), r": id: "),
        (record(modified="2025-01-02"), r": modified: "),
        (record(modified="2025-01-02T00:00:00.0123456789Z"), r": modified: "),  # Go reads at most nine digits
        (record(modified="2025-13-02T00:00:00Z"), "month must be in"),
        (record(withdrawn=None), r": withdrawn: null"),
        (record(database_specific={"severity": "SEVERE"}), '"SEVERE" is not one of'),
        (record(database_specific={"cwe_ids": ["506"]}), r"cwe_ids\[0\]"),
        (record(entry(name="a\nb")), r"affected\[0\].package.name"),
        (record(entry(name="\ud800")), "surrogates not allowed"),
        (record(entry(introduced("0"), fixed(""))), r'events\[1\].fixed: "" is shorter than 1'),
        (record(entry(introduced("0"), fixed("latest"))), "Invalid version: 'latest'"),
        (record(entry(introduced("0"), fixed("1.x"), ecosystem="npm")), "Invalid version string: '1.x'"),
        (record(entry(introduced("0"), fixed("1.0+local"))), "local or build part"),
        (record(entry(introduced("0"), {"fixed": "1", "last_affected": "2"})), "has more than 1 property"),
        (record(entry(introduced("0"), {"limit": "2"})), r"limit.* was unexpected"),
        (record(entry(fixed("2"))), "fixed 2 has no counterpart"),
        (record(entry(introduced("0"), introduced("1"))), "introduced 1 has no counterpart"),
        (record(entry(introduced("1"), fixed("1"))), "fixed 1 has no counterpart"),
        (record(entry(introduced("0"), fixed("1"), last("2"))), "last_affected 2 has no counterpart"),
        (record(entry(ranges=[{"type": "ECOSYSTEM", "events": []}])), "has less than 1 item"),
        (record(entry(ranges=[{"type": "CALVER", "events": []}])), '"CALVER" is not one of'),
        (record(entry(ranges=None)), 'null is not of type "array"'),
    ],
)
def test_an_unsound_record_is_refused_by_name_and_reason(content: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_one(tmp_path, content)
    assert str(tmp_path / "records") in caught.value.message
    assert "mend or take away" in caught.value.next_step


@pytest.mark.parametrize("data", [b"", b"{", b'{"id":"A-1","id":"A-2"}', b"\xff\xfe", b'{"a": NaN}'])
def test_a_file_that_is_no_sound_json_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(data)
    with pytest.raises(ConfigError, match=r"bad\.json is"):
        load_advisories(tmp_path)


def test_an_id_in_two_files_an_empty_folder_and_no_folder_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "a", record(entry(*FROM_0_TO_2)))
    shutil.copyfile(tmp_path / "a" / "0.json", tmp_path / "a" / "other.json")
    with pytest.raises(ConfigError, match=r"other\.json .* ACME-1 stands in another file too"):
        load_advisories(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no archive")
    for name, says in (("empty", "holds no .json file"), ("missing", "can't be read"), ("text", "can't be read")):
        with pytest.raises(ConfigError, match=says):
            load_advisories(tmp_path / name)


VERSIONS = st.builds(
    lambda release, suffix: ".".join(map(str, release)) + suffix,
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.sampled_from(["", "rc1", ".dev2", ".post1", "a0"]),
).filter(lambda version: version != "0")  # "0" is no version in OSV: it comes before all of them


@settings(deadline=None)
@given(st.lists(VERSIONS, min_size=1, max_size=7, unique_by=Version), VERSIONS, st.randoms(use_true_random=False))
def test_intervals_agree_with_the_evaluation_in_the_osv_schema(
    bounds: list[str], version: str, shuffler: random.Random
) -> None:
    kinds = ["introduced", "fixed"]
    events = [{kinds[n % 2]: bound} for n, bound in enumerate(sorted(bounds, key=Version))]
    affected = False
    for event in events:  # the schema's algorithm: go through the sorted events, and let each flip the state
        if Version(next(iter(event.values()))) <= Version(version):
            affected = "introduced" in event
    shuffler.shuffle(events)
    assert is_affected("PyPI", list(osv._intervals("PyPI", events)), version) is affected
