"""What can't be read for certain is a problem that names the file, and never an exception or an empty list."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truegate.inventory.discover import discover
from truegate.inventory.read import read_inventory
from truegate.inventory.records import FoundFile, Inventory

SAMPLES = Path(__file__).parents[1] / "samples" / "lockfiles"
LOCKFILES = {
    "npm1-workspace": "package-lock.json",
    "npm2-old-runtime": "package-lock.json",
    "npm3-workspace": "package-lock.json",
    "yarn1-workspace": "yarn.lock",
    "yarn3-workspace": "yarn.lock",
    "yarn4-workspace": "yarn.lock",
    "pnpm7-peer": "pnpm-lock.yaml",
    "pnpm8-alias": "pnpm-lock.yaml",
    "pnpm10-workspace": "pnpm-lock.yaml",
    "poetry1-extras": "poetry.lock",
    "poetry2-extras": "poetry.lock",
    "uv-workspace": "uv.lock",
    "pipenv-extras": "Pipfile.lock",
    "pip-compile-extras": "requirements.txt",
}
JSON_NAMES = ["npm1-workspace", "npm2-old-runtime", "npm3-workspace", "pipenv-extras"]
YAML_NAMES = ["yarn4-workspace", "pnpm7-peer", "pnpm10-workspace"]


def read_changed(name: str, data: bytes) -> Inventory:
    """Read a sample with its lockfile's bytes replaced; only what concerns that file is given."""
    lockfile = LOCKFILES[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for path in (SAMPLES / name).rglob("*.sample"):
            copy = root / path.relative_to(SAMPLES / name).with_suffix("")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        (root / lockfile).write_bytes(data)
        files = discover(root, leave_out=[], excluded=[]).files
        assert lockfile in {file.path for file in files}
        inventory = read_inventory(root, files, ["requirements-dev.txt"])
    own = tuple(reading for reading in inventory.readings if reading.path == lockfile)
    return Inventory(own, inventory.problems)


@cache
def original(name: str) -> bytes:
    return (SAMPLES / name / f"{LOCKFILES[name]}.sample").read_bytes()


@cache
def keys(name: str) -> frozenset[str]:
    (reading,) = read_changed(name, original(name)).readings
    return frozenset(package.key for package in reading.packages)


def assert_refused(name: str, data: bytes, why: str) -> None:
    inventory = read_changed(name, data)
    assert inventory.readings == ()
    reason = next(reason for reason in inventory.problems if reason.code == "unreadable")
    assert reason.kind == "incomplete"
    assert reason.message.startswith(f"{LOCKFILES[name]}: ")
    assert re.search(why, reason.message)
    assert reason.next_step


@pytest.mark.parametrize("name", LOCKFILES)
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda _: b"", "empty"),
        (lambda _: b" \n\t\n", "empty"),
        (lambda data: data.replace(b"1", b"\xff", 1), "not UTF-8"),
        (lambda data: data.decode().encode("utf-16"), "not UTF-8"),
        (lambda data: data + b"\0", "NUL"),
        (
            lambda data: b"<<<<<<< HEAD\n" + data + b"=======\n" + data + b">>>>>>> other\n",
            "line 1 is a merge conflict",
        ),
        (lambda data: data + b"||||||| base\n", "merge conflict"),
    ],
    ids=["empty", "blank", "latin-1", "utf-16", "nul", "conflict", "conflict-base"],
)
def test_every_format_refuses(name: str, change: object, why: str) -> None:
    assert callable(change)
    assert_refused(name, change(original(name)), why)


@pytest.mark.parametrize("name", LOCKFILES)
def test_a_byte_order_mark_is_read_over(name: str) -> None:
    (reading,) = read_changed(name, b"\xef\xbb\xbf" + original(name)).readings
    assert {package.key for package in reading.packages} == keys(name)


@pytest.mark.parametrize("name", [name for name in LOCKFILES if not name.startswith("pip-compile")])
def test_another_format_under_the_name_is_refused(name: str) -> None:
    for data in (
        b"<!DOCTYPE html><p>sign in</p>\n",
        b"[]\n",
        b"null\n",
        b"3\n",
        b'"text"\n',
        b"a\n",
        b"{}\n",
        b"a: b\n",
    ):
        assert_refused(name, data, "can't be read")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("npm3-workspace", '"lockfileVersion": 3', '"lockfileVersion": 4'),
        ("npm3-workspace", '"lockfileVersion": 3', '"lockfileVersion": "3"'),
        ("npm3-workspace", '"lockfileVersion": 3,', ""),
        ("yarn1-workspace", "# yarn lockfile v1", "# yarn lockfile v2"),
        ("yarn4-workspace", "version: 10", "version: 99"),
        ("pnpm10-workspace", "lockfileVersion: '9.0'", "lockfileVersion: '10.0'"),
        ("poetry2-extras", 'lock-version = "2.1"', 'lock-version = "3.0"'),
        ("uv-workspace", "version = 1", "version = 2"),
        ("pipenv-extras", '"pipfile-spec": 6', '"pipfile-spec": 7'),
    ],
)
def test_an_unknown_lockfile_version_is_refused(name: str, old: str, new: str) -> None:
    text = original(name).decode()
    assert old in text
    assert_refused(name, text.replace(old, new, 1).encode(), "known is|known are|lockfileVersion|neither")


@pytest.mark.parametrize("name", JSON_NAMES)
def test_json_keys_that_are_equal_or_equal_but_for_case_are_refused(name: str) -> None:
    text = original(name).decode()
    field = '"pipfile-spec": 6' if name.startswith("pipenv") else '"requires": true'
    for twin in (field, field.upper().replace("TRUE", "true"), field.replace("s", "\u017f", 1)):
        assert_refused(name, text.replace(field, f"{field},\n{twin}", 1).encode(), "stands twice")


@pytest.mark.parametrize("name", YAML_NAMES)
def test_yaml_twins_anchors_and_depth_are_refused(name: str) -> None:
    text = original(name).decode()
    section = "__metadata:" if name.startswith("yarn") else "packages:"
    assert_refused(name, f"{text}\n{section}\n  a: b\n".encode(), "stands twice")
    assert_refused(name, f"{text}\n{section.title()}\n  a: b\n".encode(), "stands twice")
    assert_refused(name, f"{text}\nx: &a b\ny: *a\n".encode(), "anchor")
    assert_refused(name, f"{text}\nx: {'[' * 1_000_000}\n".encode(), "nests deeper")


def test_toml_twins_are_refused() -> None:
    for name in ("poetry2-extras", "uv-workspace"):
        text = original(name).decode()
        assert_refused(name, text.replace("\nversion", '\nversion = "9"\nversion', 1).encode(), "can't be read")
        assert_refused(name, re.sub(r"(?m)^(name = .*)$", "\\1\nName = 'x'", text, count=1).encode(), "stands twice")


def test_two_entries_for_one_range_are_refused() -> None:
    text = original("yarn1-workspace").decode()
    assert_refused("yarn1-workspace", f"{text}\n{text.split(chr(10), 3)[3].strip()}\n".encode(), "twice|two entries")


@pytest.mark.parametrize("name", JSON_NAMES)
def test_json_that_is_no_json_is_refused(name: str) -> None:
    text = original(name).decode()
    for insertion in ('{"x": NaN, ', '{"x": -Infinity, ', '{"x": 1,, ', '{"x": ' + "[" * 200_000 + ", "):
        assert_refused(name, text.replace("{", insertion, 1).encode(), "can't be read")


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(LOCKFILES)), part=st.floats(0, 1, exclude_max=True))
def test_a_lockfile_cut_anywhere_never_has_fewer_packages_without_a_problem(name: str, part: float) -> None:
    data = original(name)
    cut = int(part * len(data))
    if name == "pip-compile-extras":  # requirements are whole at the end of each, so cut within one
        cut = max(data.rfind(b" \\\n", 0, cut) + 3, 0)
    inventory = read_changed(name, data[:cut])
    found = {package.key for reading in inventory.readings for package in reading.packages}
    last_entry = data.rindex(b"\n\n") if name == "yarn1-workspace" else len(data)
    if cut > last_entry and data[cut - 1 : cut] == b"\n":
        return  # a whole file for Yarn 1 too: only the registry knows what its last entry depends on
    assert inventory.problems or found == keys(name)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(LOCKFILES)),
    at=st.floats(0, 1),
    length=st.integers(0, 40),
    put=st.one_of(st.binary(max_size=12), st.sampled_from([b"{", b"]", b"null", b"[[package]]", b": ", b'"', b"\n"])),
)
def test_no_content_raises(name: str, at: float, length: int, put: bytes) -> None:
    data = original(name)
    start = int(at * len(data))
    inventory = read_changed(name, data[:start] + put + data[start + length :])
    assert inventory.readings or any(reason.message.startswith(LOCKFILES[name]) for reason in inventory.problems)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(JSON_NAMES),
    choice=st.integers(0, 10_000),
    put=st.sampled_from([None, True, 3, -1.5, "", "x", [], ["x"], {}, {"x": None}, [[]]]),
)
def test_no_shape_raises(name: str, choice: int, put: object) -> None:
    tree = json.loads(original(name))
    places: list[tuple[dict[str, object], str]] = []
    rest: list[object] = [tree]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            places += [(value, key) for key in value]
            rest += value.values()
    holder, key = places[choice % len(places)]
    holder[key] = put
    inventory = read_changed(name, json.dumps(tree).encode())
    assert inventory.readings or any(reason.message.startswith(LOCKFILES[name]) for reason in inventory.problems)


def test_a_vanished_copy_is_a_problem(tmp_path: Path) -> None:
    gone = FoundFile("a/yarn.lock", "yarn", "npm", "lockfile")
    inventory = read_inventory(tmp_path, [gone], [])
    assert inventory.readings == ()
    assert [reason.message for reason in inventory.problems] == [
        "a/yarn.lock: can't be read: No such file or directory"
    ]
