"""A scanner that is missing, wrong, broken or lying: inconclusive, a sentence that says so, everything kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import support  # type: ignore[import-not-found]

from truegate.checks.pipeline import Finished
from truegate.runner import LOG_LIMIT_BYTES
from truegate.verify import verify

pytestmark = pytest.mark.slow

FAKES = support.KIT / "tests" / "fakebin"


def scan(folder: Path, stand_in: str, requirements: str = support.FLASK_FIXED, **overrides: Any) -> Finished:
    """Judge one requirements file with a program of tests/fakebin in the place of Trivy."""
    support.tool("trivy")  # the stand-ins hand on to it
    target = support.write(folder, {"requirements.txt": requirements})
    done: Finished = support.judge(target, tools={"trivy": str(FAKES / stand_in)}, **overrides)
    assert verify(done.run_folder).state == "sound"
    return done


def step(done: Finished) -> Any:
    return next(step for step in done.meta.steps if step.name == "trivy")


@pytest.mark.parametrize(
    ("stand_in", "sentence"),
    [
        ("trivy-too-old", "0.10.0 is older than 0.58.0"),
        ("trivy-refused", "0.69.4 is refused: malicious release of 19 March 2026"),
        ("trivy-mute", "does not tell its version"),
        ("trivy-not-there", "does not tell its version"),
    ],
)
@pytest.mark.parametrize("requirements", [support.FLASK_OLD, support.FLASK_FIXED])
def test_a_tool_that_may_not_be_used_is_not_started(
    stand_in: str, sentence: str, requirements: str, tmp_path: Path
) -> None:
    done = scan(tmp_path, stand_in, requirements)
    assert done.verdict.status == "inconclusive"
    [stopped] = [reason for reason in done.verdict.reasons if reason.code == "stopped"]
    assert f"trivy can't be used: {FAKES / stand_in} {sentence}" in stopped.message
    assert "inv tools.install --name trivy" in stopped.next_step
    assert done.meta.steps == ()
    assert (done.run_folder / "input/target/requirements.txt").read_text() == requirements


def test_nothing_on_the_path_is_missing_not_clean(tmp_path: Path) -> None:
    config = support.toml().replace("[tools]\ntrivy", "[tools]\nsnyk")
    target = support.write(tmp_path / "t", {"requirements.txt": support.FLASK_OLD, "truegate.toml": config})
    kit = tmp_path / "kit"  # without .tools, as after a fresh clone
    for name in ("scripts", "schemas"):
        shutil.copytree(support.KIT / name, kit / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(support.KIT / "tasks.py", kit)
    done = support.inv("security.sca", cwd=target, kit=kit, env={"PATH": str(tmp_path / "empty")})
    assert done.returncode == 4, done.stdout + done.stderr
    assert "trivy was not found on PATH nor under .tools/" in " ".join(done.stdout.split())
    assert "inv tools.install --name trivy" in done.stdout


@pytest.mark.parametrize(
    ("stand_in", "meaning", "sentence", "kept"),
    [
        ("trivy-refuses-to-start", "broke", "trivy broke (exit code 1): FATAL the database is locked", []),
        ("trivy-unknown-code", "unknown exit code 77: an error", "unknown exit code 77", ["trivy.json"]),
        ("trivy-report-1", "broke", "trivy broke (exit code 1)", ["trivy.json"]),
        ("trivy-killed", "killed by signal 9", "trivy killed by signal 9", ["trivy.json"]),
        ("trivy-silent", "ended, nothing found", "raw/trivy.json is missing", []),
        ("trivy-empty", "ended with findings", "raw/trivy.json is empty", ["trivy.json"]),
        ("trivy-clean-10", "ended with findings", "report and its exit code 10 (ended with findings) disagree",
         ["trivy.json"]),
        ("trivy-findings-0", "ended, nothing found", "report and its exit code 0 (ended, nothing found) disagree",
         ["trivy.json"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("requirements", [support.FLASK_OLD, support.FLASK_FIXED])
def test_a_tool_that_breaks_or_lies_proves_nothing(
    stand_in: str, meaning: str, sentence: str, kept: list[str], requirements: str, tmp_path: Path
) -> None:
    done = scan(tmp_path, stand_in, requirements)
    assert done.verdict.status == "inconclusive"
    assert step(done).exit_meaning == meaning
    assert sentence in support.messages(done)
    assert any(reason.kind == "unreliable" and reason.next_step for reason in done.verdict.reasons)
    present = {path.name for path in (done.run_folder / "raw").iterdir()}
    assert present >= {"trivy.stdout", "trivy.stderr", "trivy-version.json", *kept}


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_tool_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    done = scan(tmp_path, "trivy-hangs", security_sca_timeout_seconds=1)
    assert done.verdict.status == "inconclusive"
    assert step(done).timed_out
    assert "trivy killed at its time limit" in support.messages(done)
    pids = [int(pid) for pid in (done.run_folder / "raw/trivy.stdout").read_text().split()]
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_a_gigabyte_of_complaints_neither_fills_the_disk_nor_hides_the_verdict(tmp_path: Path) -> None:
    done = scan(tmp_path, "trivy-floods", support.FLASK_OLD)
    assert done.verdict.status == "fail"
    log = done.run_folder / "raw/trivy.stderr"
    assert LOG_LIMIT_BYTES <= log.stat().st_size < LOG_LIMIT_BYTES * 1.1
    assert b"more bytes were not kept]" in log.read_bytes()[-200:]


def test_the_stand_ins_can_be_started() -> None:
    programs = [path for path in FAKES.iterdir() if path.suffix != ".sh"]
    assert len(programs) >= 16
    assert all(os.access(path, os.X_OK) for path in programs)
