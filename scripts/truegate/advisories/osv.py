"""Read advisories in OSV form: strict where we rely on the shape, and nothing is left out without a word."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from packaging.version import Version as PypiVersion
from semantic_version import Version as NpmVersion

from truegate import jsonio
from truegate.errors import ConfigError, ReportError
from truegate.toml import dotted

ECOSYSTEMS = ("npm", "PyPI")
EVENT_RANKS = {"fixed": 0, "introduced": 1, "last_affected": 2}  # which comes first at one and the same version


@dataclass(frozen=True, slots=True)
class Interval:
    """Affected versions from `introduced` ("0": from the first) up to before `fixed`, or up to `last_affected`."""

    introduced: str
    fixed: str | None = None
    last_affected: str | None = None


@dataclass(frozen=True, slots=True)
class Advisory:
    """One record that fits osv.schema.json; `affected` by ecosystem and name as spelt, `skipped` says why not more."""

    id: str
    record: dict[str, Any]
    affected: dict[tuple[str, str], list[Interval]]
    skipped: tuple[str, ...]


def load_advisories(source: Path) -> tuple[Advisory, ...]:
    """Read every `.json` below a folder, or in a zip archive, as an OSV record, in order of id.

    Raises ConfigError, naming the file, for a record that is unsound or there twice, and when there is none at all.
    """
    import jsonschema_rs

    validator = jsonschema_rs.Draft202012Validator(jsonio.load(Path(__file__).with_name("osv.schema.json")))
    found: dict[str, Advisory] = {}
    for name, data in _files(source):
        try:
            record = jsonio.loads(data, name)
            advisory = _advisory(record, next(validator.iter_errors(record), None))
            if found.setdefault(advisory.id, advisory) is not advisory:
                raise ValueError(f"{advisory.id} stands in another file too")  # noqa: TRY301  one place for the message
        except (ValueError, ReportError) as error:
            next_step = "mend or take away that record, then compile again"
            raise ConfigError(f"{name} is no OSV record that can be compiled: {error}", next_step) from error
    if not found:
        raise ConfigError(f"{source} holds no .json file", "name a folder or a zip archive of OSV records")
    return tuple(advisory for _, advisory in sorted(found.items()))


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if source.is_dir():
            yield from ((str(path), path.read_bytes()) for path in sorted(source.rglob("*.json")))
            return
        with zipfile.ZipFile(source) as archive:
            names = [name for name in archive.namelist() if name.endswith(".json")]
            yield from ((f"{source}:{name}", archive.read(name)) for name in names)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise ConfigError(
            f"{source} can't be read: {error}", "name a folder or a zip archive of OSV records"
        ) from error


def _advisory(record: dict[str, Any], fault: Any) -> Advisory:
    if fault is not None:
        raise ValueError(f"{dotted(fault.instance_path)}: {fault.message:.200}")
    for key in {"published", "modified", "withdrawn"} & set(record):
        datetime.fromisoformat(record[key])
    affected: dict[tuple[str, str], list[Interval]] = defaultdict(list)
    skipped = [] if record.get("affected") else ["nothing is affected"]
    for entry in record.get("affected", []):
        package = entry.get("package", {"ecosystem": "no ecosystem", "name": "an entry without a package"})
        ecosystem, name = package["ecosystem"].split(":")[0], package["name"]
        if ecosystem not in ECOSYSTEMS:
            skipped.append(f"{name}: {ecosystem} is none of {', '.join(ECOSYSTEMS)}")
            continue
        intervals, reasons = _match(ecosystem, entry)
        affected[ecosystem, name] += intervals
        skipped += [f"{name}: {reason}" for reason in reasons]
    return Advisory(
        record["id"], record, {key: found for key, found in affected.items() if found}, tuple(dict.fromkeys(skipped))
    )


def _match(ecosystem: str, entry: dict[str, Any]) -> tuple[list[Interval], list[str]]:
    """Give the affected versions of one `affected` entry, and why others can't be matched."""
    every = entry.get("ranges", [])
    ranges = [item for item in every if item["type"] != "GIT"]
    reasons = [] if ranges == every else ["a GIT range can't be compared with a locked version"]
    intervals = [interval for item in ranges for interval in _intervals(ecosystem, item["events"])]
    for text in entry.get("versions", []):
        try:
            version = _canonical(ecosystem, text)
            if not is_affected(ecosystem, intervals, version):
                intervals.append(Interval(version, last_affected=version))
        except ValueError as error:
            reasons.append(str(error))
    return intervals, reasons if intervals else [*reasons, "no version is named"]


def _intervals(ecosystem: str, events: Sequence[dict[str, str]]) -> Iterator[Interval]:
    """Give the intervals of one range, whose events may stand in any order (OSV schema, "Evaluation")."""
    ordered: list[tuple[Any, str, str]] = []
    for ((kind, text),) in (event.items() for event in events):
        if "+" in text:
            raise ValueError(f"{kind} {text}: not every engine can compare with a local or build part")
        first = (kind, text) == ("introduced", "0")
        version = text if first else _canonical(ecosystem, text)
        ordered.append((() if first else (_order(ecosystem, version), EVENT_RANKS[kind]), kind, version))
    introduced = None
    for _, kind, version in sorted(ordered):
        if (kind == "introduced") != (introduced is None):
            raise ValueError(f"{kind} {version} has no counterpart in its range")
        if introduced is not None:
            yield Interval(introduced, **{kind: version})
        introduced = version if kind == "introduced" else None
    if introduced is not None:
        yield Interval(introduced)


def is_affected(ecosystem: str, intervals: Sequence[Interval], version: str) -> bool:
    """Tell whether `version` lies in one of the intervals (OSV schema, "Evaluation")."""
    key = _order(ecosystem, version)
    return any(
        (interval.introduced == "0" or _order(ecosystem, interval.introduced) <= key)
        and (interval.fixed is None or key < _order(ecosystem, interval.fixed))
        and (interval.last_affected is None or key <= _order(ecosystem, interval.last_affected))
        for interval in intervals
    )


def _order(ecosystem: str, version: str) -> Any:
    return PypiVersion(version) if ecosystem == "PyPI" else NpmVersion(version).precedence_key


def _canonical(ecosystem: str, text: str) -> str:
    """Give the spelling that both engines compare right; raises ValueError for what they can't compare."""
    if ecosystem == "PyPI":
        return str(PypiVersion(text))
    return str(NpmVersion(text + ".0" * (2 - text.count(".")) if re.fullmatch(r"\d+(\.\d+)?", text) else text))
