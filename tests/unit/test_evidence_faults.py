"""Runs that are cut short, and disks that are full or closed: the right exit code, nothing that counts by mistake."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]

pytestmark = pytest.mark.slow

FakeTool = Callable[..., Path]


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a target with one vulnerable package, and a folder of our own for what is temporary."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "requirements.txt").write_text(spine.FLASK_OLD)
    return folder


def run_folder(target: Path) -> Path:
    [folder] = (target / "evidence" / "security" / "sca").iterdir()
    return folder


def state(target: Path) -> Any:
    return json.loads((run_folder(target) / "meta.json").read_bytes())["state"]


@contextlib.contextmanager
def half_way(target: Path, fake_tool: FakeTool) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start a check as a user does, and give it when its tool has begun to scan, with the tool's processes."""
    meeting = target.parent / "pids"
    os.mkfifo(meeting)
    (target / "truegate.toml").write_text(spine.toml(fake_tool("trivy", "trivy-waits", FAKE_PIDS=str(meeting))))
    argv = ["env", "--default-signal=INT", *spine.inv_argv("security.sca")]
    pids: list[int] = []
    with subprocess.Popen(argv, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            pids = [int(pid) for pid in meeting.read_text().split()]  # waits until the tool writes
            assert len(pids) == 2
            yield process, pids
        finally:
            process.kill()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_half_way_ends_the_tool_and_decides_nothing(
    number: signal.Signals, trivy: Path, target: Path, fake_tool: FakeTool
) -> None:
    with half_way(target, fake_tool) as (process, pids):
        assert state(target) == "running"
        process.send_signal(number)
        out, errors = process.communicate()
        assert all(spine.has_ended(pid) for pid in pids)
    assert (process.returncode, out) == (4, ""), errors
    assert errors.splitlines()[-1] == "interrupted: nothing was decided"
    assert "Traceback" not in errors
    assert state(target) == "interrupted"
    kept = {path.name for path in run_folder(target).iterdir()}
    assert kept == {"meta.json", "policy.json", "input", "raw"}
    assert list((target.parent / "tmp").iterdir()) == []
    assert not (target / "reports").exists()
    listed = spine.inv("evidence.list", cwd=target)
    assert listed.stdout.splitlines()[2].split()[2] == "interrupted"
    verified = spine.inv("evidence.verify", cwd=target)
    assert verified.returncode == 4
    assert "1 runs: 0 sound, 1 unfinished, 0 other-version, 0 altered" in verified.stdout
    assert trivy.is_file()


def test_a_run_killed_half_way_is_unfinished_and_never_counts(trivy: Path, target: Path, fake_tool: FakeTool) -> None:
    with half_way(target, fake_tool) as (process, _):
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert state(target) == "running"
    dead = run_folder(target)
    listed = spine.inv("evidence.list", cwd=target)
    assert listed.stdout.splitlines()[2].split()[2] == "unfinished"
    verified = spine.inv("evidence.verify", cwd=target)
    assert verified.returncode == 4
    assert "the run is running and never counts" in verified.stdout
    shown = spine.inv("evidence.show", "--run", dead.name, cwd=target)
    assert shown.returncode == 5
    assert "is running: it holds no verdict" in shown.stderr
    (target / "truegate.toml").write_text(spine.toml(trivy))
    done = spine.inv("security.sca", cwd=target)
    assert done.returncode == 3, done.stderr
    assert "1 sound, 1 unfinished" in spine.inv("evidence.verify", cwd=target).stdout


@pytest.mark.parametrize(
    ("mounted", "size", "named"),
    [("evidence", "1m", r"/evidence/security/sca/.*/(raw/trivy\.stderr|meta\.json)"),
     ("evidence", "4k", r"/evidence/security"),
     ("reports", "8k", r"/reports/security/sca/.*/(index\.html|results\.sarif|junit\.xml|style\.css)")],
)  # fmt: skip
def test_a_full_disk_names_the_file(
    mounted: str, size: str, named: str, trivy: Path, target: Path, fake_tool: FakeTool
) -> None:
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no private mounts here; the limit on the size of a file is tested below")
    (target / "truegate.toml").write_text(spine.toml(fake_tool("trivy", "trivy-floods") if size == "1m" else trivy))
    (target / mounted).mkdir()
    mount = f'mount -t tmpfs -o size={size} none "{target / mounted}" && exec "$@"'
    done = spine.inv("security.sca", cwd=target, before=["unshare", "-rm", "sh", "-c", mount, "sh"])
    assert done.returncode == 5, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    [message] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert message.endswith(" can't be written: No space left on device")
    assert re.search(named, message), message
    assert "make room" in done.stderr


def test_a_limit_on_the_size_of_files_names_the_file(trivy: Path, target: Path, fake_tool: FakeTool) -> None:
    (target / "truegate.toml").write_text(spine.toml(fake_tool("trivy", "trivy-floods")))
    done = spine.inv("security.sca", cwd=target, before=["sh", "-c", 'ulimit -f 2000; exec "$@"', "sh"])
    assert done.returncode == 5, done.stdout + done.stderr
    assert "/raw/trivy.stderr can't be written: File too large" in done.stderr
    assert state(target) == "interrupted"
    assert trivy.is_file()


@pytest.mark.parametrize("name", ["evidence", "reports"])
def test_a_folder_that_an_ordinary_user_may_not_write_is_named(name: str, trivy: Path, target: Path) -> None:
    (target / "truegate.toml").write_text(spine.toml(trivy))
    (target / name).mkdir()
    (target / name).chmod(0o555)
    done = spine.inv("security.sca", cwd=target, before=spine.as_ordinary_user())
    (target / name).chmod(0o755)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"error: {target / name / 'security'} can't be written: Permission denied" in done.stderr
    assert "[evidence] dir and reports_dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_in_the_place_of_the_evidence_is_named(trivy: Path, target: Path) -> None:
    (target / "truegate.toml").write_text(spine.toml(trivy))
    (target / "evidence").write_text("a file")
    done = spine.inv("security.sca", cwd=target)
    assert done.returncode == 5
    assert f"error: {target}/evidence/security/sca can't be written: Not a directory" in done.stderr


def test_a_read_only_kit_judges(trivy: Path, target: Path) -> None:
    kit = target.parent / "kit"
    for name in ("scripts", "schemas"):
        shutil.copytree(spine.KIT / name, kit / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(spine.KIT / "tasks.py", kit)
    (target / "truegate.toml").write_text(spine.toml(trivy))
    folders = [kit, *(path for path in kit.rglob("*") if path.is_dir())]
    try:
        for folder in folders:
            folder.chmod(0o555)
        done = spine.inv("security.sca", cwd=target, kit=kit, before=spine.as_ordinary_user())
        verified = spine.inv("evidence.verify", cwd=target, kit=kit, before=spine.as_ordinary_user())
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert done.returncode == 3, done.stderr
    assert verified.returncode == 0, verified.stdout
    assert not (kit / ".tools").exists()


def test_without_a_home_all_goes_on(trivy: Path, target: Path) -> None:
    (target / "truegate.toml").write_text(spine.toml(trivy))
    done = spine.inv("security.sca", cwd=target, before=["env", "-u", "HOME"])
    assert done.returncode == 3, done.stderr
    assert "CVE-2023-30861" in done.stdout
    assert spine.inv("config.show", cwd=target, before=["env", "-u", "HOME"]).returncode == 0
