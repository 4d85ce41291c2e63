"""Globs: what they match, and that no pattern of a target takes for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truegate.inventory.formats import matches

MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def plainly(pattern: str) -> re.Pattern[str]:
    """Translate in the way that is plain and may take for ever."""
    parts = re.split(r"((?<![^/])\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(MEANINGS.get(part) or re.escape(part) for part in parts), re.DOTALL)


@settings(max_examples=500, deadline=None)
@given(
    pattern=st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**", "**/", "/**/", "\n"]), max_size=8).map("".join),
    path=st.text("ab/\n", max_size=10),
)
def test_globs_match_what_their_plain_translation_matches(pattern: str, path: str) -> None:
    assert matches(path, [pattern]) == bool(plainly(pattern.strip("/")).fullmatch(path))


@pytest.mark.parametrize("part", ["**/", "**/a/", "**/*a*/", "a/**/", "**a", "**?*"])
def test_no_pattern_takes_for_ever_on_a_deep_path(part: str) -> None:
    deep = "/".join(["a"] * 400)
    assert not matches(deep, [part * 12 + "zz"])
    assert matches(f"{deep}/zz", [part * 12 + "**/zz"])


def test_no_pattern_takes_for_ever_on_a_long_name() -> None:
    assert not matches("a" * 255, ["*a" * 20 + "zz"])
    assert matches("a" * 255 + "zz", ["*a" * 20 + "zz"])
