"""Strict JSON in, canonical JSON out."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from truegate.errors import ReportError


def loads(data: bytes, name: str) -> Any:
    """Read JSON, refusing what lenient readers let through.

    Duplicate keys, NaN, infinities (1e999 too), lone surrogates and bytes that are not UTF-8 are no sound JSON.
    `name` is the file or address for the message. Raises ReportError.
    """
    if not data.strip():
        raise ReportError(f"{name} is empty", "look at the tool's log beside it, then run the check again")
    try:
        return parse(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"{name} is not sound JSON: {error}", "look at the tool's log beside it, then run the check again"
        ) from error


def parse(text: str, fold: Callable[[str], str] = str) -> Any:
    """Read strict JSON, in which no two keys of an object are equal after `fold`; raises ValueError, RecursionError."""
    hook = partial(unique, fold=fold)
    value = json.loads(text, object_pairs_hook=hook, parse_constant=_no_constant, parse_float=_finite)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


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
    """Give canonical JSON: UTF-8, sorted keys, one-space indent, no NaN, one line feed at the end.

    A lone surrogate (half of a file's name that is not UTF-8) becomes a question mark.
    """
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "replace")


def unique(pairs: list[tuple[str, Any]], fold: Callable[[str], str] = str) -> dict[str, Any]:
    """Make a dict of pairs; raises ValueError for keys that are equal after `fold`."""
    record = dict(pairs)
    if len(record if fold is str else {*map(fold, record)}) != len(pairs):
        twice = Counter(fold(key) for key, _ in pairs).most_common(1)[0][0]
        case = "" if fold is str else ", perhaps in another case"
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object{case}")
    return record


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)
