"""What formats.toml knows: which file names are lockfiles or manifests, and what counts as dev."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

GLOB = re.compile(r"(\*\*/|\*\*|\*|\?)")
MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@cache
def glob(pattern: str) -> re.Pattern[str]:
    """Translate a glob; `*` and `?` stay within a folder, `**` does not."""
    return re.compile("".join(MEANINGS.get(part) or re.escape(part) for part in GLOB.split(pattern)), re.DOTALL)


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(glob(pattern.strip("/")).fullmatch(path) for pattern in patterns)


def find_format(path: str) -> dict[str, Any] | None:
    """Give the row for a path; `exact` is false when only another case of the name is known."""
    rows, known = _rows()
    for row in rows if known.fullmatch(path) else ():
        if matches(path.lower(), row["lower"]) and not matches(path.lower(), row["not"]):
            return {**row, "exact": row.get("any_case", False) or matches(path, row["globs"])}
    return None


@cache
def table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("formats.toml").read_text(encoding="utf-8"))


@cache
def _rows() -> tuple[list[dict[str, Any]], re.Pattern[str]]:
    data = table()
    rows = data["format"] + [{"ecosystem": name, "files": files} for name, files in data["unsupported"].items()]
    for row in rows:
        row["globs"] = [f"**/{name}" for name in row["files"]]
        row["lower"] = [each.lower() for each in row["globs"]]
        row["not"] = [f"**/{name}" for name in row.get("not", ())]
    names = "|".join(glob(each).pattern for row in rows for each in row["files"])
    return rows, re.compile(f"(?:.*/)?(?:{names})", re.DOTALL | re.IGNORECASE)
