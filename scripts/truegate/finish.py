"""Show the verdicts and leave with the worst one's exit code: the only place that ends a task."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from truegate import evidence, jsonio
from truegate.checks.pipeline import Finished
from truegate.config import secrets_among
from truegate.errors import FAILED, INCONCLUSIVE, PASS, WORST_FIRST, EvidenceError, KitError
from truegate.masking import Masker
from truegate.model import Result, Verdict, to_json

EXIT_CODES = {"pass": PASS, "fail": FAILED, "inconclusive": INCONCLUSIVE}


def leave(code: int) -> NoReturn:
    """End the task with `code`; 0 too, so that every path of a check says what it decided."""
    from invoke.exceptions import Exit

    raise Exit(None, code)


def worst(codes: Sequence[int]) -> int:
    """Give the code that outranks the others."""
    return min(codes, key=WORST_FIRST.index, default=INCONCLUSIVE)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turn errors that a user can mend, Ctrl-C and SIGTERM into a message and an exit code.

    SIGTERM unwinds as Ctrl-C does, so that tools are ended and a run folder says `interrupted`; so does SIGINT where a
    shell started us with that ignored, as `nohup` and background jobs are.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KitError as error:
        sys.stderr.write(f"error: {Masker(secrets_among(os.environ)).mask_text(str(error))}\n")
        leave(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was decided\n")
        leave(INCONCLUSIVE)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def show(done: Finished, *, quiet: bool, as_json: bool) -> int:
    """Print one finished check and give its exit code."""
    if as_json:
        sys.stdout.write(jsonio.dumps(to_json(done.verdict)).decode())
    else:
        from truegate.renderers.text import render_screen

        text = render_screen(
            done.verdict, done.result, done.seconds, near(done.run_folder), near(done.report), width=_width()
        )
        sys.stdout.write("\n".join(text.rstrip("\n").splitlines()[-2:]) + "\n" if quiet else text)
    sys.stdout.flush()
    return exit_code(done)


def exit_code(done: Finished) -> int:
    return EXIT_CODES[done.verdict.status]


def near(path: Path) -> str:
    """Give `path` relative to the working directory where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def _width() -> int:
    return min(os.get_terminal_size().columns, 120) if sys.stdout.isatty() else 80


def show_kept(folder: Path, *, as_json: bool) -> None:
    """Print the verdict of a kept run as its check did; raises EvidenceError when it can't be read."""
    meta, policy = evidence.read_meta(folder), evidence.read_policy(folder)
    if meta.state != "complete":
        raise EvidenceError(f"{folder} is {meta.state}: it holds no verdict", "run the check again")
    result = evidence.read_record(folder / "result.json", Result)
    verdict = evidence.read_record(folder / "verdict.json", Verdict)
    seconds = datetime.fromisoformat(meta.finished_at or meta.generated_at) - datetime.fromisoformat(meta.generated_at)
    report = folder.parents[3] / "reports" / folder.relative_to(folder.parents[2]) / "index.html"
    show(Finished(meta, policy, result, verdict, folder, report, seconds.total_seconds()), quiet=False, as_json=as_json)
