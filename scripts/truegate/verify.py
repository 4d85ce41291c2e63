"""Show that a run folder is whole and that its verdict follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from truegate import __version__, evidence, gate, jsonio
from truegate.checks import MODULES, get_check
from truegate.checks.pipeline import derive, input_records
from truegate.errors import EvidenceError, KitError
from truegate.model import Meta, Policy, to_json


@dataclass(frozen=True)
class Verified:
    """What verifying one run showed; `faults` name files and JSON paths."""

    run_folder: Path
    check: str
    state: Literal["sound", "unfinished", "altered", "other-version"]
    status: str
    faults: tuple[str, ...]


def verify(folder: Path) -> Verified:
    """Check every hash of a run folder, then derive result and verdict again and compare them.

    A run that never finished is `unfinished`; another kit version that derives another verdict is `other-version`.
    """
    try:
        meta, policy = evidence.read_meta(folder), evidence.read_policy(folder)
        stored = jsonio.load(folder / "verdict.json") if meta.state == "complete" else {}
    except EvidenceError as error:
        return Verified(folder, _check_of(folder), "altered", "unknown", (error.message,))
    except KitError as error:
        return Verified(folder, _check_of(folder), "altered", "unknown", (error.message,))
    if meta.state != "complete":
        return Verified(folder, meta.check, "unfinished", meta.state, (f"the run is {meta.state} and never counts",))
    status = str(stored.get("status")) if isinstance(stored, dict) else "unknown"
    faults = tuple(_hash_faults(folder, meta, stored))
    if faults:
        return Verified(folder, meta.check, "altered", status, faults)
    faults = tuple(_derived_faults(folder, meta, policy, stored))
    state: Any = "altered" if faults and meta.kit_version == __version__ else "other-version" if faults else "sound"
    if state == "other-version":
        faults = (f"made by Truegate {meta.kit_version}; {__version__} derives another verdict", *faults)
    return Verified(folder, meta.check, state, status, faults)


def _check_of(folder: Path) -> str:
    return ".".join(folder.parts[-3:-1])


def _hash_faults(folder: Path, meta: Meta, stored: Any) -> Iterator[str]:
    for name in ("meta.json", "policy.json", "result.json", "verdict.json"):
        if not (folder / name).is_file():
            yield f"{name} is missing"
            return
    recorded = {row["path"]: row["sha256"] for row in stored.get("inputs", [])} if isinstance(stored, dict) else {}
    for record in input_records(folder):
        if recorded.get(record.path) != record.sha256:
            yield f"{record.path} differs from its hash in verdict.json: one of the two was altered"
    known = {record.path: record for record in meta.files}
    present = {record.path: record for record in evidence.hash_files(folder)}
    yield from (f"{path} is missing" for path in sorted(known.keys() - present.keys()))
    yield from (f"{path} was added" for path in sorted(present.keys() - known.keys()))
    yield from (f"{path} was altered" for path in sorted(known.keys() & present.keys()) if known[path] != present[path])


def _derived_faults(folder: Path, meta: Meta, policy: Policy, stored: Any) -> Iterator[str]:
    if meta.check not in MODULES:
        yield f"meta.json: this kit has no check {meta.check!r}"
        return
    result = derive(get_check(meta.check), folder, meta, policy)
    yield from _differences(jsonio.load(folder / "result.json"), to_json(result), "result.json $")
    verdict = gate.judge(meta, policy, result, input_records(folder))
    derived = to_json(verdict)
    yield from _differences(stored, derived, "verdict.json $")
    if stored == derived and (folder / "verdict.json").read_bytes() != jsonio.dumps(derived):
        yield "verdict.json is not as it was written"


def _differences(stored: Any, derived: Any, path: str) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(derived, dict):
        for key in sorted(stored.keys() | derived.keys()):
            if key not in stored or key not in derived:
                yield f"{path}.{key}: {'not derived' if key in stored else 'missing'}"
            else:
                yield from _differences(stored[key], derived[key], f"{path}.{key}")
    elif isinstance(stored, list) and isinstance(derived, list) and len(stored) == len(derived):
        for index, (one, other) in enumerate(zip(stored, derived, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif stored != derived:
        yield f"{path}: stored {str(stored)[:80]!r}, derived {str(derived)[:80]!r}"
