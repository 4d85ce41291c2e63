"""JSON that lenient readers let through is refused; what we write is canonical."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truegate import jsonio
from truegate.errors import INCONCLUSIVE, ReportError

WHOLE = jsonio.dumps({"a": [1, 2.5, None, True, "ä\u20ac\U0001f600"], "b": {"c": "d"}}).strip()
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b'{"a": 1, "b": 2, "a": 1}', "the key 'a' stands twice in one object"),
        (b'[{"x": {"a": 1, "a": 2}}]', "the key 'a' stands twice in one object"),
        (b'{"\\u0061": 1, "a": 2}', "the key 'a' stands twice in one object"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b"[Infinity]", "Infinity is no JSON number"),
        (b"[-Infinity]", "-Infinity is no JSON number"),
        (b"[1e999]", "1e999 is no JSON number"),
        (b"[-1e999]", "-1e999 is no JSON number"),
        (b'"\xff"', "can't decode byte 0xff"),
        (b'"\xed\xa0\x80"', "can't decode byte 0xed"),
        ('"ä"'.encode("utf-16"), "can't decode byte"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        (b'{"a": "\\ud800"}', "surrogates not allowed"),
        (b'{"\\uDFFF": 1}', "surrogates not allowed"),
        (b'["\\ud83d\\ud83d\\ude00"]', "surrogates not allowed"),
        (b"[" * 100_000, "recursion"),
        (b'{"a":' * 100_000, "recursion"),
        (b"[1] [2]", "Extra data"),
        (b"[1]\0", "Extra data"),
        (b"{'a': 1}", "Expecting property name"),
        (b"[1,]", "not sound JSON"),
        (b"[" + b"1" * 5000 + b"]", "4300"),
        (b'"a\nb"', "Invalid control character"),
    ],
)
def test_unsound_json_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ReportError) as caught:
        jsonio.loads(data, "raw/trivy.json")
    assert caught.value.message.startswith("raw/trivy.json is ")
    assert told in caught.value.message
    assert caught.value.next_step
    assert caught.value.exit_code == INCONCLUSIVE


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_truncated_json_is_refused_wherever_it_ends(length: int) -> None:
    assert jsonio.loads(WHOLE, "x")["b"] == {"c": "d"}
    with pytest.raises(ReportError):
        jsonio.loads(WHOLE[:length], "x")


def test_numbers_and_texts_that_are_sound_pass() -> None:
    assert jsonio.loads(b'[1e308, 0.1, -0, "\\ud83d\\ude00", "\\\\ud800"]', "x") == [
        1e308,
        0.1,
        0,
        "\U0001f600",
        "\\ud800",
    ]


@given(VALUES)
def test_what_is_written_reads_back_and_is_written_the_same_again(value: Any) -> None:
    data = jsonio.dumps(value)
    assert jsonio.loads(data, "x") == value
    assert jsonio.dumps(jsonio.loads(data, "x")) == data


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    backwards = dict(reversed(list(value.items())))
    assert jsonio.dumps(value) == jsonio.dumps(backwards)


def test_canonical_form() -> None:
    assert jsonio.dumps({"b": "ä", "a": [1]}) == '{\n "a": [\n  1\n ],\n "b": "ä"\n}\n'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_no_number_that_json_lacks_is_written(value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsonio.dumps(value)


def test_a_name_that_is_not_utf_8_can_be_written() -> None:
    data = jsonio.dumps({"name": os.fsdecode(b"caf\xe9")})
    assert json.loads(data.decode("utf-8")) == {"name": "caf?"}


def test_a_file_that_is_missing_or_unreadable_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"raw/trivy\.json is missing"):
        jsonio.load(tmp_path / "absent.json", "raw/trivy.json")
    with pytest.raises(ReportError, match="can't be read: Is a directory") as caught:
        jsonio.load(tmp_path)
    assert str(tmp_path) in caught.value.message
