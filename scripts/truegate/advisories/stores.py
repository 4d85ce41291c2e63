"""The advisory data on this machine: one folder an engine, each with a note of where it came from and its date."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from truegate import evidence, jsonio
from truegate.advisories.compile import CompiledAdvisories, compile_advisories
from truegate.errors import EvidenceError, InconclusiveError, ReportError
from truegate.parsers.engine import moment
from truegate.remembered import remembered, sha256_of

NOTE = "advisories.json"
SEED = Path(__file__).with_name("records")
FOLDERS = {"trivy": "trivy", "osv-scanner": "osv"}
DATA = ("db/*", "osv-scalibr/*/all.zip")  # what the engines read; whatever else a tool leaves there judges nothing


@dataclass(frozen=True)
class Store:
    """What one engine has.

    `source`: official (fetched), imported (the public data, carried here), private, seed, or unknown. `dated` is
    None when nothing tells it; `why` says why data that was fetched or imported counts as private.
    """

    engine: str
    folder: Path
    source: str
    dated: str | None
    bytes: int
    records: int | None
    why: str


def stores(root: Path) -> list[Store]:
    """Describe the data below `root` (`security.db.dir`) for each engine that has any."""
    return [store_of(engine, root) for engine, name in FOLDERS.items() if _data_files(root / name)]


def store_of(engine: str, root: Path) -> Store:
    """Describe the data of one engine."""
    folder = root / FOLDERS[engine]
    note = read_note(folder)
    size = sum(_of_each_file(folder, lambda path: path.stat().st_size).values())
    return Store(engine, folder, note["source"], note.get("dated"), size, note.get("records"), note.get("why", ""))


def read_note(folder: Path) -> dict[str, Any]:
    """Give the note of a store; data that has none, or is not what the note says, is of unknown source.

    Raises InconclusiveError when the data can't be read.
    """
    present = _of_each_file(folder, lambda path: remembered("sha256", path, sha256_of))
    try:
        note: dict[str, Any] = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        moment(note["dated"], NOTE)
        sound = note["sha256"] == present and isinstance(note["source"], str)
    except (OSError, ValueError, KeyError, TypeError, ReportError):
        sound = False
    return note if sound else {"source": "unknown"}


def write_note(folder: Path, source: str, dated: str, facts: Mapping[str, Any]) -> None:
    """Write the note of a store: source, date, and the sha256 of every file that an engine reads."""
    for name in _data_files(folder):
        os.utime(folder / name)  # with an archive's own times, what is remembered of the old file passes for the new
    files = {name: sha256_of(folder / name) for name in _data_files(folder)}
    note = {**facts, "source": source, "dated": dated, "sha256": files}
    evidence.write_atomic(folder / NOTE, jsonio.dumps(note))


def _of_each_file(folder: Path, ask: Callable[[Path], Any]) -> dict[str, Any]:
    try:
        return {name: ask(folder / name) for name in _data_files(folder)}
    except OSError as error:
        next_step = "mend that; or, if security.db has just replaced it, run this again"
        raise InconclusiveError(f"{error.filename or folder} can't be read: {error.strerror}", next_step) from error


def _data_files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for pattern in DATA for p in folder.glob(pattern) if p.is_file())


def copy_into(place: Path, source: Path) -> None:
    """Copy a file, making the folders above its place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `folder` when all went well; else the old one stays.

    The folder above the empty one is scratch space. Raises EvidenceError when the disk refuses, InconclusiveError
    while another process replaces the same folder.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.parent.glob(f".{folder.name}-*"):  # by a process that was killed
                _put_back(left / "old", folder)
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as staging:
                fresh, old = Path(staging, "fresh"), Path(staging, "old")
                fresh.mkdir()
                yield fresh
                try:
                    if folder.exists():
                        folder.rename(old)
                    fresh.rename(folder)
                finally:
                    _put_back(old, folder)
    except BlockingIOError as error:
        raise InconclusiveError(f"another process replaces {folder}", "run this again when it has ended") from error
    except OSError as error:
        if error.errno is None:  # not the disk's complaint but one about the content of an archive
            raise
        raise EvidenceError(
            f"{error.filename or folder} can't be written: {error.strerror}",
            "make room or mend the permissions, or set [security.db] dir to another folder",
        ) from error


def _put_back(old: Path, folder: Path) -> None:
    if old.exists() and not folder.exists():
        old.rename(folder)


def compile_private(source: Path, root: Path, kind: str = "private") -> CompiledAdvisories:
    """Compile the OSV records in `source` for every engine; raises ConfigError for records that can't be held."""
    made = compile_advisories(source)
    facts = {"records": made.records, "by_ecosystem": made.by_ecosystem, "withdrawn": list(made.withdrawn)}
    for name in FOLDERS.values():
        with replacing(root / name) as fresh:
            for path, data in made.files.items():
                if path.startswith(f"{name}/"):
                    place = fresh / path.removeprefix(f"{name}/")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
            write_note(fresh, kind, made.dated, facts)
    return made
