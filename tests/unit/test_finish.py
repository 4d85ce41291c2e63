"""The end of a task: the worst outcome's exit code, a sentence for what a user can mend, two closing lines."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from invoke.exceptions import Exit

import spine  # type: ignore[import-not-found]
from truegate import finish
from truegate.errors import ConfigError, EvidenceError, InconclusiveError, KitError, ReportError
from truegate.progress import Progress

WORST_FIRST = [1, 5, 2, 3, 4, 0]


@pytest.mark.parametrize("codes", list(itertools.product(WORST_FIRST, repeat=2)))
def test_the_worst_outcome_wins(codes: tuple[int, int]) -> None:
    assert finish.worst(codes) == WORST_FIRST[min(map(WORST_FIRST.index, codes))]


def test_no_outcome_at_all_is_not_a_pass() -> None:
    assert finish.worst([]) == 4


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("no such key", "mend it"), 2, "error: no such key\n  next: mend it\n"),
        (InconclusiveError("no tool", "install it"), 4, "error: no tool\n  next: install it\n"),
        (ReportError("empty"), 4, "error: empty\n"),
        (EvidenceError("altered", "run again"), 5, "error: altered\n  next: run again\n"),
        (KitError("odd"), 1, "error: odd\n"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence_and_a_code(error: KitError, code: int, told: str, capsys: Any) -> None:
    with pytest.raises(Exit) as caught, finish.user_errors():
        raise error
    assert caught.value.code == code
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_inconclusive_and_what_was_set_before_comes_back(number: signal.Signals, capsys: Any) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Exit) as caught, finish.user_errors():
            signal.raise_signal(number)
        assert caught.value.code == 4
        assert signal.getsignal(signal.SIGTERM) == before[signal.SIGTERM]
    finally:
        signal.signal(signal.SIGINT, before[signal.SIGINT])
    assert capsys.readouterr().err.startswith("interrupted: nothing was decided")


def test_our_own_bug_is_a_traceback() -> None:
    with pytest.raises(ZeroDivisionError), finish.user_errors():
        raise ZeroDivisionError


def test_the_screen_of_a_check(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = spine.small_run(tmp_path)
    code = {"pass": 0, "fail": 3, "inconclusive": 4}[done.verdict.status]
    assert finish.show(done, quiet=True, as_json=False) == code
    first, second = capsys.readouterr().out.splitlines()
    folder = os.path.relpath(done.run_folder)
    assert first == f"security.sca {done.verdict.status} (external, no control) {done.seconds:.1f}s {folder}"
    assert second == f"report {os.path.relpath(done.report)}"
    finish.show(done, quiet=False, as_json=False)
    assert capsys.readouterr().out.splitlines()[-2:] == [first, second]
    finish.show(done, quiet=False, as_json=True)
    assert json.loads(capsys.readouterr().out) == json.loads((done.run_folder / "verdict.json").read_bytes())
    finish.show_kept(done.run_folder, as_json=True)
    assert capsys.readouterr().out.encode() == (done.run_folder / "verdict.json").read_bytes()


def test_a_path_is_shown_by_its_shorter_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "b" / "c" / "d" / "e" / "f" / "g" / "h").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert finish.near(tmp_path / "a") == "a"
    monkeypatch.chdir(tmp_path / "a/b/c/d/e/f/g/h")
    assert finish.near(Path("/etc")) == "/etc"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_one_live_line_on_a_terminal_and_silent_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for quiet in (False, True):
        screen = Terminal()
        monkeypatch.setattr(sys, "stderr", screen)
        with Progress("security.sca: trivy 0.76.0[/x] [bold]", quiet=quiet) as progress:
            progress.tick()
        assert ("security.sca: trivy 0.76.0[/x] [bold]" in screen.getvalue()) == (not quiet)
        assert "Z security.sca" not in screen.getvalue()
