"""Archives that were carried here: what is taken, what is refused, and what counts as the public data."""

from __future__ import annotations

import contextlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import advisory_servers as made  # type: ignore[import-not-found]
from truegate.advisories import archives
from truegate.advisories.archives import PUBLIC_RECORDS_MIN, import_archive
from truegate.advisories.stores import NOTE, SEED, compile_private, read_note
from truegate.errors import ConfigError

KINDS = ["w:gz", "w:xz", "w:bz2", "zip"]
DATED: str = max(made.DATES.values())


def put(folder: Path, data: bytes, name: str = "carried") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def contents(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def paths(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix != ".lock"]


def refused(archive: Path, root: Path) -> str:
    """Import what must be refused; gives the message, and holds that nothing changed anywhere."""
    before, around = contents(root), paths(root.parent)
    with pytest.raises(ConfigError) as caught:
        import_archive(archive, root)
    assert str(archive) in caught.value.message
    assert caught.value.next_step.startswith("name Trivy's db.tar.gz")
    assert contents(root) == before
    assert paths(root.parent) == around
    return caught.value.message


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def packed(pack: Any, database: bytes, prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=pack) as tar:
        for name, data in (("trivy.db", database), ("metadata.json", made.archives().metadata)):
            head = tarfile.TarInfo(prefix + name)
            head.size = len(data)
            tar.addfile(head, io.BytesIO(data))
    return buffer.getvalue()


def damageable(kind: str) -> bytes:
    """Give an archive, with checksums, of what this kit compiled."""
    if kind != "zip":
        return packed(kind, made.archives().own_database)
    data: bytes = made.archives().own_zips["npm"]
    return data


@pytest.mark.parametrize("prefix", ["", "./", "db/", "some/cache/db/"])
@pytest.mark.parametrize("pack", ["w:gz", "w", "w:xz", "w:bz2"])
def test_trivys_database_is_taken_with_its_date(tmp_path: Path, root: Path, prefix: str, pack: Any) -> None:
    store = import_archive(put(tmp_path, packed(pack, made.archives().database, prefix)), root)
    assert (store.engine, store.source, store.dated, store.why) == ("trivy", "imported", DATED, "")
    assert (root / "trivy/db/trivy.db").read_bytes() == made.archives().database
    assert (root / "trivy/db/metadata.json").read_bytes() == made.archives().metadata
    assert read_note(root / "trivy")["archive"] == "carried"


@pytest.mark.parametrize("ecosystem", ["npm", "PyPI"])
def test_an_osv_zip_is_taken_with_its_date_and_ecosystem(tmp_path: Path, root: Path, ecosystem: str) -> None:
    store = import_archive(put(tmp_path, made.archives().zips[ecosystem]), root)
    assert (store.engine, store.source, store.why) == ("osv-scanner", "imported", "")
    assert store.dated == made.DATES[ecosystem]
    assert store.records is not None
    assert store.records > PUBLIC_RECORDS_MIN
    assert contents(root / "osv").keys() == {NOTE, f"osv-scalibr/{ecosystem}/all.zip"}


def test_the_other_ecosystem_stays_and_the_older_date_counts(tmp_path: Path, root: Path) -> None:
    import_archive(put(tmp_path, made.archives().zips["npm"]), root)
    new = [made.record(f"PYSEC-{n}", "PyPI", modified="2026-01-01T00:00:00.5Z") for n in range(PUBLIC_RECORDS_MIN)]
    carried = put(tmp_path, made.osv_zip(new))
    store = import_archive(carried, root)
    assert (root / "osv/osv-scalibr/npm/all.zip").read_bytes() == made.archives().zips["npm"]
    assert (root / "osv/osv-scalibr/PyPI/all.zip").read_bytes() == carried.read_bytes()
    assert (store.source, store.dated) == ("imported", made.DATES["npm"])
    assert read_note(root / "osv")["by_ecosystem"].keys() == {"npm", "PyPI"}


def test_a_public_zip_does_not_make_private_data_beside_it_public(tmp_path: Path, root: Path) -> None:
    compile_private(SEED, root)
    store = import_archive(put(tmp_path, made.archives().zips["npm"]), root)
    assert (store.source, store.why) == ("private", "PyPI: this kit compiled it")
    store = import_archive(put(tmp_path, made.archives().zips["PyPI"]), root)
    assert (store.source, store.why) == ("imported", "")


def test_what_this_kit_compiled_stays_private_when_it_comes_back(tmp_path: Path, root: Path) -> None:
    assert import_archive(put(tmp_path, made.archives().own_db), root).source == "private"
    for ecosystem in ("npm", "PyPI"):
        assert import_archive(put(tmp_path, made.archives().own_zips[ecosystem]), root).source == "private"


def test_many_records_compiled_here_are_private_too(tmp_path: Path, root: Path) -> None:
    many = tmp_path / "records"
    for number in range(PUBLIC_RECORDS_MIN):
        put(many, json.dumps(made.record(f"OWN-{number}")).encode(), f"OWN-{number}.json")
    compile_private(many, tmp_path / "made")
    folder = tmp_path / "made/trivy/db"
    db = made.tar_gz({name: (folder / name).read_bytes() for name in ("trivy.db", "metadata.json")})
    compiled = (tmp_path / "made/osv/osv-scalibr/npm/all.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(compiled)) as bundle:
        packed_anew = made.osv_zip([json.loads(bundle.read(name)) for name in bundle.namelist()])
    for data in (db, compiled, packed_anew):
        store = import_archive(put(tmp_path, data), root)
        assert (store.source, store.why.removeprefix("npm: ")) == ("private", "this kit compiled it")


def test_a_few_records_of_anybodys_are_not_the_public_data(tmp_path: Path, root: Path) -> None:
    few = made.archives().own_database.replace(archives.COMPILED_HERE, b"a team's own build of trivy-db")
    store = import_archive(put(tmp_path, db({"trivy.db": few})), root)
    assert (store.source, store.why) == ("private", "49 records, the public data has thousands")
    zipped = made.osv_zip([made.record(f"X-{n}") for n in range(PUBLIC_RECORDS_MIN - 1)])
    store = import_archive(put(tmp_path, zipped), root)
    assert (store.source, store.why) == ("private", "npm: 999 records, the public data has thousands")


def db(changes: Mapping[str, Any]) -> bytes:
    """Pack the database with files changed, left out (...) or added; a dict changes fields of the metadata."""
    files = {"trivy.db": made.archives().database, "metadata.json": made.archives().metadata, **changes}
    if isinstance(fields := files["metadata.json"], dict):
        known = json.loads(made.archives().metadata) | fields
        files["metadata.json"] = json.dumps({name: value for name, value in known.items() if value != ...}).encode()
    packed: bytes = made.tar_gz({name: data for name, data in files.items() if data != ...})
    return packed


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    head = tarfile.TarInfo(name)
    head.type, head.linkname = kind, to
    return head


def device(name: str) -> tarfile.TarInfo:
    head = tarfile.TarInfo(name)
    head.type, head.devmajor, head.devminor = tarfile.CHRTYPE, 1, 5
    return head


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trivy.db": ..., "metadata.json": ...}, "it holds no metadata.json and no trivy.db"),
        ({"trivy.db": ..., "trivy-java.db": b"x"}, "it holds no trivy.db"),
        ({"metadata.json": ...}, "it holds no metadata.json"),
        ({"trivy.db": link("trivy.db", "/etc/passwd")}, "it holds no trivy.db"),
        ({"trivy.db": link("trivy.db", "/etc/passwd", tarfile.LNKTYPE)}, "it holds no trivy.db"),
        ({"trivy.db": device("trivy.db")}, "it holds no trivy.db"),
        ({"x/trivy.db": b"another"}, "trivy.db is there twice"),
        ({"trivy.db": b"SQLite format 3"}, "trivy.db is no bbolt file"),
        ({"trivy.db": b""}, "trivy.db is no bbolt file"),
        ({"metadata.json": {"Version": 1}}, "the database has version 1 of the format, not 2"),
        ({"metadata.json": {"Version": ...}}, "'Version'"),
        ({"metadata.json": {"UpdatedAt": ...}}, "'UpdatedAt'"),
        ({"metadata.json": {"UpdatedAt": "yesterday"}}, "'yesterday' is no time"),
        ({"metadata.json": {"UpdatedAt": "2025-06-24T00:00:00"}}, "names no zone"),
        ({"metadata.json": b"[]"}, "'Version'"),
        ({"metadata.json": b"{"}, "metadata.json is not sound JSON"),
        ({"metadata.json": b" " * (2**20 + 1)}, "metadata.json is there twice, or larger than 1,048,576 bytes"),
    ],
)
def test_a_tar_that_is_not_trivys_database_is_refused(
    tmp_path: Path, root: Path, changes: Mapping[str, Any], said: str
) -> None:
    compile_private(SEED, root, "seed")
    assert said in refused(put(tmp_path, db(changes)), root)
    assert read_note(root / "trivy")["source"] == "seed"


def test_paths_in_an_archive_lead_nowhere(tmp_path: Path, root: Path) -> None:
    outside = {"../../trivy.db": made.archives().database, "/metadata.json": made.archives().metadata}
    extras = {"../evil": b"x", "x": link("x", "/"), "x/evil": b"x", "null": device("null")}
    around = {*tmp_path.iterdir(), put(tmp_path, made.tar_gz(extras | outside), "db.tar.gz")}
    assert import_archive(tmp_path / "db.tar.gz", root).source == "imported"
    records = [made.record(f"../../../X-{n}") for n in range(PUBLIC_RECORDS_MIN)]
    around.add(put(tmp_path, made.osv_zip(records), "all.zip"))
    assert import_archive(tmp_path / "all.zip", root).source == "imported"
    assert set(tmp_path.iterdir()) == around
    assert contents(root).keys() == {
        "trivy/advisories.json", "trivy/db/metadata.json", "trivy/db/trivy.db",
        "osv/advisories.json", "osv/osv-scalibr/npm/all.zip",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "it holds records of nothing"),
        ([made.record(f"GO-{n}", "Go") for n in range(9)], "it holds records of Go; osv-scanner's data here is of npm"),
        (
            [made.record(f"X-{n}", e) for n in range(9) for e in ("npm", "PyPI", "Go")],
            "it holds records of npm, PyPI, Go;",  # OSV's zip of everything
        ),
        ([made.record("X", modified=None)], "'modified'"),
        ([made.record("X", modified="yesterday")], "'yesterday' is no time"),
        ([made.record("X", affected={})], "'affected'"),
        ([made.record("X", affected=["left-pad"])], "'package'"),
        ([made.record("\x1b[2JX", modified=3)], r"\x1b[2JX.json has a shape"),
    ],
)
def test_a_zip_that_is_not_osvs_is_refused(tmp_path: Path, root: Path, records: Any, said: str) -> None:
    compile_private(SEED, root, "seed")
    zipped = made.osv_zip([{**item, "id": f"{item['id']}-{n}"} if n else item for n, item in enumerate(records)])
    assert said in refused(put(tmp_path, zipped), root)
    assert read_note(root / "osv")["source"] == "seed"


def test_a_stray_record_does_not_decide_the_ecosystem(tmp_path: Path, root: Path) -> None:
    records = [*(made.record(f"X-{n}") for n in range(19)), made.record("GO-1", "Go"), made.record("Y", "npm:14")]
    import_archive(put(tmp_path, made.osv_zip(records)), root)
    assert (root / "osv/osv-scalibr/npm/all.zip").is_file()


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06", b"\x1f\x8b", b"no archive", b"\0" * 1024])
def test_what_is_no_archive_is_refused(tmp_path: Path, root: Path, data: bytes) -> None:
    assert "carried can't be" in refused(put(tmp_path, data), root)


def test_what_is_not_there_is_refused(tmp_path: Path, root: Path) -> None:
    assert refused(tmp_path / "nowhere", root).endswith("nowhere can't be read: No such file or directory")
    assert refused(tmp_path, root).endswith("can't be read: Is a directory")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_is_refused_wherever_it_is_cut(tmp_path: Path, root: Path, kind: str) -> None:
    data = damageable(kind)
    compile_private(SEED, root, "seed")
    for share in (0.001, 0.1, 0.5, 0.9, 0.99):
        message = refused(put(tmp_path, data[: int(len(data) * share)]), root)
        assert message.splitlines() == [message]


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_never_raise_anything_else(tmp_path: Path, root: Path, kind: str) -> None:
    data, dice, taken = damageable(kind), random.Random(7), 0
    for _ in range(100):
        changed = bytearray(data)
        for _ in range(dice.choice((1, 3, 40))):
            changed[dice.randrange(len(data))] = dice.randrange(256)
        with contextlib.suppress(ConfigError):
            assert import_archive(put(tmp_path, bytes(changed)), root).source == "private"
            taken += 1
    assert taken < 50  # most are refused, and none passes for public


def test_an_archive_that_unpacks_without_end_is_bounded(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_private(SEED, root, "seed")
    bomb = made.tar_gz({"zeros": bytes(3 * 2**20)})
    monkeypatch.setattr(archives, "MAX_BYTES", 2**20)
    assert "it unpacks to more than 1,048,576 bytes" in refused(put(tmp_path, bomb), root)
    monkeypatch.setattr(archives, "MAX_RECORD_BYTES", 2**10)
    record = made.osv_zip([made.record("X", details="0" * 2**11)])
    assert "it unpacks to more than 1,024 bytes a record" in refused(put(tmp_path, record), root)
    many = made.osv_zip([made.record(f"X-{n}", details="0" * 2**9) for n in range(2**12)])
    assert "or 1,048,576 in all" in refused(put(tmp_path, many), root)


def test_the_size_that_a_header_declares_is_refused_before_anything_is_written(tmp_path: Path, root: Path) -> None:
    head = tarfile.TarInfo("trivy.db")
    head.size = archives.MAX_BYTES + 1
    data = head.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    assert "it unpacks to more than 8,589,934,592 bytes" in refused(put(tmp_path, data), root)
