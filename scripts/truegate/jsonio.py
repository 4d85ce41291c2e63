"""Strict JSON in, canonical JSON out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from truegate.errors import ReportError


def loads(data: bytes, name: str) -> Any:
    """Read JSON, refusing what lenient readers let through: duplicate keys, NaN, infinities, bytes not UTF-8.

    `name` is the file or address for the message. Raises ReportError.
    """
    if not data.strip():
        raise ReportError(f"{name} is empty", "look at the tool's log beside it, then run the check again")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"{name} is not sound JSON: {error}", "look at the tool's log beside it, then run the check again"
        ) from error


def load(path: Path, name: str | None = None) -> Any:
    """Read the strict JSON file `path`; raises ReportError when it is missing or unsound."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ReportError(f"{name or path} is missing", "look at the tool's log, then run the check again") from error
    except OSError as error:
        raise ReportError(f"{name or path} can't be read: {error.strerror}", "mend that and run again") from error
    return loads(data, name or str(path))


def dumps(value: Any) -> bytes:
    """Give canonical JSON: UTF-8, sorted keys, two-space indent, no NaN, one line feed at the end."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode("utf-8")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return record


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")
