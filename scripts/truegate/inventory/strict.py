"""Lockfile text to plain data, refusing whatever two readers could understand in two ways."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

import yaml

from truegate import jsonio

CONFLICT_MARK = re.compile(r"^(?:<{7}|\|{7}|={7}|>{7})(?:[ \r\n]|$)", re.MULTILINE)
JSON_OBJECT = re.compile(r'"([^"\\\n]*(?:\\.[^"\\\n]*)*)"\s*:\s*\{')
MAX_DEPTH = 100  # real ones nest less than 20 deep, and YAML scanners take quadratic time on brackets


class RefusedError(Exception):
    """The file can't be read as what its name says; the message says why."""


class Block(dict[str, Any]):
    """A YAML mapping that knows the line (from 1) of each key."""

    def __init__(self, pairs: list[tuple[str, Any, int]]) -> None:
        super().__init__(jsonio.unique([(key, value) for key, value, _ in pairs], str.casefold))
        self.lines = {key: line for key, _, line in pairs}


def decode(data: bytes) -> str:
    """Give the text without a byte-order mark; raises RefusedError for what is empty, not UTF-8 or unmerged."""
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise RefusedError(f"byte {error.start} is not UTF-8") from error
    if not text.strip():
        raise RefusedError("it is empty")
    if "\0" in text:
        raise RefusedError("it holds a NUL character")
    if mark := CONFLICT_MARK.search(text):
        raise RefusedError(f"line {text.count(chr(10), 0, mark.start()) + 1} is a merge conflict mark")
    return text


def quoted(text: str) -> str:
    """Quote the start of what a file says, without the credentials of an address."""
    return repr(re.sub(r"//[^/\s]*@", "//", text)[:80])


def read_json(text: str) -> Any:
    """Read JSON without keys that are equal but for case: a Go program would read either of the two."""
    return jsonio.parse(text, str.casefold)


def json_lines(text: str) -> defaultdict[str, deque[int]]:
    """Give the lines on which each key with an object as value stands, in document order."""
    lines, number, end = defaultdict[str, deque[int]](deque), 1, 0
    for match in JSON_OBJECT.finditer(text):
        number += text.count("\n", end, match.start())
        end = match.start()
        lines[match[1]].append(number)
    return lines


def read_toml(text: str) -> dict[str, Any]:
    data = tomllib.loads(text)
    rest: list[Any] = [data]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            jsonio.unique(list(value.items()), str.casefold)
        rest += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return data


def read_yaml(text: str) -> list[Block]:
    """Read the mappings of a YAML stream, each scalar as text; anchors and deep nesting are refused."""
    events = yaml.parse(text, Loader=getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    documents = [_yaml_value(events, event) for event in events if isinstance(event, yaml.NodeEvent)]
    if not documents or not all(isinstance(document, Block) for document in documents):
        raise RefusedError("it is no YAML mapping")
    return documents


def _yaml_value(events: Iterator[yaml.Event], event: yaml.Event, depth: int = 0) -> Any:
    if getattr(event, "anchor", None) or depth > MAX_DEPTH:
        raise RefusedError(f"line {_line(event)} uses a YAML anchor, or nests deeper than {MAX_DEPTH}")
    if isinstance(event, yaml.ScalarEvent):
        return event.value
    if isinstance(event, yaml.SequenceStartEvent):
        ahead = itertools.takewhile(lambda item: not isinstance(item, yaml.SequenceEndEvent), events)
        return [_yaml_value(events, item, depth + 1) for item in ahead]
    pairs = []
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise RefusedError(f"line {_line(event)} has a key that is no text")
        key, line = event.value, _line(event)
        pairs.append((key, _yaml_value(events, next(events), depth + 1), line))
    return Block(pairs)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0
