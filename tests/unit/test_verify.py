"""One byte changed anywhere in a run folder is seen, and the file is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate import __version__, jsonio
from truegate.verify import RECORDS, Verified, verify


@pytest.fixture
def real(trivy: Path, tmp_path: Path) -> Path:
    """Give a copy of a run of the real Trivy."""
    return Path(spine.copy_of(spine.kept_run(trivy), tmp_path))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(spine.small_run(tmp_path_factory.mktemp("small")).run_folder)


@pytest.fixture
def run(small: Path, tmp_path: Path) -> Path:
    """Give a copy of a small run, made without any tool."""
    return Path(spine.copy_of(small, tmp_path))


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def altered(folder: Path, *names: str) -> Verified:
    """Verify a run that was tampered with: it must be found, with each of `names` in what is told."""
    verified = verify(folder)
    assert verified.state == "altered", verified
    assert all(any(name in fault for fault in verified.faults) for name in names), verified
    return verified


def edit(folder: Path, name: str, change: Callable[[Any], object], *, rehash: bool = False) -> None:
    """Change one record as someone would who knows how it is written, the hash in the verdict too with `rehash`."""
    record = jsonio.load(folder / name)
    change(record)
    (folder / name).write_bytes(jsonio.dumps(record))
    if rehash:

        def mend(verdict: Any) -> None:
            row = next(row for row in verdict["inputs"] if row["path"] == name)
            row["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()

        edit(folder, "verdict.json", mend)


@pytest.mark.parametrize("check", ["security.sca", "security.sbom"])
def test_a_real_run_is_sound_wherever_it_is_moved(check: str, trivy: Path, tmp_path: Path) -> None:
    folder = spine.copy_of(spine.kept_run(trivy, check), tmp_path)
    verified = verify(folder)
    assert (verified.state, verified.faults, verified.check) == ("sound", (), check)
    assert verified.status == "fail"
    assert {"meta.json", "policy.json", "result.json", "verdict.json"} <= files_of(folder).keys()


def test_a_byte_changed_in_any_file_of_a_real_run(real: Path) -> None:
    files = files_of(real)
    assert len(files) > 12
    for name, data in files.items():
        for place in {0, len(data) // 2, len(data) - 1} if data else ():
            (real / name).write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
            altered(real, name)
        (real / name).write_bytes(data + b" ")
        altered(real, name)
        (real / name).write_bytes(data)
    assert verify(real).state == "sound"


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_byte_changed_anywhere_in_a_record(name: str, part: int, run: Path) -> None:
    data = (run / name).read_bytes()
    assert len(data) > 400
    for place in range(part, len(data), 4):
        (run / name).write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 3)]) + data[place + 1 :])
        altered(run, name if name != "verdict.json" else "")
    (run / name).write_bytes(data)
    assert verify(run).state == "sound"


@pytest.mark.parametrize("name", sorted(RECORDS))
@pytest.mark.parametrize("length", [0, 1, 0.5, -2, -1])
def test_a_record_cut_short(name: str, length: float, run: Path) -> None:
    data = (run / name).read_bytes()
    (run / name).write_bytes(data[: int(len(data) * length) if length == 0.5 else int(length)])
    altered(run, name)


@pytest.mark.parametrize("name", sorted(RECORDS))
@pytest.mark.parametrize(
    "data", [b"[]", b"{}", b"null", b"1", b'"x"', b"[[]]", b"[" * 900 + b"]" * 900, b"\xff", b'{"check": "a.b"}']
)
def test_a_record_of_another_shape(name: str, data: bytes, run: Path) -> None:
    (run / name).write_bytes(data)
    altered(run, name)


def test_every_file_removed_in_turn(real: Path) -> None:
    for name, data in files_of(real).items():
        (real / name).unlink()
        altered(real, name)
        (real / name).write_bytes(data)
    assert verify(real).state == "sound"


@pytest.mark.parametrize("name", ["raw/more.json", "input/target/yarn.lock", "notes.txt", "more/x", ".hidden"])
def test_a_file_added(name: str, run: Path) -> None:
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text("x")
    altered(run, f"{name} was added")


@pytest.mark.parametrize("name", ["meta.json", "verdict.json", "raw/trivy.json", "input/target/requirements.txt"])
def test_a_link_in_the_place_of_a_file(name: str, run: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(run / name, tmp_path / "elsewhere")
    (run / name).symlink_to(elsewhere)
    altered(run, name)


@pytest.mark.parametrize("name", ["raw", "input", "input/target"])
def test_a_link_in_the_place_of_a_folder(name: str, run: Path, tmp_path: Path) -> None:
    elsewhere = shutil.move(run / name, tmp_path / "elsewhere")
    (run / name).symlink_to(elsewhere)
    altered(run, name)


@pytest.mark.parametrize("name", ["meta.json", "result.json", "raw/trivy.json", "raw/more"])
def test_a_pipe_is_not_waited_for(name: str, run: Path) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    altered(run, f"{name} is no plain file")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda verdict: verdict.update(status="pass"), "verdict.json $.status"),
        (lambda verdict: verdict.update(reasons=[]), "verdict.json $.reasons"),
        (lambda verdict: verdict.update(qualifier="none"), "verdict.json $.qualifier"),
        (lambda verdict: verdict.update(version="2.0.0"), "verdict.json $.version"),
        (lambda verdict: verdict["criteria"][1].update(measured=0), "verdict.json $.criteria[1].measured"),
        (lambda verdict: verdict["criteria"][0].update(limit=9), "verdict.json $.criteria[0].limit"),
        (lambda verdict: verdict["reasons"][0].update(kind="incomplete"), "verdict.json $.reasons[0].kind"),
        (lambda verdict: verdict["warnings"].append("x"), "verdict.json $.warnings"),
        (lambda verdict: verdict["inputs"].pop(), "result.json"),
        (lambda verdict: verdict["inputs"].append(verdict["inputs"][0]), "meta.json"),
        (lambda verdict: verdict["inputs"][1].update(sha256="0" * 64), "policy.json"),
    ],
)
def test_a_verdict_edited_as_it_is_written_names_the_place(
    change: Callable[[Any], object], path: str, real: Path
) -> None:
    edit(real, "verdict.json", change)
    assert altered(real).faults[0].startswith(path)


def test_a_verdict_written_otherwise_is_not_as_it_was_written(real: Path) -> None:
    (real / "verdict.json").write_text(json.dumps(jsonio.load(real / "verdict.json")))
    altered(real, "verdict.json is not as it was written")


def test_a_result_edited_with_its_hash_is_found_by_deriving_it_again(real: Path) -> None:
    def acquit(result: Any) -> None:
        result["findings"] = []

    edit(real, "result.json", acquit, rehash=True)
    verified = altered(real, "result.json $.findings")
    assert not any("hash" in fault for fault in verified.faults)


def test_everything_after_the_raw_report_edited_consistently_is_found(real: Path) -> None:
    """The forger empties result and verdict alike, but what was scanned says otherwise."""
    edit(real, "result.json", lambda result: result.update(findings=[]), rehash=True)
    edit(real, "verdict.json", lambda verdict: verdict.update(status="pass", reasons=[]))
    altered(real, "result.json $.findings", "verdict.json $.status")


def test_a_raw_report_edited_with_every_hash_is_found(real: Path) -> None:
    def empty(report: Any) -> None:
        for result in report["Results"]:
            result.pop("Vulnerabilities", None)

    edit(real, "raw/trivy.json", empty)
    path = real / "raw" / "trivy.json"

    def mend(meta: Any) -> None:
        row = next(row for row in meta["files"] if row["path"] == "raw/trivy.json")
        row.update(sha256=hashlib.sha256(path.read_bytes()).hexdigest(), bytes=path.stat().st_size)

    edit(real, "meta.json", mend, rehash=True)
    altered(real, "result.json $.findings", "result.json $.controls[0].seen", "verdict.json $.status")


@pytest.mark.parametrize("facts", [None, {}, {"boms": 5}, {"boms": ["raw/none.json"], "steering": []}])
def test_a_run_that_the_check_stumbles_over_is_altered_not_a_traceback(facts: Any, trivy: Path, tmp_path: Path) -> None:
    folder = spine.copy_of(spine.kept_run(trivy, "security.sbom"), tmp_path)
    edit(folder, "meta.json", lambda meta: meta.update(facts=facts), rehash=True)
    assert altered(folder).faults


def test_another_kit_version_that_derives_the_same_is_sound_and_another_verdict_is_said(real: Path) -> None:
    edit(real, "meta.json", lambda meta: meta.update(kit_version="9.9.9"), rehash=True)
    assert verify(real).state == "sound"
    edit(real, "verdict.json", lambda verdict: verdict.update(status="pass", reasons=[]))
    verified = verify(real)
    assert verified.state == "other-version"
    assert verified.faults[0] == f"made by Truegate 9.9.9; {__version__} derives another verdict"
    assert any(fault.startswith("verdict.json $.status") for fault in verified.faults)
    (real / "raw" / "trivy.json").write_text("{}")
    altered(real, "raw/trivy.json")


def test_a_check_that_this_kit_lacks_is_named(real: Path) -> None:
    edit(real, "meta.json", lambda meta: meta.update(check="security.magic"), rehash=True)
    elsewhere = real.parents[1] / "magic" / real.name
    shutil.copytree(real, elsewhere)
    altered(elsewhere, "this kit has no check 'security.magic'")


def test_a_run_in_the_place_of_another_is_altered(real: Path) -> None:
    own = f"security/sca/{real.name}"
    for named in ("security/sca/20300101_0000-aaaaaa", f"security/sbom/{real.name}"):
        elsewhere = shutil.copytree(real, real.parents[2] / named)
        altered(elsewhere, f"the folder {named} holds the run {own}")
    assert verify(real).state == "sound"


@pytest.mark.parametrize("state", ["running", "interrupted"])
def test_an_unfinished_run_never_counts(state: str, run: Path) -> None:
    edit(run, "meta.json", lambda meta: meta.update(state=state))
    altered(run, "meta.json")  # for it has a verdict, which only a complete run has
    (run / "verdict.json").unlink()
    altered(run, "verdict.json is missing")  # for it has a result
    (run / "result.json").unlink()
    verified = verify(run)
    assert (verified.state, verified.status) == ("unfinished", state)
    assert verified.faults == (f"the run is {state} and never counts",)


def test_a_complete_run_without_its_verdict_is_not_unfinished(run: Path) -> None:
    (run / "verdict.json").unlink()
    altered(run, "verdict.json is missing")


def test_a_folder_that_is_no_run_is_altered(tmp_path: Path) -> None:
    altered(tmp_path, "meta.json is missing")
    altered(tmp_path / "absent", "absent can't be read: No such file or directory")


def test_the_task_names_the_file_and_leaves_with_five(real: Path, tmp_path: Path) -> None:
    done = spine.inv("evidence.verify", "--evidence", str(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0, "1 runs: 1 sound, 0 unfinished, 0 other-version, 0 altered",
    )  # fmt: skip
    path = real / "input" / "target" / "requirements.txt"
    path.write_text("flask==2.2.5\n")
    done = spine.inv("evidence.verify", "--evidence", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 5
    assert "input/target/requirements.txt was altered" in done.stdout
    assert done.stderr == ""


def test_where_no_run_is_sound_nobody_can_say(run: Path, tmp_path: Path) -> None:
    edit(run, "meta.json", lambda meta: meta.update(state="running"))
    for name in ("result.json", "verdict.json"):
        (run / name).unlink()
    done = spine.inv("evidence.verify", "--run", str(run), cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0].split()[0]) == (4, "unfinished")
