"""Where advisory data lies: notes that hold it to its bytes, and replacements that can't lose what was there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from truegate.advisories import stores
from truegate.advisories.stores import NOTE, SEED, compile_private, read_note, replacing, store_of, write_note
from truegate.errors import ConfigError, EvidenceError, InconclusiveError

DATED = "2025-06-24T00:00:00Z"  # the newest `modified` of the seed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    compile_private(SEED, tmp_path / "data", "seed")
    return tmp_path / "data"


def test_compiled_data_has_its_source_its_date_and_its_records(root: Path) -> None:
    found = {store.engine: store for store in stores.stores(root)}
    assert found.keys() == {"trivy", "osv-scanner"}
    for store in found.values():
        assert (store.source, store.dated, store.why) == ("seed", DATED, "")
        assert store.records == 49
        assert store.bytes == sum(p.stat().st_size for p in store.folder.rglob("*") if p.is_file() and p.name != NOTE)
    compile_private(SEED, root)
    assert store_of("trivy", root).source == "private"


def test_nothing_there_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "trivy" / "db").mkdir(parents=True)
    assert stores.stores(tmp_path) == []
    assert stores.stores(tmp_path / "nowhere") == []


def change_a_byte(folder: Path) -> None:
    path = next(folder.rglob("metadata.json"), None) or next(folder.rglob("all.zip"))
    path.write_bytes(path.read_bytes() + b" ")


def add_a_zip(folder: Path) -> None:
    (folder / "osv-scalibr" / "Go").mkdir(parents=True)
    (folder / "osv-scalibr" / "Go" / "all.zip").write_bytes(b"PK")


def remove_a_file(folder: Path) -> None:
    next(path for path in folder.rglob("*") if path.is_file() and path.name != NOTE).unlink()


def replace_note(text: str) -> Any:
    return lambda folder: (folder / NOTE).write_text(text)


def edit_note(**fields: Any) -> Any:
    def edit(folder: Path) -> None:
        note = json.loads((folder / NOTE).read_text())
        (folder / NOTE).write_text(json.dumps({name: x for name, x in {**note, **fields}.items() if x is not ...}))

    return edit


@pytest.mark.parametrize("engine", ["trivy", "osv-scanner"])
@pytest.mark.parametrize(
    "tamper",
    [
        change_a_byte,
        add_a_zip,
        remove_a_file,
        lambda folder: (folder / NOTE).unlink(),
        replace_note(""),
        replace_note("[]"),
        replace_note('{"source": "official"}'),
        replace_note('{"source": "official", "dated": "2025-06-24T00:00:00Z", "sha256": {}}'),
        edit_note(source=...),
        edit_note(source=["official"]),
        edit_note(dated=...),
        edit_note(dated=None),
        edit_note(dated="yesterday"),
        edit_note(dated="2025-06-24T00:00:00"),
        edit_note(sha256="any"),
    ],
)
def test_data_that_is_not_what_its_note_says_is_unknown(root: Path, engine: str, tamper: Any) -> None:
    folder = store_of(engine, root).folder
    assert read_note(folder)["source"] == "seed"
    tamper(folder)
    assert read_note(folder) == {"source": "unknown"}
    store = store_of(engine, root)
    assert (store.source, store.dated, store.records) == ("unknown", None, None)


def test_data_that_goes_while_it_is_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = root / "trivy" / "db" / "trivy.db"

    def replaced(_question: str, path: Path, _ask: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))

    monkeypatch.setattr(stores, "remembered", replaced)
    gone.with_name("metadata.json").unlink()
    with pytest.raises(InconclusiveError) as caught:
        read_note(root / "trivy")
    assert caught.value.message == f"{gone} can't be read: No such file or directory"
    assert "run this again" in caught.value.next_step


def test_what_a_tool_leaves_beside_the_data_changes_nothing(root: Path) -> None:
    (root / "trivy" / "fanal").mkdir()
    (root / "trivy" / "fanal" / "fanal.db").write_bytes(b"cache")
    assert read_note(root / "trivy")["source"] == "seed"


def test_another_file_of_the_same_size_and_time_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "trivy"
    for content in (b"one", b"two"):
        with replacing(folder) as fresh:
            (fresh / "db").mkdir()
            (fresh / "db" / "trivy.db").write_bytes(content)
            os.utime(fresh / "db" / "trivy.db", (0, 0))  # as unpacked from a reproducible archive
            write_note(fresh, "official", DATED, {})
        assert read_note(folder)["source"] == "official"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def litter(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith(".") and not path.name.endswith(".lock")]


def _half(fresh: Path, fault: type[BaseException]) -> None:
    (fresh / "half").write_bytes(b"half")
    raise fault


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_interrupted_replacement_leaves_the_old_data(root: Path, fault: type[BaseException]) -> None:
    before = contents(root / "trivy")
    with pytest.raises(fault), replacing(root / "trivy") as fresh:
        _half(fresh, fault)
    assert contents(root / "trivy") == before
    assert litter(root) == []


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_an_interruption_between_the_two_renames_puts_the_old_data_back(
    root: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    before, real = contents(root / "trivy"), Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == "fresh":
            assert not (root / "trivy").exists()
            raise fault
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises((KeyboardInterrupt, EvidenceError)), replacing(root / "trivy") as fresh:
        (fresh / "new").write_bytes(b"new")
    assert contents(root / "trivy") == before
    assert litter(root) == []


def test_what_a_killed_process_left_is_put_back_and_tidied_up(root: Path) -> None:
    before = contents(root / "trivy")
    (root / ".trivy-killed").mkdir()
    (root / "trivy").rename(root / ".trivy-killed" / "old")
    with pytest.raises(ValueError, match="no download"), replacing(root / "trivy"):
        raise ValueError("no download")
    assert contents(root / "trivy") == before
    assert litter(root) == []


def test_two_processes_do_not_replace_the_same_data(root: Path) -> None:
    before = contents(root / "trivy")
    with replacing(root / "osv"):  # the other engine's is no hindrance
        with (
            pytest.raises(InconclusiveError, match="another process replaces") as caught,
            replacing(root / "osv"),
        ):
            pytest.fail("entered")
        assert caught.value.next_step == "run this again when it has ended"
        with replacing(root / "trivy") as fresh:
            shutil.copytree(root / "trivy", fresh, dirs_exist_ok=True)
    assert contents(root / "trivy") == before


@contextmanager
def ordinary_user() -> Iterator[Path]:
    """Give a folder that the process may read but not write; root, who may write anywhere, becomes someone else."""
    folder = Path(tempfile.mkdtemp(prefix="truegate-readonly-"))
    folder.chmod(0o555)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        yield folder
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


def test_a_read_only_folder_is_named_with_the_way_out() -> None:
    with ordinary_user() as folder, pytest.raises(EvidenceError) as caught, replacing(folder / "trivy"):
        pytest.fail("entered")
    assert caught.value.message == f"{folder}/.trivy.lock can't be written: Permission denied"
    assert caught.value.next_step == "make room or mend the permissions, or set [security.db] dir to another folder"
    assert caught.value.exit_code == 5


def test_a_full_disk_leaves_the_old_data(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(root)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EvidenceError, match="trivy can't be written: No space left on device"):
        compile_private(SEED, root)
    assert contents(root) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "X-1"}', "X-1.json is no OSV record that can be compiled"),
        ("{", "X-1.json is no OSV record that can be compiled"),
    ],
)
def test_unsound_records_are_named_and_change_nothing(root: Path, tmp_path: Path, text: str, said: str) -> None:
    before = contents(root)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "X-1.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        compile_private(tmp_path / "mine", root)
    assert contents(root) == before
