"""Read the TOML files that a team owns and check them against their schema, all errors at once."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import json
import math
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from truegate.errors import ConfigError

KIT_ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 1_000_000
MAX_MESSAGE = 300  # a fault may quote a value of any length


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """Give the schema `schemas/<name>.schema.json`."""
    path = KIT_ROOT / "schemas" / f"{name}.schema.json"
    try:
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} is missing", "copy the folder schemas/ together with the rest of the kit") from error
    return loaded


def read_toml(path: Path, schema_name: str) -> dict[str, Any]:
    """Read and check `path`; raises ConfigError that names every fault with its place in the file."""
    try:
        text = read_text(path)
        data = _plain(tomllib.loads(text))
        if "\\u0000" in json.dumps(data):
            raise ValueError("it holds a NUL character")  # noqa: TRY301  one place for the message
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and int() on thousands of digits
        raise ConfigError(f"{path} is not TOML: {error}", "mend that place") from error
    faults = list(schema_faults(data, schema_name))
    if faults:
        places = "\n".join(f"  {path.name}{_line(text, where)}: {fault}" for where, fault in faults)
        sample = "waivers" if schema_name == "waivers" else "sample"
        raise ConfigError(f"{path} has {len(faults)} error(s):\n{places}", f"inv config.{sample} prints every key")
    return dict(data)


def read_text(path: Path) -> str:
    """Read a file that a team owns; raises ConfigError for one that is no file of text, or far too large."""
    try:
        if not path.is_file():
            raise ConfigError(f"{path} is no file", "put a file there")
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes", "take out what does not belong there")
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8", "save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}", "mend its permissions") from error


def schema_faults(data: Any, schema_name: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Give each fault as its path in the file and a sentence."""
    top = schema(schema_name)
    try:
        errors = list(_validator(schema_name).iter_errors(data))
    except ValueError as refusal:  # "recursion limit reached"
        yield (), f"(top level): it is nested too deeply ({refusal})"
        return
    for error in sorted(errors, key=lambda error: list(map(str, error.instance_path))):
        path = tuple(error.instance_path)
        node: Any = top
        for part in error.schema_path[:-1]:
            node = node[part] if part != "$ref" else top["$defs"][node[part].rsplit("/", 1)[1]]
        if error.schema_path[-1] == "additionalProperties":
            yield from _unknown_keys(path, error.instance, list(node["properties"]))
        else:
            expected = node.get("x-expects")
            message = f"{error.instance!r} is not {expected}" if expected else error.message
            short = message if len(message) < MAX_MESSAGE else f"{message[:200]} … {message[-80:]}"
            yield path, f"{dotted(path)}: {short}"


@functools.cache
def _validator(schema_name: str) -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(schema(schema_name), validate_formats=True)


def _unknown_keys(
    path: tuple[str | int, ...], table: Any, known: Sequence[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for key in sorted(set(table) - set(known)):
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
        yield (*path, key), f"unknown key {dotted((*path, key))!r}{hint}"


def line_of(text: str, path: tuple[str | int, ...]) -> int | None:
    """Find the 1-based line of `path` in the TOML `text`: table headers, array tables and keys as people write them."""
    tables = [str(part) for part in path if isinstance(part, str)]
    index = next((part for part in path if isinstance(part, int)), None)
    best, current, seen = None, [""], -1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        if header:
            current = [part.strip(" \"'") for part in header.group(2).split(".")]
            if header.group(1) == "[[" and current == tables[: len(current)]:
                seen += 1
            if current == tables[: len(current)] and (index is None or seen == index):
                best = number
            continue
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if key and (index is None or seen == index):
            here = ([] if current == [""] else current) + [part.strip("\"'") for part in key.group(1).split(".")]
            if here == tables[: len(here)]:
                best = number
                if here == tables:
                    break
    if best is None and index is not None:  # an array on one line, not tables of their own
        return line_of(text, tuple(tables))
    return best


def _line(text: str, path: tuple[str | int, ...]) -> str:
    number = line_of(text, path)
    return f":{number}" if number else ""


def dotted(path: Sequence[str | int]) -> str:
    """Give a path in a file as people write it: `exclude[0].reason`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "(top level)"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it: the schema then says what it wants instead
    return value.isoformat() if isinstance(value, (dt.date, dt.time)) else value
