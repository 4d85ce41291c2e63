"""Take advisory data in: what it says of itself, its date, and whether it can be the public data at all."""

from __future__ import annotations

import lzma
import mmap
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from truegate import evidence, jsonio
from truegate.advisories.bbolt import MAGIC, META_BODY, PAGE, VERSION
from truegate.advisories.osv import ECOSYSTEMS
from truegate.advisories.stores import DATA, FOLDERS, Store, copy_into, replacing, store_of, write_note
from truegate.errors import ConfigError, ReportError
from truegate.parsers.engine import moment, take
from truegate.renderers.safe import clean

# trivy.db unpacks to about 1 GB, OSV's zips to less; what is beyond this fills the disk and is no advisory data.
MAX_BYTES = 8 * 2**30
MAX_RECORD_BYTES = 16 * 2**20
TRIVY_FILES = {"trivy.db": MAX_BYTES, "metadata.json": 2**20}
# PyPA's own collection alone held 2,600 records in 2024; what a team writes itself are tens.
PUBLIC_RECORDS_MIN = 1000
COMPILED_HERE = b"OSV records, compiled privately"  # the data source that compile.py names
OWN_SHARE_MIN = 0.9  # of a zip's records affect its ecosystem; in OSV's zip of everything none comes near
BROKEN = (
    OSError, EOFError, RuntimeError, ValueError, struct.error, zlib.error, lzma.LZMAError, tarfile.TarError,
    zipfile.BadZipFile,
)  # fmt: skip
CARRY = "name Trivy's db.tar.gz (as oras pulls it from aquasecurity/trivy-db, tag 2), or OSV's npm/ or PyPI/all.zip"


@dataclass(frozen=True)
class ZipFacts:
    """One OSV zip: `dated` is the newest `modified` in it, `doubt` why it can't be the public data (else empty)."""

    ecosystem: str
    dated: str
    records: int
    doubt: str


def import_archive(archive: Path, root: Path) -> Store:
    """Take an archive that was carried here: Trivy's `db.tar.gz`, or an `all.zip` of OSV records. Keeps its date.

    Raises ConfigError when it is neither, or damaged; then the data that was there stays.
    """
    try:
        if zipfile.is_zipfile(archive):
            return _import_osv(archive, root)
        with tarfile.open(archive) as tar, replacing(root / FOLDERS["trivy"]) as fresh:
            _unpack_trivy(tar, fresh / "db")
            note_trivy(fresh, "imported", {"archive": archive.name})
    except ReportError as error:
        raise ConfigError(f"{archive} can't be imported: {clean(error.message)}", CARRY) from error
    except BROKEN as error:
        what = clean(getattr(error, "strerror", None) or error)
        raise ConfigError(f"{archive} can't be read: {what}", CARRY) from error
    return store_of("trivy", root)


def _unpack_trivy(tar: tarfile.TarFile, folder: Path) -> None:
    """Write the two files, wherever in the archive they lie, under names of ours: no path and no link is followed."""
    folder.mkdir()
    total = 0
    for member in tar:
        name = PurePosixPath(member.name).name
        total += member.size
        if total > MAX_BYTES:
            raise ReportError(f"it unpacks to more than {MAX_BYTES:,} bytes")
        source = tar.extractfile(member) if name in TRIVY_FILES and member.isreg() else None
        if source is None:
            continue
        if (folder / name).exists() or member.size > TRIVY_FILES[name]:
            raise ReportError(f"{name} is there twice, or larger than {TRIVY_FILES[name]:,} bytes")
        with source, (folder / name).open("wb") as out:
            shutil.copyfileobj(source, out, 2**20)
    if missing := sorted(TRIVY_FILES.keys() - {path.name for path in folder.iterdir()}):
        raise ReportError(f"it holds no {' and no '.join(missing)}")


def note_trivy(folder: Path, source: str, facts: Mapping[str, Any]) -> None:
    """Note the database in `folder` as `source`, or as private when it can't be the public one.

    Raises ReportError for metadata of another shape or version, and for a database that is no bbolt file.
    """
    metadata = jsonio.load(folder / "db" / "metadata.json", "metadata.json")
    if (version := take(metadata, "Version", int, "metadata.json")) != VERSION:
        raise ReportError(f"the database has version {version} of the format, not {VERSION}")
    dated = take(metadata, "UpdatedAt", str, "metadata.json")
    moment(dated, "metadata.json")
    doubt = _doubt_database(folder / "db" / "trivy.db")
    write_note(folder, "private" if doubt else source, dated, {"why": doubt, "at": _now(), **facts})


def _doubt_database(database: Path) -> str:
    with database.open("rb") as stream:
        head = stream.read(PAGE.size + META_BODY.size).ljust(PAGE.size + META_BODY.size, b"\0")
        if META_BODY.unpack_from(head, PAGE.size)[0] != MAGIC:
            raise ReportError("trivy.db is no bbolt file")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            own = data.find(COMPILED_HERE) >= 0
            found = sum(1 for _ in islice(re.finditer(rb'"VendorSeverity"', data), PUBLIC_RECORDS_MIN))
    return _doubt(found, own=own)


def _doubt(records: int, *, own: bool) -> str:
    """Say why data can't be the public data: whose else it is would show only in a signature, which there is not."""
    if own:
        return "this kit compiled it"
    return "" if records >= PUBLIC_RECORDS_MIN else f"{records} records, the public data has thousands"


def _import_osv(archive: Path, root: Path) -> Store:
    folder = root / FOLDERS["osv-scanner"]
    zips = {archive: read_osv_zip(archive)}
    with replacing(folder) as fresh:
        kept = [path for path in folder.glob(DATA[1]) if path.parent.name != zips[archive].ecosystem]
        zips |= {path: read_osv_zip(path) for path in kept}  # whatever a note said of them
        note_osv(fresh, "imported", zips, {"archive": archive.name})
    return store_of("osv-scanner", root)


def note_osv(folder: Path, source: str, zips: Mapping[Path, ZipFacts], more: Mapping[str, Any]) -> None:
    """Copy OSV's zips to where osv-scanner looks for them, and note them: as old as the oldest, private if one is."""
    facts: Sequence[ZipFacts] = list(zips.values())
    for path, zipped in zips.items():
        copy_into(folder / "osv-scalibr" / zipped.ecosystem / "all.zip", path)
    doubts = "; ".join(f"{zipped.ecosystem}: {zipped.doubt}" for zipped in facts if zipped.doubt)
    dated = min((zipped.dated for zipped in facts), key=lambda text: moment(text, "all.zip"))
    counts = {"by_ecosystem": {z.ecosystem: z.records for z in facts}, "records": sum(z.records for z in facts)}
    write_note(folder, "private" if doubts else source, dated, {**counts, "why": doubts, "at": _now(), **more})


def read_osv_zip(archive: Path) -> ZipFacts:
    """Read every record of an OSV zip; raises ReportError when it is damaged, or not of one ecosystem that we read."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            return _zip_facts(bundle, [member for member in bundle.infolist() if not member.filename.endswith("/")])
    except BROKEN as error:
        raise ReportError(f"{archive.name} is no sound zip of OSV records: {error}") from error


def _zip_facts(bundle: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> ZipFacts:
    sizes = [member.file_size for member in members]
    if max(sizes, default=0) > MAX_RECORD_BYTES or sum(sizes) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_RECORD_BYTES:,} bytes a record, or {MAX_BYTES:,} in all")
    counts, times, own = Counter[str](), set[str](), True
    for member in members:
        record = jsonio.loads(bundle.read(member), member.filename)
        times.add(take(record, "modified", str, member.filename))
        own = own and "schema_version" not in record  # OSV writes it into every record, compile.py leaves it out
        affected = take(record, "affected", list, member.filename, [])
        packages = [take(item, "package", dict, member.filename, {}) for item in affected]
        counts.update({str(package.get("ecosystem", "")).split(":")[0] for package in packages})
    ecosystem = next((e for e in ECOSYSTEMS if members and counts[e] >= OWN_SHARE_MIN * len(members)), None)
    if ecosystem is None:
        holds = ", ".join(name for name, _ in counts.most_common(3) if name) or "nothing"
        raise ReportError(f"it holds records of {holds}; osv-scanner's data here is of {' or '.join(ECOSYSTEMS)}")
    newest = max(times, key=lambda text: moment(text, "all.zip"))
    return ZipFacts(ecosystem, newest, len(members), _doubt(len(members), own=own))


def _now() -> str:
    return evidence.rfc3339(datetime.now(UTC))
