"""Show that a run folder is whole and that its verdict follows from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from truegate import __version__, evidence, gate, jsonio
from truegate.checks import MODULES, get_check
from truegate.checks.pipeline import derive, input_records
from truegate.errors import EvidenceError, KitError
from truegate.model import FileRecord, Meta, Policy, Verdict, to_json
from truegate.remembered import sha256_of

RECORDS = {"meta.json", "policy.json", "result.json", "verdict.json"}


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
        return _verify(folder)
    except KitError as error:
        fault = error.message
    except OSError as error:
        fault = f"{error.filename or folder} can't be read: {error.strerror}"
    return Verified(folder, ".".join(folder.parts[-3:-1]), "altered", "unknown", (fault,))


def _verify(folder: Path) -> Verified:
    present = dict(_plain_files(folder, ""))
    meta, policy = evidence.read_meta(folder), evidence.read_policy(folder)
    if meta.state != "complete" and not present.keys() & {"verdict.json", "result.json"}:
        return Verified(folder, meta.check, "unfinished", meta.state, (f"the run is {meta.state} and never counts",))
    if "verdict.json" not in present:
        raise EvidenceError("verdict.json is missing: the run was killed before it was judged, or it was removed")
    stored = evidence.read_record(folder / "verdict.json", Verdict)
    if faults := (*_place_faults(folder, meta), *_hash_faults(folder, present, meta, stored)):
        return Verified(folder, meta.check, "altered", stored.status, faults)
    faults = tuple(_derived_faults(folder, meta, policy, stored))
    if faults and meta.kit_version != __version__:
        faults = (f"made by Truegate {meta.kit_version}; {__version__} derives another verdict", *faults)
        return Verified(folder, meta.check, "other-version", stored.status, faults)
    return Verified(folder, meta.check, "altered" if faults else "sound", stored.status, faults)


def _plain_files(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    """Give every file below `folder` by its name from there; links, pipes and the like are none of ours."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _plain_files(folder / entry.name, f"{name}/")
            elif entry.is_file(follow_symlinks=False):
                yield name, folder / entry.name
            else:
                raise EvidenceError(f"{name} is no plain file: it was put in place of one, or added")


def _place_faults(folder: Path, meta: Meta) -> Iterator[str]:
    """Tell a run that was put in another's place: its folder is named after its check and itself."""
    place = os.path.abspath(folder)  # noqa: PTH100  resolve() asks the disk about each part
    named, own = "/".join(place.rsplit("/", 3)[1:]), f"{meta.check.replace('.', '/')}/{meta.run_id}"
    if named != own:
        yield f"the folder {named} holds the run {own}: it was moved, renamed, or put in place of another"


def _hash_faults(folder: Path, present: Mapping[str, Path], meta: Meta, stored: Verdict) -> Iterator[str]:
    if "result.json" not in present:
        yield "result.json is missing"
        return
    for now, then in zip_longest(input_records(folder), stored.inputs):
        if now != then:
            yield f"{(now or then).path} differs from its hash in verdict.json: one of the two was altered"
    known = {record.path: record for record in meta.files}
    yield from (f"{name} is missing" for name in sorted(known.keys() - present.keys()))
    yield from (f"{name} was added" for name in sorted(present.keys() - known.keys() - RECORDS))
    for name in sorted(known.keys() & present.keys()):
        path = present[name]
        if known[name] != FileRecord(name, path.stat().st_size, sha256_of(path)):
            yield f"{name} was altered"


def _derived_faults(folder: Path, meta: Meta, policy: Policy, stored: Verdict) -> Iterator[str]:
    if meta.check not in MODULES:
        yield f"meta.json: this kit has no check {meta.check!r}"
        return
    try:
        result = derive(get_check(meta.check), folder, meta, policy)
        verdict = gate.judge(meta, policy, result, input_records(folder))
    except Exception as error:  # noqa: BLE001  what no run of ours leaves behind, a forged folder may
        yield f"the verdict can't be derived again: {error!r}"
        return
    yield from _differences(jsonio.load(folder / "result.json"), to_json(result), "result.json $")
    yield from _differences(to_json(stored), to_json(verdict), "verdict.json $")
    if stored == verdict and (folder / "verdict.json").read_bytes() != jsonio.dumps(to_json(verdict)):
        yield "verdict.json is not as it was written"


def _differences(stored: Any, derived: Any, path: str) -> Iterator[str]:
    if stored == derived:
        return
    if isinstance(stored, dict) and isinstance(derived, dict):
        for key in sorted(stored.keys() | derived.keys()):
            if key not in stored or key not in derived:
                yield f"{path}.{key}: {'not derived' if key in stored else 'missing'}"
            else:
                yield from _differences(stored[key], derived[key], f"{path}.{key}")
    elif isinstance(stored, list) and isinstance(derived, list) and len(stored) == len(derived):
        for index, (one, other) in enumerate(zip(stored, derived, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    else:
        yield f"{path}: stored {str(stored)[:80]!r}, derived {str(derived)[:80]!r}"
