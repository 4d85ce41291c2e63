"""The advisory data on this machine: one folder an engine, each with a note of where it came from and its date."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from truegate import evidence, jsonio
from truegate.advisories.compile import compile_advisories
from truegate.errors import ConfigError, InconclusiveError
from truegate.remembered import remembered, sha256_of

NOTE = "advisories.json"
SEED = Path(__file__).with_name("records")
OSV_FOLDERS = {"npm": "npm", "PyPI": "PyPI"}


@dataclass(frozen=True)
class Store:
    """What one engine has: `source` is official, imported, private or unknown; `dated` None when nothing tells it."""

    engine: str
    folder: Path
    source: str
    dated: str | None
    bytes: int
    records: int | None


def stores(root: Path) -> list[Store]:
    """Describe the data below `root` (`security.db.dir`) for each engine that has any."""
    return [
        _store(engine, root / name)
        for engine, name in (("trivy", "trivy"), ("osv-scanner", "osv"))
        if (root / name).is_dir()
    ]


def _store(engine: str, folder: Path) -> Store:
    note = read_note(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != NOTE)
    return Store(engine, folder, note["source"], note.get("dated"), size, note.get("records"))


def read_note(folder: Path) -> dict[str, Any]:
    """Give the note of a store; data that has none, or is not what the note says, is of unknown source."""
    try:
        note: dict[str, Any] = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        noted = note["sha256"]
    except (OSError, ValueError, KeyError):
        return {"source": "unknown"}
    present = {name: remembered("sha256", folder / name, sha256_of) for name in _data_files(folder)}
    return note if noted == present else {"source": "unknown"}


def _data_files(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != NOTE)
    return sorted(path.relative_to(folder).as_posix() for path in files)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `folder` when all went well; else the old one stays."""
    with evidence.writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as staging:
            fresh = Path(staging) / "fresh"
            fresh.mkdir()
            yield fresh
            if folder.exists():
                folder.rename(Path(staging) / "old")
            fresh.rename(folder)


def write_note(folder: Path, source: str, dated: str | None, facts: Mapping[str, Any]) -> None:
    """Write the note of a store: source, date, and the sha256 of every file."""
    files = {name: sha256_of(folder / name) for name in _data_files(folder)}
    note = {"source": source, "dated": dated, "sha256": files, **facts}
    evidence.write_atomic(folder / NOTE, jsonio.dumps(note))


def compile_private(source: Path, root: Path, kind: str = "private") -> list[Store]:
    """Compile the OSV records in `source` for every engine; raises ConfigError for records that can't be held."""
    with tempfile.TemporaryDirectory() as work:
        made = compile_advisories(source, Path(work) / "out")
        facts = {"records": made.records, "by_ecosystem": made.by_ecosystem, "withdrawn": list(made.withdrawn)}
        for name in ("trivy", "osv"):
            with replacing(root / name) as fresh:
                shutil.copytree(Path(work) / "out" / name, fresh, dirs_exist_ok=True)
                write_note(fresh, kind, made.dated, facts)
    return stores(root)


def import_archive(archive: Path, root: Path) -> Store:
    """Take an archive that was carried here: Trivy's `db.tar.gz`, or an `all.zip` of OSV records. Keeps its date.

    Raises ConfigError when it is neither.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _import_osv(archive, root)
        with tarfile.open(archive) as tar:
            return _import_trivy(tar, archive, root)
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{archive} can't be read: {error}", "name Trivy's db.tar.gz or an OSV all.zip") from error


def _import_trivy(tar: tarfile.TarFile, archive: Path, root: Path) -> Store:
    members = {Path(member.name).name: member for member in tar if member.isfile()}
    if not {"trivy.db", "metadata.json"} <= members.keys():
        raise ConfigError(
            f"{archive} lacks trivy.db or metadata.json", "take the layer of aquasecurity/trivy-db, tag 2"
        )
    with replacing(root / "trivy") as fresh:
        (fresh / "db").mkdir()
        for name in ("trivy.db", "metadata.json"):
            _copy(tar.extractfile(members[name]), fresh / "db" / name)
        metadata = jsonio.load(fresh / "db" / "metadata.json", f"metadata.json of {archive}")
        write_note(fresh, "imported", metadata.get("UpdatedAt"), {"archive": archive.name, "at": _now()})
    return _store("trivy", root / "trivy")


def _import_osv(archive: Path, root: Path) -> Store:
    ecosystem, dated, records = osv_zip_facts(archive)
    folder = root / "osv"
    with replacing(folder) as fresh:
        if folder.exists():
            shutil.copytree(folder, fresh, dirs_exist_ok=True)
        put_osv_zip(fresh, ecosystem, archive)
        facts = {"archive": archive.name, "at": _now(), "records": records}
        write_note(fresh, "imported", dated, facts)
    return _store("osv-scanner", folder)


def put_osv_zip(folder: Path, ecosystem: str, archive: Path) -> None:
    """Put an `all.zip` where osv-scanner looks for it."""
    place = folder / "osv-scalibr" / OSV_FOLDERS[ecosystem] / "all.zip"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(archive, place)


def osv_zip_facts(archive: Path) -> tuple[str, str, int]:
    """Give the ecosystem, the newest `modified` and the number of records of an OSV zip; raises ConfigError."""
    newest, ecosystems, records = "", dict[str, int](), 0
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            record = jsonio.loads(bundle.read(name), f"{archive}: {name}")
            records += 1
            newest = max(newest, str(record.get("modified", "")))
            for affected in record.get("affected", []):
                own = str(affected.get("package", {}).get("ecosystem", "")).split(":")[0]
                ecosystems[own] = ecosystems.get(own, 0) + 1
    known = {name: count for name, count in ecosystems.items() if name in OSV_FOLDERS}
    if not known or not newest:
        raise ConfigError(f"{archive} holds no OSV records of npm or PyPI", "take all.zip of one ecosystem")
    return max(known, key=lambda name: known[name]), newest, records


def _copy(source: IO[bytes] | None, place: Path) -> None:
    if source is None:
        raise InconclusiveError(f"{place.name} in the archive is no file", "fetch the archive again")
    with source, place.open("wb") as out:
        shutil.copyfileobj(source, out, io.DEFAULT_BUFFER_SIZE * 64)


def _now() -> str:
    return evidence.rfc3339(datetime.now(UTC))
