"""The smallest upgrade: above what is installed, and clear of every finding."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truegate.versions import is_version, smallest_fix

CASES: dict[str, tuple[str, list[str], list[list[str]], str | None]] = {
    "one": ("npm", ["4.17.4"], [["4.17.12"]], "4.17.12"),
    "the highest of several": ("npm", ["4.17.4"], [["4.17.12"], ["4.17.21"], ["4.17.19"]], "4.17.21"),
    "the release line that is installed": ("npm", ["0.0.8"], [["0.2.4", "1.2.6"], ["0.2.1", "1.2.3"]], "0.2.4"),
    "a later line": ("npm", ["1.0.0"], [["0.2.4", "1.2.6"], ["0.2.1", "1.2.3"]], "1.2.6"),
    "many lines": ("npm", ["6.7.0"], [["6.2.4", "6.3.3", "6.5.3", "6.7.3", "6.8.3", "6.10.3"]], "6.7.3"),
    # 2.0.0 is at or above the first finding's 1.0.5, but affected until 2.0.1
    "a gap between lines": ("npm", ["1.0.0"], [["1.0.5", "2.0.1"], ["2.0.0"]], "2.0.1"),
    "a gap between minor lines": ("npm", ["6.7.0"], [["6.7.3", "6.8.3"], ["6.8.0"]], "6.8.3"),
    "within a line": ("npm", ["1.0.0"], [["1.0.5", "1.1.2"], ["1.0.7"]], "1.0.7"),
    "an old fix in an older line": ("npm", ["2.0.0"], [["1.0.5"], ["2.0.3"]], None),
    "several installed": ("npm", ["0.0.8", "1.2.0"], [["0.2.4", "1.2.6"]], "1.2.6"),
    "no fix": ("npm", ["1.0.0"], [["1.0.1"], []], None),
    "a prerelease": ("npm", ["7.22.0"], [["7.23.2", "8.0.0-alpha.4"]], "7.23.2"),
    "from a prerelease": ("npm", ["8.0.0-alpha.1"], [["7.23.2", "8.0.0-alpha.4"]], "8.0.0-alpha.4"),
    "with a v": ("npm", ["v1.0.0"], [["1.0.1"]], None),
    "no version": ("npm", ["latest"], [["1.0.1"]], None),
    "a short one of npm": ("npm", ["1.0.0"], [["1.2"]], "1.2"),
    "Python": ("pypi", ["2.2.4"], [["2.2.5", "2.3.2"]], "2.2.5"),
    "Python, two parts": ("pypi", ["3.9"], [["3.10"]], "3.10"),
    "Python, a calendar": ("pypi", ["2022.12.7"], [["2023.7.22"], ["2024.7.4"]], "2024.7.4"),
    "Python, another epoch": ("pypi", ["2.0"], [["1!1.0"]], "1!1.0"),
    "Python, a post release": ("pypi", ["1.0"], [["1.0.post1"]], "1.0.post1"),
    "Python, no version": ("pypi", ["1.0-something"], [["1.1"]], None),
}


@pytest.mark.parametrize(("ecosystem", "installed", "fixed_in", "upgrade"), CASES.values(), ids=CASES)
def test_the_smallest_upgrade(
    ecosystem: str, installed: list[str], fixed_in: list[list[str]], upgrade: str | None
) -> None:
    assert smallest_fix(ecosystem, installed, fixed_in) == upgrade


NO_NPM = ("4.17.4 ", "04.17.4", "4.17", "4", "4.17.4-", "4.17.4.0", "v1.0.0", "latest", "", "^1.0.0", "9" * 20 + ".0.0")
VERSIONS = {
    "npm": (("4.17.4", "0.0.1", "1.0.0-rc.1+b5", "2024.1.1"), NO_NPM),
    "pypi": (("1.0", "v1.0", "2024.7.4", "1!2.0rc1.post1.dev2+local"), ("foo", "", "1.0-something", "1.*", "2004d")),
}


@pytest.mark.parametrize("ecosystem", VERSIONS)
def test_what_is_no_version_is_told_from_what_is(ecosystem: str) -> None:
    sound, odd = VERSIONS[ecosystem]
    assert all(is_version(ecosystem, text) for text in sound)
    assert not any(is_version(ecosystem, text) for text in odd)


numbers = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
versions = numbers.map(lambda parts: ".".join(map(str, parts)))


@settings(deadline=None)
@given(versions, st.lists(st.lists(versions, min_size=1, max_size=4), min_size=1, max_size=4))
def test_an_upgrade_is_above_what_is_installed_and_at_or_above_a_fix_of_each(
    installed: str, fixed_in: list[list[str]]
) -> None:
    def order(text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(".")))

    upgrade = smallest_fix("npm", [installed], fixed_in)
    above = [[fix for fix in fixes if order(fix) > order(installed)] for fixes in fixed_in]
    if upgrade is None:
        top = max((order(fix) for fixes in above for fix in fixes), default=None)
        assert top is None or not all(above)
        return
    assert order(upgrade) > order(installed)
    assert any(upgrade in fixes for fixes in fixed_in)
    assert all(min(map(order, fixes)) <= order(upgrade) for fixes in above)
