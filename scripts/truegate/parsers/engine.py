"""What every vulnerability scanner's report comes down to: the packages it saw and the advisories it matched."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from truegate.errors import ReportError
from truegate.model import Severity

# The scanners' own words on our scale.
SEVERITY_WORDS: Mapping[str, Severity] = {
    "critical": "critical",
    "high": "high",
    "moderate": "medium",
    "medium": "medium",
    "low": "low",
    "negligible": "info",
    "none": "info",
    "unknown": "unknown",
    "": "unknown",
}
# CWE-506 "Embedded Malicious Code" with its children, and CWE-912 "Hidden Functionality".
MALWARE_CWES = frozenset({"CWE-506", "CWE-507", "CWE-508", "CWE-509", "CWE-510", "CWE-511", "CWE-512", "CWE-912"})


@dataclass(frozen=True, slots=True)
class Hit:
    """One advisory that an engine matched with one package of one file."""

    path: str
    name: str
    version: str
    ids: tuple[str, ...]
    severity: Severity
    severity_source: str
    title: str
    fixed_in: tuple[str, ...]
    malware: bool


@dataclass(frozen=True, slots=True)
class EngineReport:
    """One engine's report: `packages` (path -> name and version) shows that it looked.

    `packages` is None for an engine that does not list what it saw; `created` is the report's own date, if it has one.
    """

    engine: str
    packages: Mapping[str, frozenset[tuple[str, str]]] | None
    hits: tuple[Hit, ...]
    withdrawn: tuple[str, ...] = ()
    created: str | None = None


def severity_of(word: Any, report: str) -> Severity:
    """Map a scanner's word to our scale; raises ReportError for a word that nobody has mapped."""
    try:
        return SEVERITY_WORDS[str(word or "").lower()]
    except KeyError as error:
        raise wrong_shape(report, f"the severity {word!r} is unknown") from error


def severity_of_score(score: float) -> Severity:
    """Map a CVSS base score to its word, by the qualitative scale of the CVSS v3.1 specification, section 5."""
    bands: tuple[tuple[float, Severity], ...] = ((9.0, "critical"), (7.0, "high"), (4.0, "medium"), (0.1, "low"))
    return next((word for least, word in bands if score >= least), "info")


def is_malware(ids: Sequence[str], cwes: Sequence[str]) -> bool:
    """Tell whether an advisory calls the whole package hostile."""
    return any(i.startswith("MAL-") for i in ids) or not MALWARE_CWES.isdisjoint(cwes)


def take_name(record: Any, key: str, ecosystem: str, report: str) -> str:
    """Give the name under which a registry knows a package (PyPI: PEP 503); raises ReportError for what is none."""
    name: str = take(record, key, str, report)
    if not name.rpartition("/")[2]:
        raise wrong_shape(report, f"{key!r} is {name!r}, which is no package's name")
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "pypi" else name


def take(record: Any, key: str, kind: type, report: str, default: Any = ...) -> Any:
    """Give `record[key]` when it is of `kind`; null counts as absent. Raises ReportError for another shape."""
    if not isinstance(record, dict):
        raise wrong_shape(report, f"{key!r} is looked for in {type(record).__name__}, expected dict")
    value = record.get(key)
    if value is None and default is not ...:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise wrong_shape(report, f"{key!r} is {type(value).__name__}, expected {kind.__name__}")
    return cast(Any, value)


def take_texts(record: Any, key: str, report: str) -> list[str]:
    """Give the list of texts `record[key]`, empty when absent; raises ReportError for another shape."""
    values = take(record, key, list, report, [])
    if odd := [value for value in values if not isinstance(value, str)]:
        raise wrong_shape(report, f"{key!r} holds {type(odd[0]).__name__}, expected str")
    return cast(list[str], values)


def moment(text: str, report: str) -> datetime:
    """Read an RFC 3339 time; raises ReportError for another text, and for one without a time zone."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise wrong_shape(report, f"{text!r} is no time") from error
    if read.tzinfo is None:
        raise wrong_shape(report, f"the time {text!r} names no zone")
    return read


def wrong_shape(report: str, what: str) -> ReportError:
    """Give the error for a report of another shape than the one that this parser was written for."""
    return ReportError(
        f"{report} has a shape that this version does not know: {what}",
        "check the tool's version with inv tools; a newer one needs a newer kit",
    )
