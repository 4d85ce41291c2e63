"""Completeness by a named standard: data in standards/, where fields.json says where each format holds each field."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import Version

from truegate import jsonio
from truegate.errors import ConfigError
from truegate.model import Measurement, from_json
from truegate.sbom.read import UNKNOWN, UNKNOWN_PROPERTY, SbomDocument, listed

_FOLDER = Path(__file__).parent / "standards"
_UNKNOWN_WORDS = frozenset({UNKNOWN, "UNKNOWN", "N/A", "UNSPECIFIED", "NOT_SPECIFIED"})
_STATED = (f"properties[name={UNKNOWN_PROPERTY}].value", f"comment ~ {UNKNOWN_PROPERTY}=([^;]*)")
States = list[tuple[str, str]]  # who must say it, and what is said: given, UNKNOWN or nothing


@dataclass(frozen=True, slots=True)
class Field:
    """One required field, `document.…` or `component.…`, and how many of its holders may say that it is unknown."""

    id: str
    title: str
    unknown_percent_allowed: float
    source: str


@dataclass(frozen=True, slots=True)
class Standard:
    """A named list of required fields; `formats` gives the oldest version of each format that can meet it."""

    id: str
    title: str
    status: str
    source: str
    formats: dict[str, str]
    fields: tuple[Field, ...]


def load_standard(name: str) -> Standard:
    """Read the standard `name`; raises ConfigError when there is none."""
    names = sorted(path.stem for path in _FOLDER.glob("*.json") if path.stem != "fields")
    if name not in names:
        raise ConfigError(f"there is no SBOM standard {name!r}", f"choose one of {', '.join(names)}")
    return from_json(Standard, jsonio.load(_FOLDER / f"{name}.json"))


def judge_standard(documents: tuple[SbomDocument, ...], standard: Standard) -> tuple[list[Measurement], list[str]]:
    """Give each field's worst percentages among the documents that can carry it, and what lacks it, by name."""
    places = jsonio.load(_FOLDER / "fields.json")
    able = [one for one in documents if Version(one.version) >= Version(standard.formats[one.format])]
    problems = [
        f"{one.name}: {one.format} {one.version} can't meet {standard.id}, which takes {standard.formats[one.format]}"
        for one in documents
        if one not in able
    ]
    measurements, unmet = [], 0
    for field in standard.fields:
        carriers = [one for one in able if places[field.id][one.format]]
        named = [(one.name, _states(one, field.id, places[field.id][one.format])) for one in carriers]
        states = [found for _, found in named if found]
        lacks = [f"{name}: {text}" for name, found in named if found and (text := _lack(field, found))]
        why = None if states else "no SBOM here can carry it"
        lacks += [f"{field.title} ({field.source}): {why}"] if why else []
        unmet, problems = unmet + bool(lacks), problems + lacks
        for name, wanted, worst in (("percent", "given", min), ("unknown_percent", UNKNOWN, max)):
            value = worst(_percent(found, wanted) for found in states) if states else None
            measurements.append(Measurement(f"{standard.id}.{field.id}_{name}", value, "percent", reason=why))
    return [Measurement("standard_fields_unmet", unmet, "fields"), *measurements], problems


def _states(document: SbomDocument, field: str, paths: list[str]) -> States:
    if field.startswith("document."):
        return [("the document", _state(document.record, field, paths))]
    parts = [part for part in (document.subject, *document.components) if part]
    if field == "component.dependencies":  # these are not in the component's own record
        return [(part.key, part.dependencies) for part in parts]
    return [(part.key, _state(part.record, field, paths)) for part in parts]


def _state(record: dict[str, Any], field: str, paths: list[str]) -> str:
    said = [text for path in paths for text in values(record, path)]
    if any(text.upper() not in _UNKNOWN_WORDS for text in said):
        return "given"
    stated = ", ".join(text for path in _STATED for text in values(record, path)).split(", ")
    return UNKNOWN if said or field.partition(".")[2] in stated else ""


def _lack(field: Field, states: States) -> str:
    missing = [label for label, state in states if not state]
    unknown = [label for label, state in states if state == UNKNOWN]
    if not missing and _percent(states, UNKNOWN) <= field.unknown_percent_allowed:
        return ""
    what, labels = ("missing", missing) if missing else ("unknown", unknown)
    return f"{field.title} ({field.source}): {what} in {len(labels)} of {len(states)}: {listed(labels)}"


def _percent(states: States, wanted: str) -> float:
    """Give the share of `wanted`, rounded against us: 99.999 % given is not 100 %."""
    share = 10000 * sum(state == wanted for _, state in states) / len(states)
    return (math.floor(share) if wanted == "given" else math.ceil(share)) / 100


def values(record: dict[str, Any], path: str) -> list[str]:
    """Give the non-empty values at `path`: keys joined by dots, lists entered, `[key=value]` and ` ~ regex` filter."""
    path, _, pattern = path.partition(" ~ ")
    nodes: list[Any] = [record]
    for step in path.split("."):
        key, _, condition = step.rstrip("]").partition("[")
        name, _, wanted = condition.partition("=")
        found = [node[key] for node in nodes if isinstance(node, dict) and key in node]
        nodes = [item for node in found for item in (node if isinstance(node, list) else [node])]
        nodes = [node for node in nodes if not condition or (isinstance(node, dict) and node.get(name) == wanted)]
    matches = [match for node in nodes if node and (match := re.search(pattern or r"(?s)\S.*", str(node)))]
    return [match[match.lastindex or 0].strip() for match in matches]
