"""Which release clears a finding. Versions are compared by the registries' own rules (SemVer, PEP 440)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import takewhile
from typing import Any

from packaging.version import InvalidVersion, Version
from semantic_version import Version as SemVer

MAX_NUMBER = 2**53 - 1  # npm's own limit for a part of a version; some engines overflow above theirs


def smallest_fix(ecosystem: str, installed: Collection[str], fixed_in: Collection[Collection[str]]) -> str | None:
    """Give the lowest version above all `installed` that clears every list of fixes.

    None when one list has no fix, or a version can't be read.
    """
    try:
        base = max(_order(ecosystem, version) for version in installed)
        fixes = [sorted(v for text in texts if (v := _order(ecosystem, text)) > base) for texts in fixed_in]
        spelt = {_order(ecosystem, text): text for texts in fixed_in for text in texts}
    except (ValueError, InvalidVersion):
        return None
    candidates = sorted({version for versions in fixes for version in versions})
    return next((spelt[version] for version in candidates if all(_clears(version, each) for each in fixes)), None)


def is_version(ecosystem: str, text: str) -> bool:
    """Tell whether advisories can be compared with a version; engines pass over others without a word."""
    try:
        read = Version(text) if ecosystem == "pypi" else SemVer(text)
    except (ValueError, InvalidVersion):
        return False
    return max(_release(read)) <= MAX_NUMBER


def _clears(version: Any, fixes: Sequence[Any]) -> bool:
    """Tell whether `version` is at or above a fix, and nearer to that than to a later one.

    An advisory with a fix for each release line has gaps between them: 2.0.0 is above the fix 1.0.5 but below 2.0.1.
    """
    below, above = [fix for fix in fixes if fix <= version], [fix for fix in fixes if fix > version]
    return bool(below) and (version in below or not above or _shared(version, below[-1]) > _shared(version, above[0]))


def _shared(one: Any, other: Any) -> int:
    """Count the leading parts that two versions share, of major, minor and patch."""
    pairs = zip(_release(one), _release(other), strict=True)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _release(version: Any) -> tuple[int, ...]:
    epoch = getattr(version, "epoch", 0)
    return (epoch, version.major, version.minor, getattr(version, "patch", getattr(version, "micro", 0)))


def _order(ecosystem: str, version: str) -> Any:
    return Version(version) if ecosystem == "pypi" else SemVer.coerce(version)
