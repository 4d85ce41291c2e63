"""The records that pass from step to step: frozen, and shaped as the files in schemas/ say."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Scope = Literal["runtime", "dev"]
Severity = Literal["critical", "high", "medium", "low", "info", "unknown"]
Status = Literal["pass", "fail", "inconclusive"]
# incomplete: part was not seen. unreliable: what was seen can't be trusted. failed: a criterion was missed.
ReasonKind = Literal["incomplete", "unreliable", "failed"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "unknown", "low", "info")  # worst first


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a verdict is not a pass: what happened, to which file or address, and what to do next."""

    code: str
    kind: ReasonKind
    message: str
    next_step: str


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """One package that a lockfile pins, under its real name (an alias is resolved, a PyPI name PEP 503 normalised).

    `depends_on` holds `name@version` keys of the same lockfile; `introduced_by` the names of the direct
    dependencies that bring it in; `hashes` pairs of algorithm (`sha256`, `sha512` …) and lower-case hex.
    """

    ecosystem: str
    name: str
    version: str
    scope: Scope
    lockfile: str
    line: int | None = None
    direct: bool = False
    introduced_by: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    hashes: tuple[tuple[str, str], ...] = ()
    licence: str | None = None

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class Location:
    """One place of a finding: `path` relative to the target, the installed `version`, who brings it in."""

    path: str
    line: int | None
    version: str | None = None
    introduced_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One weakness. `identity` is stable: no severity, wording or line number is part of it.

    `package` is a package URL without version; `malware` marks a package that is hostile as a whole.
    """

    identity: str
    ids: tuple[str, ...]
    severity: Severity
    severity_source: str
    scope: Scope
    title: str
    tools: tuple[str, ...]
    package: str | None = None
    locations: tuple[Location, ...] = ()
    fixed_in: tuple[str, ...] = ()
    malware: bool = False
    upgrade_to: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure. What could not be told is None with a `reason`, never 0."""

    id: str
    value: float | int | None
    unit: str
    samples: int | None = None
    window: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """Proof of looking: `seen` below `minimum` makes the verdict incomplete."""

    id: str
    seen: int
    minimum: int
    unit: str


@dataclass(frozen=True, slots=True)
class Control:
    """Something known to be bad that the tool was shown in this run: caught when `seen` reaches `expected`."""

    id: str
    expected: int
    seen: int
    planted: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a check saw, before anybody judges it. `notes` go on the screen; the first is the first line."""

    kind: Literal["findings", "measurements"]
    looked: tuple[Looked, ...] = ()
    not_looked: tuple[str, ...] = ()
    controls: tuple[Control, ...] = ()
    findings: tuple[Finding, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    problems: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Criterion:
    """One acceptance criterion of a policy.

    Counts unwaived findings when `select` is given (field -> accepted values), else reads the measurement
    named `id`. `kind` says what a miss means: failed, incomplete or unreliable. No `limit`: reported, not gated.
    """

    id: str
    op: Literal["<=", ">="]
    limit: float | int | None
    unit: str
    kind: ReasonKind
    origin: str
    default: float | int | None
    looser_than_default: bool
    next_step: str
    select: dict[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Waiver:
    """One accepted risk from waivers.toml; dates are ISO, `line` is its place in `file`."""

    check: str
    id: str
    package: str
    reason: str
    approver: str
    opened: str
    expires: str
    ticket: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A path (glob) that no check reads, accepted like a waiver; `origin` is its place in truegate.toml."""

    path: str
    reason: str
    approver: str
    expires: str
    origin: str


@dataclass(frozen=True, slots=True)
class Policy:
    """The effective criteria and waivers of one run; `looser` tells what else is looser than the default."""

    check: str
    owner: str
    criteria: tuple[Criterion, ...]
    waivers: tuple[Waiver, ...] = ()
    waiver_max_days: dict[str, int] | None = None
    unused_waivers: Literal["warn", "fail"] = "warn"
    exclusions: tuple[Exclusion, ...] = ()
    looser: tuple[str, ...] = ()
    settings: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One process that the runner started; `exit_meaning` is from the tools table."""

    name: str
    tool: str
    tool_version: str
    tool_sha256: str
    tool_source: str
    argv: tuple[str, ...]
    exit_code: int | None
    exit_meaning: str
    started_at: str
    seconds: float
    stdout: str
    stderr: str
    timed_out: bool


@dataclass(frozen=True, slots=True)
class FileRecord:
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Target:
    name: str
    commit: str | None
    dirty: bool | None
    url: str | None


@dataclass(frozen=True, slots=True)
class Meta:
    """What was run, on what, when and with which tools; `state` is running, complete or interrupted."""

    check: str
    run_id: str
    state: Literal["running", "complete", "interrupted"]
    generated_at: str
    finished_at: str | None
    kit_version: str
    target: Target
    profile: str | None
    external: bool = False
    steps: tuple[Step, ...] = ()
    files: tuple[FileRecord, ...] = ()
    redactions: dict[str, int] | None = None
    facts: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CriterionOutcome:
    id: str
    op: str
    limit: float | int | None
    measured: float | int | None
    unit: str
    status: Status
    looser_than_default: bool


@dataclass(frozen=True, slots=True)
class WaivedFinding:
    identity: str
    ids: tuple[str, ...]
    severity: str
    package: str | None
    reason: str
    approver: str
    expires: str
    ticket: str


@dataclass(frozen=True, slots=True)
class InputRecord:
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check; `qualifier` is the part in brackets of `pass (external, no control)`."""

    check: str
    run_id: str
    timestamp: str
    version: str | None
    owner: str
    status: Status
    qualifier: str | None
    reasons: tuple[Reason, ...]
    criteria: tuple[CriterionOutcome, ...]
    waived: tuple[WaivedFinding, ...]
    warnings: tuple[str, ...]
    inputs: tuple[InputRecord, ...]


T = TypeVar("T")


def to_json(value: Any) -> Any:
    """Give `value` as plain dicts, lists and scalars, ready for canonical JSON."""
    if value is None or isinstance(value, (str, int, float)):
        return value
    if names := _field_names(type(value)):  # type: ignore[arg-type]
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def from_json(cls: type[T], data: Any) -> T:
    """Build the dataclass `cls` from what `to_json` gave; raises TypeError or KeyError on another shape."""
    hints = _hints(cls)  # type: ignore[arg-type]
    if unknown := data.keys() - hints.keys():
        raise TypeError(f"unknown fields for {cls.__name__}: {', '.join(sorted(unknown))}")
    return cls(**{name: _typed(hints[name], item) for name, item in data.items()})


@functools.cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return _typed(next(arg for arg in args if arg is not type(None)), value)
    if origin is tuple:
        inner = args[0] if args[-1] is Ellipsis else None
        return tuple(_typed(inner if inner is not None else args[i], item) for i, item in enumerate(value))
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value)  # type: ignore[arg-type]
    return value
