"""The run folder: written first, closed whatever happens, one for each run, and without a secret."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate import evidence, history, jsonio
from truegate.config import Config, load_config
from truegate.errors import ConfigError, EvidenceError, InconclusiveError
from truegate.model import Finding, Meta
from truegate.policy import build_policy
from truegate.verify import verify

FakeTool = Callable[..., Path]
SECRET = "s3cr3t/of-the=service+x"


def opened(config: Config) -> Any:
    return evidence.open_run("security.sca", config, build_policy("security.sca", config), from_report=None, quiet=True)


def meta_of(folder: Path) -> Meta:
    return evidence.read_meta(folder)


def test_meta_is_there_before_anything_is_run_and_says_running(tmp_path: Path) -> None:
    with opened(load_config(str(tmp_path))) as run:
        assert {path.name for path in run.path.iterdir()} == {"meta.json", "policy.json", "input", "raw"}
        before = meta_of(run.path)
        assert (before.state, before.finished_at, before.files, before.steps) == ("running", None, (), ())
        assert [row.status for row in history.rows_of([run.path])] == ["unfinished"]
        assert verify(run.path).state == "unfinished"
        assert run.work.is_dir()
        assert tmp_path not in run.work.parents
        run.add("input/a.txt", b"a")
        run.fact("seen", 3)
    after = meta_of(run.path)
    assert (after.state, after.facts, after.redactions) == ("complete", {"seen": 3}, {})
    assert [record.path for record in after.files] == ["input/a.txt"]
    assert before.generated_at <= (after.finished_at or "")
    assert not run.work.exists()
    assert re.fullmatch(r"\d{8}_\d{4}-[0-9a-f]{6}", run.path.name)
    assert run.path == tmp_path / "evidence" / "security" / "sca" / after.run_id


def test_what_could_not_be_seen_is_kept_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)
    with opened(load_config(str(tmp_path))) as run:
        raise InconclusiveError(f"no tool at /opt/{SECRET}", f"look at {SECRET}")
    meta = meta_of(run.path)
    assert meta.state == "complete"
    told = {"code": "stopped", "kind": "incomplete", "message": "no tool at /opt/***", "next_step": "look at ***"}
    assert meta.facts == {"stopped": told}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConfigError("x"), EvidenceError("x"), ZeroDivisionError()])
def test_whatever_ends_a_run_early_is_said_and_passed_on(error: BaseException, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(opened(load_config(str(tmp_path))))
        run.add("raw/part.json", b"{")
        assert not stack.__exit__(type(error), error, None)  # not swallowed
    meta = meta_of(run.path)
    assert meta.state == "interrupted"
    assert [record.path for record in meta.files] == ["raw/part.json"]
    assert not run.work.exists()
    assert [row.status for row in history.rows_of([run.path])] == ["interrupted"]


def test_two_runs_in_the_same_minute_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = iter(["aaaaaa", "aaaaaa", "aaaaaa", "bbbbbb"])
    monkeypatch.setattr("secrets.token_hex", lambda _bytes: next(tokens))
    started = datetime(2030, 1, 15, 9, 59, 59, tzinfo=UTC)
    made = [evidence._new_folder(tmp_path / "x", started).name for _ in range(2)]
    assert made == ["20300115_0959-aaaaaa", "20300115_0959-bbbbbb"]


CROWD = """
import random, sys
from datetime import UTC, datetime
from pathlib import Path
from truegate import evidence
evidence.secrets.token_hex = lambda _bytes: f"{random.randrange(150):06x}"
for _ in range(30):
    print(evidence._new_folder(Path(sys.argv[1]), datetime(2030, 1, 15, tzinfo=UTC)).name)
"""


def test_processes_at_the_same_time_never_share_a_folder(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(spine.KIT / "scripts")}
    argv = [sys.executable, "-c", CROWD, str(tmp_path / "x")]
    crowd = [subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    made = [name for process in crowd for name in process.communicate()[0].split()]
    assert len(made) == 120
    assert len(set(made)) == 120


@pytest.fixture
def clock_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look at the clock show a minute less."""

    class Clock(datetime):
        times: Iterator[datetime] = (datetime(2030, 1, 15, 12, tzinfo=UTC) - timedelta(minutes=n) for n in range(99))

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return next(cls.times).astimezone(tz)

    monkeypatch.setattr(evidence, "datetime", Clock)


@pytest.mark.usefixtures("clock_set_back")
def test_a_clock_set_back_during_the_run_proves_nothing(tmp_path: Path) -> None:
    done = spine.small_run(tmp_path)
    assert done.meta.finished_at < done.meta.generated_at
    assert done.verdict.status == "inconclusive"
    [reason] = [reason for reason in done.verdict.reasons if reason.code == "clock"]
    assert "the clock went backwards during the run (2030-01-15T12:00:00Z to 2030-01-15T11:59:00Z)" in reason.message
    assert verify(done.run_folder).state == "sound"


def test_advisories_from_the_future_prove_nothing(trivy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine, or of the one that made the data, is wrong."""
    real = datetime

    class Past(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(evidence, "datetime", Past)
    done = spine.judge(tmp_path, trivy)
    assert done.meta.generated_at == "2001-01-01T00:00:00Z"
    assert done.verdict.status == "inconclusive"
    assert "the advisory data is dated later than this run" in str(done.verdict.reasons)


def test_a_write_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "meta.json"
    evidence.write_atomic(path, b"old")

    def full(_descriptor: int) -> None:
        assert path.read_bytes() == b"old"  # a reader at this moment
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EvidenceError) as caught, evidence.writing(tmp_path):
        evidence.write_atomic(path, b"new")
    assert caught.value.message == f"{path} can't be written: No space left on device"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["meta.json"]
    monkeypatch.undo()
    evidence.write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["meta.json"]


def test_what_a_tool_is_given_and_does_is_in_the_evidence(
    trivy: Path, fake_tool: FakeTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TRIVY_SEVERITY", "K6_OUT", "OSV_X", "SNYK_TOKEN", "API_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    done = spine.judge(tmp_path / "t", fake_tool("trivy", "trivy-shows"))
    version, scan = done.meta.steps
    assert (version.name, scan.name) == ("trivy-version", "trivy")
    assert (scan.exit_code, scan.exit_meaning, scan.timed_out) == (10, "ended with findings", False)
    assert (scan.tool_version, scan.tool_source) == ("0.76.0", "truegate.toml")
    assert scan.argv[1] == "fs"
    shown = (done.run_folder / scan.stdout).read_text().splitlines()
    names = {line.split("=")[0] for line in shown if "=" in line} - {"PWD", "OLDPWD", "_", "SHLVL"}
    assert names == {"PATH", "HOME", "TMPDIR", "LC_ALL", "TZ", "NO_COLOR"}
    [place] = [line.removeprefix("from ") for line in shown if line.startswith("from ")]
    assert str(tmp_path) not in place
    assert not Path(place).exists()
    assert {record.path for record in done.meta.files} >= {"raw/trivy.json", "raw/trivy.stdout", "raw/trivy.stderr"}
    assert trivy.is_file()


def test_a_secret_that_a_tool_tells_is_found_nowhere(
    trivy: Path, fake_tool: FakeTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = spine.spellings(SECRET)
    assert len(forms) >= 9
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    target = tmp_path / "t"
    target.mkdir()
    (target / "requirements.txt").write_text(spine.FLASK_OLD)
    tool = fake_tool("trivy", "trivy-blabs", FAKE_SAYS=" ".join(forms))
    (target / "truegate.toml").write_text(spine.toml(tool) + f'[target]\nowner = "{SECRET}"\nversion = "1-{SECRET}"\n')
    done = spine.inv("security.sca", "--url", f"https://bot:{SECRET.replace('/', '')}@example.org", cwd=target,
                     env={"API_TOKEN": SECRET})  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    paths = [path for part in ("evidence", "reports") for path in (target / part).rglob("*") if path.is_file()]
    paths += [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in paths} | {"screen": (done.stdout + done.stderr).encode()}
    assert len(texts) > 15
    found = [(name, trace) for name, text in texts.items() for trace in forms.values() if trace.encode() in text]
    assert found == []
    assert SECRET.replace("/", "") not in str(texts)
    [meta] = [json.loads(text) for name, text in texts.items() if name.endswith("meta.json")]
    assert meta["redactions"]["API_TOKEN"] >= 3 * len(forms)  # in both outputs, and in the title of a finding
    assert trivy.is_file()


def test_a_report_with_a_secret_keeps_its_findings(trivy: Path, fake_tool: FakeTool, tmp_path: Path) -> None:
    plain = spine.judge(tmp_path / "a", trivy)
    blabbed = spine.judge(tmp_path / "b", fake_tool("trivy", "trivy-blabs", FAKE_SAYS=SECRET))
    assert identities(plain.result.findings) == identities(blabbed.result.findings) != []
    assert all(SECRET in finding.title for finding in blabbed.result.findings)  # it is no secret here


def identities(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.identity for finding in findings]


def test_records_that_are_missing_or_unsound_are_named(tmp_path: Path) -> None:
    for read, name in ((evidence.read_meta, "meta.json"), (evidence.read_policy, "policy.json")):
        with pytest.raises(EvidenceError, match=f"{name} is missing"):
            read(tmp_path)
        (tmp_path / name).write_bytes(b'{"a": 1, "a": 2}')
        with pytest.raises(EvidenceError, match=f"{name} is not sound JSON"):
            read(tmp_path)


def test_links_are_not_hashed(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "b").write_bytes(b"b")
    (tmp_path / "raw" / "a").symlink_to("b")
    assert [record.path for record in evidence.hash_files(tmp_path)] == ["raw/b"]


def test_times_are_utc_to_the_second() -> None:
    moment = datetime.fromisoformat("2030-01-15T12:00:00.999+02:00")
    assert evidence.rfc3339(moment) == "2030-01-15T10:00:00Z"


@pytest.mark.parametrize("state", [b"[]", b"null", b'{"status": "pass"}'])
def test_a_list_of_runs_survives_a_broken_one(state: bytes, tmp_path: Path) -> None:
    done = spine.small_run(tmp_path)
    folders = history.run_folders(done.run_folder.parents[2])
    assert [row.status for row in history.rows_of(folders)] == [f"{done.verdict.status} (external, no control)"]
    (done.run_folder / "verdict.json").write_bytes(state)
    assert [row.status for row in history.rows_of(folders)] == ["unreadable"]
    (done.run_folder / "meta.json").write_bytes(jsonio.dumps([]))
    assert [row.status for row in history.rows_of(folders)] == ["unreadable"]
