"""What formats.toml knows: which file names are lockfiles or manifests, and what counts as dev."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

# As few characters as will do: where what follows is found, it is not looked for again further on, so no pattern of
# a target takes exponential time.
STARS = {"**/": "(?:.*?/)??", "**": ".*?"}


@cache
def glob(pattern: str) -> re.Pattern[str]:
    """Translate a glob; `*` and `?` stay within a folder, `**` does not."""
    first, *rest = re.split(r"((?<![^/])\*\*/|\*\*)", pattern)
    later = (STARS[stars] + _block(text) for stars, text in zip(rest[::2], rest[1::2], strict=True))
    *blocks, last = (_block(first), *later)
    return re.compile("".join(f"(?>{block})" for block in blocks) + last, re.DOTALL)


def _block(text: str) -> str:
    """Translate what has no `**`."""
    first, *rest = (re.escape(part).replace(r"\?", "[^/]") for part in text.split("*"))
    return first + "".join(f"(?>[^/]*?{part})" for part in rest[:-1]) + "".join(f"[^/]*?{part}" for part in rest[-1:])


def matches(path: str, patterns: Iterable[str]) -> bool:
    return any(glob(pattern.strip("/")).fullmatch(path) for pattern in patterns)


def find_format(path: str) -> dict[str, Any] | None:
    """Give the row for a path; `exact` is false when only another case of the name is known.

    A row without `ecosystem` is of files that install nothing.
    """
    rows, known = _rows()
    lower = path.lower()
    for row in rows if known.fullmatch("/".join(lower.split("/")[-2:])) else ():
        if matches(lower, row["lower"]):
            return {**row, "exact": row.get("any_case", False) or matches(path, row["globs"])}
    return None


@cache
def table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("formats.toml").read_text(encoding="utf-8"))


@cache
def _rows() -> tuple[list[dict[str, Any]], re.Pattern[str]]:
    data = table()
    rows = [{"files": data["constraints"], "any_case": True}, *data["format"]]
    rows += [{"ecosystem": name, "files": files} for name, files in data["unsupported"].items()]
    for row in rows:
        row["globs"] = [f"**/{name}" for name in row["files"]]
        row["lower"] = [each.lower() for each in row["globs"]]
    names = "|".join(glob(each.lower()).pattern for row in rows for each in row["files"])
    return rows, re.compile(f"(?:.*/)?(?:{names})", re.DOTALL)  # of the last two parts of a path
