"""Which release clears a finding. Versions are compared by the registries' own rules (SemVer, PEP 440)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from packaging.version import InvalidVersion, Version
from semantic_version import Version as SemVer


def smallest_fix(ecosystem: str, installed: Collection[str], fixed_in: Collection[Collection[str]]) -> str | None:
    """Give the lowest version that is at or above some fix of every list and above all `installed`.

    None when one list has no fix, or a version can't be read.
    """
    try:
        base = max(_order(ecosystem, version) for version in installed)
        needed = []
        for versions in fixed_in:
            above = [version for version in versions if _order(ecosystem, version) > base]
            if not above:
                return None
            needed.append(min(above, key=lambda version: _order(ecosystem, version)))
        return max(needed, key=lambda version: _order(ecosystem, version))
    except (ValueError, InvalidVersion):
        return None


def _order(ecosystem: str, version: str) -> Any:
    return Version(version) if ecosystem == "pypi" else SemVer.coerce(version)
