"""The bbolt writer against our own reader, and both against bbolt itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from truegate.advisories import bbolt
from truegate.errors import ConfigError, ReportError

CHECKER = Path(__file__).resolve().parents[1] / "bbolt_check"
KEYS = st.binary(min_size=1, max_size=40)
LEAVES = st.dictionaries(KEYS, st.binary(max_size=300), max_size=12)
BUCKETS = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, st.binary(max_size=60) | inner, max_size=6))
TREES = st.dictionaries(KEYS, BUCKETS, max_size=4)
# What random trees seldom hold: no bucket, an empty one, a value of many pages, keys that fill a page each, buckets
# just below and above the inline limit, two and three levels of branch pages, and more keys than one page can count.
SHAPES: dict[str, bbolt.Tree] = {
    "nothing": {},
    "an empty bucket": {b"a": {}, b"b": {b"c": {}}},
    "an empty value": {b"a": {b"k": b""}},
    "a long value": {b"a": {b"k": bytes(range(256)) * 4000, b"l": b"after it"}},
    "the longest keys": {b"a": {bytes([n]) * bbolt.MAX_KEY_BYTES: b"v" for n in range(70)}},
    "about the inline limit": {b"a": {b"%04d" % n: {b"k": b"v" * n} for n in range(960, 1010)}},
    "65 keys": {b"a": {b"%03d" % n: b"v" for n in range(65)}},
    "many buckets": {b"a": {b"%05d" % n: {b"k": b"%d" % n} for n in range(6000)}},
    "70,000 keys": {b"a": {b"%06d" % n: b"%d" % n for n in range(70000)}, b"b": {b"k": b"v"}},
    "buckets in buckets": {b"a": {b"b": {b"c": {b"d": {b"e": b"f"}, b"g": b"h"}}, b"i": b"j" * 5000}},
}


@settings(deadline=None)
@given(TREES)
def test_what_is_written_is_read_back(tree: bbolt.Tree) -> None:
    data = bbolt.dump(tree)
    assert bbolt.load(data, "x") == tree
    assert data == bbolt.dump(tree)


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_shapes_are_read_back(shape: str) -> None:
    assert bbolt.load(bbolt.dump(SHAPES[shape]), "x") == SHAPES[shape]


@pytest.mark.parametrize("key", [b"", b"k" * (bbolt.MAX_KEY_BYTES + 1)])
@pytest.mark.parametrize("value", [b"v", {}])
def test_a_key_beyond_the_limits_is_refused(key: bytes, value: bytes | bbolt.Tree) -> None:
    with pytest.raises(ConfigError, match="keys of 1 to 32768 bytes"):
        bbolt.dump({b"a": {key: value}})


def test_a_value_beyond_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bbolt, "MAX_VALUE_BYTES", 10)
    assert bbolt.load(bbolt.dump({b"a": {b"k": b"v" * 10}}), "x") == {b"a": {b"k": b"v" * 10}}
    with pytest.raises(ConfigError, match="values of up to 10"):
        bbolt.dump({b"a": {b"k": b"v" * 11}})


SAMPLE: bbolt.Tree = {
    b"inline": {b"pkg": {b"CVE-1": b"one"}},
    b"pages": {b"%04d" % n: b"value" * 20 for n in range(200)},
}
SAMPLE_FILE = bbolt.dump(SAMPLE)


@settings(deadline=None)
@given(st.integers(0, len(SAMPLE_FILE) - 1))
def test_a_file_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ReportError, match=r"x is no sound bbolt file"):
        bbolt.load(SAMPLE_FILE[:length], "x")


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(SAMPLE_FILE) - 1), st.integers(1, 255))
@example(bbolt.PAGE_BYTES + bbolt.PAGE.size + 16, 1)
@example(3 * bbolt.PAGE_BYTES, 1)
def test_a_changed_byte_is_refused_or_gives_another_tree_or_was_padding(position: int, change: int) -> None:
    data = bytearray(SAMPLE_FILE)
    data[position] ^= change
    try:
        tree = bbolt.load(bytes(data), "x")
    except ReportError:
        return
    assert tree != SAMPLE or bbolt.dump(tree) != bytes(data)


@pytest.mark.parametrize("position", [bbolt.PAGE_BYTES + bbolt.PAGE.size + n for n in range(bbolt.META_BODY.size + 8)])
def test_a_changed_meta_page_is_refused(position: int) -> None:
    data = bytearray(SAMPLE_FILE)
    data[position] ^= 1
    with pytest.raises(ReportError, match="meta page is damaged"):
        bbolt.load(bytes(data), "x")


def test_keys_that_bbolt_would_not_find_are_refused() -> None:
    data = bbolt.dump({b"a": {b"k%03d" % n: b"v" * 40 for n in range(65)}})
    with pytest.raises(ReportError, match="out of order"):
        bbolt.load(data.replace(b"k003v", b"k001v"), "x")
    page = data.rindex(b"k064")  # the key by which the branch page names its second leaf
    with pytest.raises(ReportError, match="does not begin with the key"):
        bbolt.load(data[:page] + b"k063" + data[page + 4 :], "x")


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    program = tmp_path_factory.mktemp("bbolt_check") / "bbolt_check"
    env = os.environ | {"GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", str(program), "."], cwd=CHECKER, env=env, check=True, timeout=600)
    yield program
    program.unlink()


def lines(tree: bbolt.Tree, path: str) -> Iterator[str]:
    yield f"{path} bucket"
    for key, value in sorted(tree.items()):
        if isinstance(value, bytes):
            yield f"{path} {key.hex()} = {value.hex()}"
        else:
            yield from lines(value, f"{path} {key.hex()}")


def assert_bbolt_agrees(checker: Path, tree: bbolt.Tree, path: Path) -> None:
    path.write_bytes(bbolt.dump(tree))
    seen = subprocess.run([checker, path], capture_output=True, text=True, check=False, timeout=120)
    assert (seen.returncode, seen.stderr) == (0, "")
    buckets = [(name, bucket) for name, bucket in sorted(tree.items()) if not isinstance(bucket, bytes)]
    assert seen.stdout.splitlines() == [line for name, bucket in buckets for line in lines(bucket, name.hex())]


needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="bbolt itself is Go: there is no go on PATH")


@needs_go
@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_bbolt_itself_finds_the_file_sound_and_every_key(shape: str, checker: Path, tmp_path: Path) -> None:
    assert_bbolt_agrees(checker, SHAPES[shape], tmp_path / "x.db")


@needs_go
@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES)
def test_bbolt_itself_reads_random_trees(tree: bbolt.Tree, checker: Path, tmp_path: Path) -> None:
    assert_bbolt_agrees(checker, tree, tmp_path / "x.db")


@needs_go
@pytest.mark.slow
def test_bbolt_itself_refuses_a_damaged_file(checker: Path, tmp_path: Path) -> None:
    data = bytearray(SAMPLE_FILE)
    data[3 * bbolt.PAGE_BYTES] ^= 1
    (tmp_path / "x.db").write_bytes(data)
    seen = subprocess.run([checker, tmp_path / "x.db"], capture_output=True, text=True, check=False, timeout=120)
    assert seen.returncode != 0
