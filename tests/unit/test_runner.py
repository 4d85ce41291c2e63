"""Processes: started without a shell, watched, masked, bounded, and ended with their whole group."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import spine  # type: ignore[import-not-found]
from truegate import runner
from truegate.errors import EVIDENCE, INCONCLUSIVE, EvidenceError, InconclusiveError
from truegate.masking import Masker
from truegate.progress import Progress
from truegate.toml import KIT_ROOT

PACKAGE = KIT_ROOT / "scripts" / "truegate"
SECRET = "s3cr3t/of-the=service"
IGNORES_TERM = 'trap "" TERM; sleep 600 & echo $$ $!; wait; sleep 600'


def sh(
    script: str, folder: Path, *, timeout_seconds: float = 60, masker: Masker | None = None, args: Sequence[str] = ()
) -> runner.RawRun:
    """Run a shell script as a tool."""
    return runner.run(
        ["sh", "-c", script, "sh", *args],
        cwd=folder,
        env=runner.clean_environment(folder / "home"),
        timeout_seconds=timeout_seconds,
        logs=folder / "tool",
        masker=masker or Masker({}),
    )


@pytest.fixture
def leftovers() -> Iterator[list[int]]:
    """Give a list of processes to end when the test is over."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_what_a_tool_says_and_how_it_ends_is_kept(tmp_path: Path) -> None:
    done = sh("echo out; echo err >&2; exit 7", tmp_path, args=["a b", "$(touch x)", "; touch y"])
    assert (done.exit_code, done.timed_out) == (7, False)
    assert done.stdout == tmp_path / "tool.stdout"
    assert (done.stdout.read_text(), done.stderr.read_text()) == ("out\n", "err\n")
    assert done.argv[-3:] == ("a b", "$(touch x)", "; touch y")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done.started_at)
    assert 0 <= done.seconds < 60
    assert {path.name for path in tmp_path.iterdir()} == {"home", "tool.stdout", "tool.stderr"}


def test_a_tool_that_dies_of_a_signal_has_a_negative_code(tmp_path: Path) -> None:
    assert sh("kill -9 $$", tmp_path).exit_code == -9


def test_a_tool_that_waits_for_an_answer_gets_none(tmp_path: Path) -> None:
    done = sh("read line; echo $?", tmp_path)
    assert done.stdout.read_text() == "1\n"


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [(None, 0, "No such file"), ("#!/bin/sh\n", 0o644, "Permission denied"), ("", 0o755, "Exec format error"),
     ("#!/nowhere/sh\n", 0o755, "No such file")],
)  # fmt: skip
def test_a_program_that_cannot_be_started_is_named(content: str | None, mode: int, told: str, tmp_path: Path) -> None:
    program = tmp_path / "tool"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    argv, logs = [str(program)], tmp_path / "log"
    with pytest.raises(InconclusiveError) as caught:
        runner.run(argv, cwd=tmp_path, env={}, timeout_seconds=9, logs=logs, masker=Masker({}))
    assert caught.value.message.startswith(f"{program} can't be started: {told}")
    assert "inv tools" in caught.value.next_step
    assert caught.value.exit_code == INCONCLUSIVE
    assert runner.output(argv, cwd=tmp_path, env={}) == (-1, "", caught.value.message)


def test_a_time_out_ends_children_that_ignore_the_polite_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.3)
    done = sh(IGNORES_TERM, tmp_path, timeout_seconds=2)
    pids = [int(pid) for pid in done.stdout.read_text().split()]
    assert done.timed_out
    assert done.exit_code == -9
    assert len(pids) == 2
    assert all(map(spine.has_ended, pids))


def test_children_that_outlive_their_parent_are_ended(tmp_path: Path) -> None:
    done = sh("sleep 600 & echo $!", tmp_path)
    assert (done.exit_code, done.timed_out) == (0, False)
    assert spine.has_ended(int(done.stdout.read_text()))


def test_a_tool_that_ends_politely_may_say_its_last_word(tmp_path: Path) -> None:
    done = sh('trap "echo saved; exit 3" TERM; echo ready; while :; do sleep 0.05; done', tmp_path, timeout_seconds=2)
    assert (done.timed_out, done.exit_code) == (True, 3)
    assert done.stdout.read_text() == "ready\nsaved\n"


@pytest.mark.parametrize("says", ["sleep 600", "while echo still; do sleep 0.01; done", "exec cat /dev/zero"])
def test_a_child_that_leaves_the_group_holds_nothing_up_and_changes_no_log(
    says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leftovers: list[int]
) -> None:
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.3)
    threads = threading.active_count()
    done = sh(f"setsid sh -c 'echo $$ >child; echo here; {says}' & until [ -s child ]; do :; done; echo parent; exit 5",
              tmp_path)  # fmt: skip
    leftovers.append(int((tmp_path / "child").read_text()))
    assert (done.exit_code, done.timed_out) == (5, False)
    log = done.stdout.read_bytes()
    assert {b"here", b"parent"} <= {line.strip(b"\0") for line in log.splitlines()}
    assert log.endswith(b"a process that left the tool's group still held this output; it was cut here]\n")
    held = {os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()}
    assert str(done.stdout) not in held  # nobody goes on writing
    assert threading.active_count() == threads


FLOOD = """
import sys
from pathlib import Path
from truegate import runner
from truegate.masking import Masker
folder = Path(sys.argv[1])
argv = ["sh", "-c", "head -c 1000000000 /dev/zero | tr '\\\\0' x >&2; echo done"]
env, masker = runner.clean_environment(folder / "home"), Masker({"A_KEY": "abcdef"})
done = runner.run(argv, cwd=folder, env=env, timeout_seconds=300, logs=folder / "tool", masker=masker)
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(done.exit_code, done.timed_out, peak)
"""


def test_a_gigabyte_of_errors_is_bounded_in_memory_and_on_disk(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(KIT_ROOT / "scripts")}
    argv = [sys.executable, "-c", FLOOD, str(tmp_path)]
    told = subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.split()
    assert told[:2] == ["0", "False"]
    assert int(told[2]) < 100_000  # KB
    assert (tmp_path / "tool.stdout").read_text() == "done\n"
    kept, note = (tmp_path / "tool.stderr").read_bytes().split(b"\n", 1)
    assert runner.LOG_LIMIT_BYTES <= len(kept) < runner.LOG_LIMIT_BYTES + 65536
    dropped = re.fullmatch(rb"\[truegate: (\d+) more bytes were not kept\]\n", note)
    assert dropped
    assert len(kept) + int(dropped[1]) == 1_000_000_000


def test_a_secret_cut_by_the_limit_leaves_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = iter([b"x" * 100 + SECRET[:-1].encode(), SECRET[-1].encode() + b"y" * 100, b""])
    monkeypatch.setattr(runner, "LOG_LIMIT_BYTES", 20)
    monkeypatch.setattr(runner, "_read", lambda _pipe, _over: next(chunks))
    with (tmp_path / "log").open("wb") as log, Path(os.devnull).open("rb") as pipe:
        runner._copy(pipe, log, Masker({"A_KEY": SECRET}), threading.Event())
    kept = (tmp_path / "log").read_bytes()
    assert SECRET[:3].encode() not in kept
    [kept_x] = re.findall(rb"^(x+)\n", kept)
    assert f"[truegate: {200 + len(SECRET) - len(kept_x)} more bytes".encode() in kept


def test_secrets_are_masked_in_both_logs_and_in_the_command_line(tmp_path: Path) -> None:
    masker = Masker({"A_KEY": SECRET})
    script = 'echo "$1" | fold -w 3 | while read -r x; do printf "%s" "$x"; done; echo "$1" >&2'
    done = sh(script, tmp_path, masker=masker, args=[SECRET, f"--token={SECRET}"])
    assert done.stdout.read_text() == "***"
    assert done.stderr.read_text() == "***\n"
    assert done.argv[-2:] == ("***", "--token=***")
    assert masker.counts == {"A_KEY": 4}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_log_that_cannot_be_written_is_named_and_the_tool_may_end(stream: str, tmp_path: Path) -> None:
    (tmp_path / f"tool.{stream}").symlink_to("/dev/full")
    with pytest.raises(EvidenceError) as caught:
        sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; touch ended", tmp_path)
    assert caught.value.message == f"{tmp_path}/tool.{stream} can't be written: No space left on device"
    assert caught.value.exit_code == EVIDENCE
    assert (tmp_path / "ended").exists()


def test_an_interrupt_while_ending_a_group_still_ends_it() -> None:
    process = subprocess.Popen(["sh", "-c", IGNORES_TERM], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    pids = [int(pid) for pid in process.stdout.readline().split()]
    real, waits = process.wait, []

    def wait(timeout: float | None = None) -> int:
        waits.append(timeout)
        if timeout is not None:
            raise KeyboardInterrupt
        return real()

    process.wait = wait  # type: ignore[method-assign]
    with process.stdout, pytest.raises(KeyboardInterrupt):
        runner._end_group(process)
    assert waits == [runner.GRACE_SECONDS, None]
    assert all(map(spine.has_ended, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_process_is_born_ends_it(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes as soon as there is a process, before anybody watches it."""
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.3)
    born: list[int] = []
    start = runner._start

    def interrupted(*arguments: Any) -> Any:
        process = start(*arguments)
        born.append(process.pid)
        signal.raise_signal(number)
        return process

    monkeypatch.setattr(runner, "_start", interrupted)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            sh("sleep 600 & sleep 600", tmp_path)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert spine.has_ended(born[0])
    assert [thread.name for thread in threading.enumerate() if "_keep" in thread.name] == []


def test_a_signal_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As under nohup, or in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert sh("kill -INT $PPID; exit 5", tmp_path).exit_code == 5
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_tool_gets_the_environment_that_it_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRIVY_SEVERITY", "K6_OUT", "OSV_X", "API_TOKEN", "LD_PRELOAD_X", "PYTHONPATH", "http_proxy", "XDG_A"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("SNYK_TOKEN", SECRET)
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    home = tmp_path / "home"
    seen = {}
    for passed in ((), ("SNYK_TOKEN", "NOT_SET")):
        env = runner.clean_environment(home, passed)
        answer, text, _ = runner.output([sys.executable, "-c", code], cwd=tmp_path, env=env)
        assert answer == 0
        seen[passed] = json.loads(text)
    plain: dict[str, Any] = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C.UTF-8"}
    plain |= {"TZ": "UTC", "NO_COLOR": "1"}
    assert seen == {(): plain, ("SNYK_TOKEN", "NOT_SET"): {**plain, "SNYK_TOKEN": SECRET}}


def test_a_tool_has_a_home_where_we_have_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("PATH")
    done = runner.run(
        [shutil.which("sh", path=os.defpath) or "", "-c", "cd && pwd && command -v ls"],
        cwd=tmp_path,
        env=runner.clean_environment(tmp_path / "home"),
        timeout_seconds=60,
        logs=tmp_path / "tool",
        masker=Masker({}),
    )
    assert done.stdout.read_text().splitlines()[0] == str(tmp_path / "home")
    assert done.exit_code == 0


def test_a_question_that_hangs_or_floods_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GRACE_SECONDS", 0.3)
    env = runner.clean_environment(tmp_path / "home")
    code, text, _ = runner.output(["sh", "-c", IGNORES_TERM], cwd=tmp_path, env=env, timeout_seconds=2)
    assert code == -1
    assert len(text.split()) == 2
    assert all(spine.has_ended(int(pid)) for pid in text.split())
    monkeypatch.setattr(runner, "LOG_LIMIT_BYTES", 1000)
    argv = ["sh", "-c", "head -c 9000000 /dev/zero; echo end >&2; exit 2"]
    code, text, errors = runner.output(argv, cwd=tmp_path, env=env)
    assert (code, errors) == (2, "end\n")
    assert len(text) < 100_000
    assert "more bytes were not kept" in text


def test_it_is_said_that_a_tool_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("truegate.progress.PLAIN_EVERY_SECONDS", 0.0)
    with Progress("security.sca: trivy 0.76.0") as progress:
        runner.run(
            ["sleep", "600"],
            cwd=tmp_path,
            env=runner.clean_environment(tmp_path / "home"),
            timeout_seconds=1.5,
            logs=tmp_path / "tool",
            masker=Masker({}),
            progress=progress,
        )
    first, *more = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ security\.sca: trivy 0\.76\.0", first)
    assert more
    assert all(re.search(r"trivy 0\.76\.0 \(\d+ s\)$", line) for line in more)


def test_only_the_runner_starts_processes_and_never_through_a_shell() -> None:
    starts = re.compile(r"system|popen|fork|forkpty|exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?|startfile")
    modules, calls, importers = 0, [], set()
    for path in sorted(PACKAGE.rglob("*.py")):
        modules += 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if {name.split(".")[0] for name in names} & {"subprocess", "multiprocessing", "pty", "asyncio"}:
                importers.add(path.relative_to(PACKAGE).as_posix())
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                calls += [f"{path}: os.{node.attr}"] if starts.fullmatch(node.attr) else []
            if isinstance(node, ast.keyword) and node.arg == "shell":
                calls.append(f"{path}: shell=")
    assert modules > 50
    assert importers == {"runner.py"}
    assert calls == []
